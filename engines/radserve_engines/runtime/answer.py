"""The bookkeeping of one answer under way, the same for every runtime: text, stops, score, timings, the last delta."""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from radserve_engines.errors import EngineError
from radserve_engines.generation import Delta, Generation, Score, Timings
from radserve_engines.prompt import Prompt
from radserve_engines.runtime.protocol import Sink
from radserve_engines.runtime.repetition import RepetitionWatch
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
    _logprob: float = 0.0
    _repetition: RepetitionWatch = field(default_factory=RepetitionWatch)
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """From any thread: the engine's loop gives the slot back at its next step."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def cut(self) -> str:
        """Why the answer must end here though the model would go on: "stop", "repetition", or "" if it need not.

        The runtime frees the slot and calls `finish` with this reason. What was said of a repetition stays said.
        """
        if self.text.stopped:
            return "stop"
        return "repetition" if self._repetition.found else ""

    def push(self, token_ids: Sequence[int], logprobs: Sequence[float]) -> None:
        """Tokens of one engine step go to the sink."""
        self._count(token_ids, logprobs)
        self.sink(Delta(self.text.push(list(token_ids)), tuple(token_ids), self._asked(logprobs)))

    def finish(self, reason: str, token_ids: Sequence[int] = (), logprobs: Sequence[float] = ()) -> None:
        """The last delta, with the tokens of the last step, what text was held back, and the timings."""
        self._count(token_ids, logprobs)
        text = self.text.push(list(token_ids)) + self.text.finish()
        timings = self.clock.timings(self.prompt, self.completion_tokens)
        whole = reason == "stop" and not self.text.stopped
        score = Score(self._logprob, self.completion_tokens, whole)
        self.sink(Delta(text, tuple(token_ids), self._asked(logprobs), reason, timings, score))

    def fail(self, error: EngineError) -> None:
        """No answer: the sink gets the error as its last call."""
        self.sink(error)

    def _count(self, token_ids: Sequence[int], logprobs: Sequence[float]) -> None:
        if token_ids and not self.clock.first_token:
            self.clock.first_token = time.perf_counter()
        self.completion_tokens += len(token_ids)
        self._logprob += sum(logprobs) if len(logprobs) == len(token_ids) else math.nan
        if not self.generation.sampling.ignore_eos:  # a benchmark wants its full length
            for token_id in token_ids:
                self._repetition.push(token_id)

    def _asked(self, logprobs: Sequence[float]) -> tuple[float, ...]:
        return tuple(logprobs) if self.generation.sampling.logprobs else ()
