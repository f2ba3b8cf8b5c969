"""Configuration that does not fit into a variable: TOML files, and what is told of one that is wrong."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError


def read_toml(path: Path) -> dict[str, Any]:
    """Its tables; raises ValueError naming the file."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None


def tell_first(error: ValidationError, where: str, known: Sequence[str] = ()) -> str:
    """The first thing wrong: where, its key if it has one, and why; never the value, which may be a secret.

    An unknown key is told the `known` ones.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = ".".join(str(step) for step in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = f"there is no such key; there are {', '.join(known)}" if known else "there is no such key"
    return f"{where} {key}: {reason}" if key else f"{where.removesuffix(':')}: {reason}"
