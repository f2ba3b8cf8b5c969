"""From what a user names to who answers: an engine folder, a server's address, an OpenAI-compatible endpoint."""

import os
from pathlib import Path

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation.asking import Answerer

KEY_VARIABLE, OPENAI_KEY_VARIABLE = "RADSERVE_API_KEY", "OPENAI_API_KEY"


def is_address(target: str) -> bool:
    """Rather than a folder."""
    return target.startswith(("http://", "https://"))


def open_target(target: str, *, model: str | None = None, max_tokens: int | None = None) -> Answerer:
    """Raises EngineError saying what is wrong with it.

    An address that ends in /v1 is an OpenAI-compatible endpoint and gets OpenAI's key; others are radserve's and get
    radserve's. Neither key goes to the other's address.
    """
    if is_address(target):
        from radserve_engines.evaluation.server_answerer import ServerAnswerer

        foreign = target.rstrip("/").endswith("/v1")
        key = os.environ.get(OPENAI_KEY_VARIABLE if foreign else KEY_VARIABLE)
        return ServerAnswerer(target, model=model, api_key=key, max_tokens=max_tokens)
    folder = Path(target)
    if not folder.is_dir():
        raise EvaluationError(
            f"{target} is neither a folder nor an address that begins with http:// or https://"
        )
    if model is not None:
        raise EvaluationError("--model is for an endpoint: an engine folder holds one model")
    from radserve_engines.evaluation.engine_answerer import open_engine

    return open_engine(folder, target, max_tokens)
