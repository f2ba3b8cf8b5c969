"""Keys come from the environment: one for radserve's servers, another for everybody else's endpoints."""

import os

from radserve_bench.errors import BenchError

KEY_VARIABLE, OPENAI_KEY_VARIABLE = "RADSERVE_API_KEY", "OPENAI_API_KEY"
REFUSING = (401, 403)
"""What HTTP says of a key that is missing, wrong, or not allowed."""


def key_failure(url: str, error: Exception, variable: str) -> BenchError:
    """Says where the key is looked for, and whether one was there."""
    hint = "was sent, and refused" if os.environ.get(variable) else "is not set"
    return BenchError(f"{url}: {error} ({variable} {hint})")
