"""An engine without a model: deterministic, as slow, as small and as faulty as it is told to be."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import cycle, islice
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
    """Says `words`; `down`, `refusal`, `fail_every` and `fail_after` make it fail, the delays (s) make it slow.

    The first token is due `first_delay_s` after the question was taken up, each further one `token_delay_s` after the
    one before was due, so that delays do not add up. `slots` questions are answered at once, the others wait; None is
    without end. Each question fails after `fail_after` tokens (at its end, if it has fewer), or with `fail_every` = n
    each n-th one does, before its first token where `fail_after` is None. `running`, `waiting`, `cancelled` and
    `finished` count questions, `asked` all of them; `questions` keeps them, unless `forgetful`.
    """

    words: tuple[str, ...] = WORDS
    first_delay_s: float = 0.0
    token_delay_s: float = 0.0
    slots: int | None = None
    fail_every: int | None = None
    fail_after: int | None = None
    finish_reason: str = "stop"
    down: bool = False
    refusal: QuestionRefused | None = None
    confidence: Mapping[str, Any] | None = field(default_factory=lambda: dict(CONFIDENCE))
    manifest: Mapping[str, Any] = field(default_factory=lambda: dict(MANIFEST))
    forgetful: bool = False
    asked: int = 0
    running: int = 0
    waiting: int = 0
    cancelled: int = 0
    finished: int = 0
    questions: list[Question] = field(default_factory=list)
    _gate: asyncio.Semaphore | None = field(default=None, init=False, repr=False)

    async def describe(self) -> EngineDescription:
        """The manifest, unless `down`."""
        if self.down:
            raise EngineUnavailable("the fake engine is down")
        digest = f"sha256:{'0' * 64}"
        return EngineDescription(
            str(self.manifest["name"]), digest, self.manifest, self.running, self.waiting
        )

    async def stream(self, question: Question) -> AsyncGenerator[Delta, None]:
        """The words, one token each, up to max_tokens; with ignore_eos again and again, exactly as many."""
        if self.down:
            raise EngineUnavailable("the fake engine is down")
        self.asked += 1
        failure = self._failure()
        if not self.forgetful:
            self.questions.append(question)
        if self.refusal is not None:
            raise self.refusal
        done = False
        arrived = time.perf_counter()
        try:
            async with self._slot():
                async for delta in self._say(question, arrived, failure):
                    done = bool(delta.finish_reason)
                    yield delta
        finally:
            self.finished += done
            self.cancelled += not done

    async def close(self) -> None:
        """Nothing to let go of."""

    def _failure(self) -> tuple[int, EngineUnavailable] | None:
        """After how many tokens the question that was asked last fails, and with what."""
        if self.fail_every is None:
            message = "the fake engine failed, as it was told to"
            return None if self.fail_after is None else (self.fail_after, EngineUnavailable(message))
        if self.asked % self.fail_every:
            return None
        # One question's failure, not the engine's: it stays ready for the others.
        message = "the fake engine failed on this question, as it was told to"
        return self.fail_after or 0, EngineUnavailable(message, code="engine_failed")

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """First come, first served."""
        if self.slots is not None and self._gate is None:
            self._gate = asyncio.Semaphore(self.slots)
        self.waiting += 1
        try:
            gate = self._gate or nullcontext()
            await gate.__aenter__()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            await gate.__aexit__(None, None, None)

    async def _say(
        self, question: Question, arrived: float, failure: tuple[int, EngineUnavailable] | None
    ) -> AsyncGenerator[Delta, None]:
        words, finish_reason = self._words(question.sampling)
        began = time.perf_counter()
        first_due = first = last = began + self.first_delay_s
        for index, word in enumerate(words):
            await _sleep_until(first_due + index * self.token_delay_s)
            if failure is not None and index == failure[0]:
                raise failure[1]
            last = time.perf_counter()
            first = last if not index else first
            yield Delta(word, (index,), (-0.1 * index,))
        if failure is not None and failure[0] >= len(words):
            raise failure[1]
        timings = {
            "queue_ms": 1000 * (began - arrived),
            "vision_ms": 0.0,
            "prefill_ms": 1000 * (first - began),
            "decode_ms": 1000 * (last - first),
            "prompt_tokens": 10 + 64 * len(question.images),
            "image_tokens": 64 * len(question.images),
            "completion_tokens": len(words),
        }
        yield Delta("", (), (), finish_reason, timings, self.confidence)

    def _words(self, sampling: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
        """What is said, and how it ends."""
        if sampling.get("ignore_eos"):
            most = sampling.get("max_tokens", self.manifest["decoding"]["max_tokens"])
            return tuple(islice(cycle(self.words), most)), "length"
        words = self.words[: sampling.get("max_tokens", len(self.words))]
        return words, "length" if len(words) < len(self.words) else self.finish_reason


async def _sleep_until(due: float) -> None:
    """On time.perf_counter, to a millisecond, as uvloop counts; the event loop gets its turn in every case."""
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
