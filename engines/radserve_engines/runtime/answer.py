"""The bookkeeping of one answer under way, the same for every runtime: text, stops, timings, the last delta."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from radserve_engines.errors import EngineError
from radserve_engines.generation import Delta, Generation, Timings
from radserve_engines.prompt import Prompt
from radserve_engines.runtime.protocol import Sink
from radserve_engines.text_stream import TextStream


@dataclass(slots=True)
class Clock:
    """Seconds on the monotonic clock at which an answer passed each stage; 0 until it has."""

    queued: float = field(default_factory=time.perf_counter)
    admitted: float = 0.0
    encoded: float = 0.0
    first_token: float = 0.0

    def timings(self, prompt: Prompt, completion_tokens: int) -> Timings:
        """Each stage in ms; a stage that was never reached counts 0."""
        now = time.perf_counter()
        ends = [self.queued, self.admitted, self.encoded, self.first_token]
        reached = [*(t for t in ends if t), now]
        spans = [1e3 * (later - earlier) for earlier, later in pairwise(reached)]
        queue, vision, prefill, decode = [*spans, 0.0, 0.0, 0.0][:4]
        return Timings(
            queue, vision, prefill, decode, prompt.prompt_tokens, prompt.image_tokens, completion_tokens
        )


@dataclass(slots=True, eq=False)
class Answer:
    """One question's way through a runtime. Everything but `cancel` is called from the engine's thread."""

    generation: Generation
    prompt: Prompt
    max_tokens: int
    sink: Sink
    text: TextStream
    clock: Clock = field(default_factory=Clock)
    completion_tokens: int = 0
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """From any thread: the engine's loop gives the slot back at its next step."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def push(self, token_ids: Sequence[int], logprobs: Sequence[float]) -> None:
        """Tokens of one engine step go to the sink."""
        if not self.clock.first_token:
            self.clock.first_token = time.perf_counter()
        self.completion_tokens += len(token_ids)
        self.sink(Delta(self.text.push(list(token_ids)), tuple(token_ids), self._asked(logprobs)))

    def finish(self, reason: str, token_ids: Sequence[int] = (), logprobs: Sequence[float] = ()) -> None:
        """The last delta, with the tokens of the last step, what text was held back, and the timings."""
        if token_ids and not self.clock.first_token:
            self.clock.first_token = time.perf_counter()
        self.completion_tokens += len(token_ids)
        text = self.text.push(list(token_ids)) + self.text.finish()
        timings = self.clock.timings(self.prompt, self.completion_tokens)
        self.sink(Delta(text, tuple(token_ids), self._asked(logprobs), reason, timings))

    def fail(self, error: EngineError) -> None:
        """No answer: the sink gets the error as its last call."""
        self.sink(error)

    def _asked(self, logprobs: Sequence[float]) -> tuple[float, ...]:
        return tuple(logprobs) if self.generation.sampling.logprobs else ()
