"""From what a user names to who answers."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from radserve_bench.errors import BenchError
from radserve_bench.targets.keys import KEY_VARIABLE, OPENAI_KEY_VARIABLE
from radserve_bench.targets.protocol import Target

FORMS = "http://host:port (radserve), http://host:port/v1 (OpenAI-compatible), triton://host:port, torch"
_HERE = "in `radserve bench` also server, triton, or an engine's folder"


def open_target(
    text: str,
    *,
    name: str | None = None,
    model: str | None = None,
    checkpoint: Path | None = None,
    timeout_s: float = 120.0,
) -> Target:
    """One of FORMS; nothing is sent yet. Raises BenchError for anything else.

    An address that ends in /v1 is an OpenAI-compatible endpoint and gets OpenAI's key; others are radserve's and get
    radserve's. Neither key goes to the other's address. `checkpoint` is the PyTorch baseline's, by default the demo's.
    """
    name = name or text
    if text == "torch":
        return _open_torch(name, checkpoint)
    where = urlsplit(text)
    try:
        found = bool(where.hostname) and (where.port is None or where.port > 0)
    except ValueError:
        found = False
    if not found or where.scheme not in ("http", "https", "triton"):
        raise BenchError(f"{text} is no target: give one of {FORMS}; {_HERE}")
    if where.scheme == "triton" and where.port is None:
        raise BenchError(f"{text} has no port: Triton's gRPC port is 8001 by default")
    if where.scheme == "triton":
        from radserve_bench.targets.triton import TritonTarget

        return TritonTarget(name, where.netloc, timeout_s=timeout_s)
    if where.path.rstrip("/").endswith("/v1"):
        from radserve_bench.targets.openai import OpenAITarget

        key = os.environ.get(OPENAI_KEY_VARIABLE)
        return OpenAITarget(name, text, model, key, timeout_s=timeout_s)
    from radserve_bench.targets.server import ServerTarget

    return ServerTarget(name, text, os.environ.get(KEY_VARIABLE), timeout_s=timeout_s)


def _open_torch(name: str, checkpoint: Path | None) -> Target:
    try:
        from radserve_bench.targets.torch import TorchTarget
    except ImportError as error:
        raise BenchError(f"{error.name} is missing: pip install 'radserve[baseline]'") from error
    from radserve_engines.assets import demo_checkpoint

    return TorchTarget(name, checkpoint or demo_checkpoint())
