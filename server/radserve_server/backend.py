"""What the gateway asks of an engine: the one seam between HTTP and inference."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radserve_server.errors import EngineUnavailable, QuestionRefused

__all__ = ["Backend", "Delta", "EngineDescription", "EngineUnavailable", "Question", "QuestionRefused"]


@dataclass(frozen=True, slots=True)
class Question:
    """What goes to the engine.

    `messages` are chat messages whose content is a string or a list of {"type": "text", "text": …} and
    {"type": "image"}, the latter in the order of `images`, each (H, W, 3). `sampling` holds only what was
    asked for: max_tokens, temperature, top_p, top_k, seed, stop (list), logprobs, ignore_eos.
    """

    messages: tuple[dict[str, Any], ...]
    images: tuple[NDArray[np.uint8], ...]
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer; the last has a `finish_reason` (stop, length, cancelled, repetition) and what follows it.

    `timings`: queue_ms, vision_ms, prefill_ms, decode_ms, prompt_tokens, image_tokens, completion_tokens.
    `confidence`: confidence, abstained, question_type, threshold, stated_risk, answer_logprob and reason, as the
    engine judges by its manifest; None from an engine that does not.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str = ""
    timings: Mapping[str, float | int] | None = None
    confidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """An engine's name, digest ("sha256:…"), the content of its engine.json, and how busy it is."""

    name: str
    digest: str
    manifest: Mapping[str, Any]
    running: int
    waiting: int


class Backend(Protocol):
    """An engine, near or far."""

    async def describe(self) -> EngineDescription:
        """Ask the engine itself; raises EngineUnavailable."""
        ...

    def stream(self, question: Question) -> AsyncGenerator[Delta, None]:
        """The answer, piece by piece; closing the generator cancels the question in the engine.

        Raises QuestionRefused for a question that the engine cannot take, Overloaded if it cannot take it now,
        EngineUnavailable if it fails.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
