"""An engine without a model: deterministic, as slow and as faulty as it is told to be."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from radserve_server.backend import Delta, EngineDescription, EngineUnavailable, Question, QuestionRefused

WORDS = ("No", " acute", " abnormality", " is", " seen", ".")
MANIFEST: Mapping[str, Any] = {
    "name": "fake-vqa",
    "image_policy": {"width": 224, "height": 224, "max_images": 4},
    "decoding": {"max_tokens": 64, "temperature": 0.0},
    "context_length": 2048,
    "precision": "none",
    "target": "fake",
    "gate": {"status": "passed"},
    "intended_use": "tests of the gateway",
}


CONFIDENCE: Mapping[str, Any] = {
    "confidence": 0.83,
    "abstained": False,
    "question_type": "closed",
    "threshold": 0.6,
    "stated_risk": 0.3,
    "answer_logprob": -0.25,
    "reason": None,
}


@dataclass(slots=True)
class FakeBackend:
    """Says `words`; `down`, `refusal` and `fail_after` (tokens) make it fail, the delays (s) make it slow.

    `running`, `cancelled` and `finished` count questions; `questions` keeps them.
    """

    words: tuple[str, ...] = WORDS
    first_delay_s: float = 0.0
    token_delay_s: float = 0.0
    fail_after: int | None = None
    finish_reason: str = "stop"
    down: bool = False
    refusal: QuestionRefused | None = None
    confidence: Mapping[str, Any] | None = field(default_factory=lambda: dict(CONFIDENCE))
    manifest: Mapping[str, Any] = field(default_factory=lambda: dict(MANIFEST))
    running: int = 0
    cancelled: int = 0
    finished: int = 0
    questions: list[Question] = field(default_factory=list)

    async def describe(self) -> EngineDescription:
        """The manifest, unless `down`."""
        if self.down:
            raise EngineUnavailable("the fake engine is down")
        digest = f"sha256:{'0' * 64}"
        return EngineDescription(str(self.manifest["name"]), digest, self.manifest, self.running, 0)

    async def stream(self, question: Question) -> AsyncGenerator[Delta, None]:
        """The words, one token each, up to max_tokens."""
        if self.down:
            raise EngineUnavailable("the fake engine is down")
        self.questions.append(question)
        if self.refusal is not None:
            raise self.refusal
        self.running += 1
        done = False
        try:
            async for delta in self._say(question):
                done = bool(delta.finish_reason)
                yield delta
        finally:
            self.running -= 1
            self.finished += done
            self.cancelled += not done

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _say(self, question: Question) -> AsyncGenerator[Delta, None]:
        words = self.words[: question.sampling.get("max_tokens", len(self.words))]
        cut = len(words) < len(self.words)
        await asyncio.sleep(self.first_delay_s)
        for index, word in enumerate(words):
            if index == self.fail_after:
                raise EngineUnavailable("the fake engine failed, as it was told to")
            if index:
                await asyncio.sleep(self.token_delay_s)
            yield Delta(word, (index,), (-0.1 * index,))
        timings = {
            "queue_ms": 0.0,
            "vision_ms": 1.0,
            "prefill_ms": 2.0,
            "decode_ms": 1000 * self.token_delay_s * len(words),
            "prompt_tokens": 10 + 64 * len(question.images),
            "image_tokens": 64 * len(question.images),
            "completion_tokens": len(words),
        }
        yield Delta("", (), (), "length" if cut else self.finish_reason, timings, self.confidence)
