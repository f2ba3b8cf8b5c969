"""An engine's one thread: questions come in through a queue, answers leave through their sinks."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from pathlib import Path

from radserve_engines.errors import EngineError, EngineFailed, QuestionRefused
from radserve_engines.generation import Generation
from radserve_engines.manifest import EngineManifest
from radserve_engines.prompt import PromptTemplate
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.protocol import Load, Sink
from radserve_engines.text_stream import TextStream

_log = logging.getLogger(__name__)


class EngineLoop(ABC):
    """Queue, counts, probe and shutdown; a runtime adds `start` and `step`.

    `max_waiting` bounds the queue: past it a question is refused as overloaded. `after_turn` is called on the
    engine's thread when the sinks have what a turn brought.
    """

    def __init__(
        self,
        folder: Path,
        manifest: EngineManifest,
        *,
        max_waiting: int = 256,
        after_turn: Callable[[Load], None] = lambda load: None,
    ) -> None:
        self.manifest = manifest
        self.template = PromptTemplate(folder, manifest)
        self._max_waiting = max_waiting
        self._after_turn = after_turn
        self._waiting: deque[Answer] = deque()
        self._running: list[Answer] = []
        self._finished = 0
        self._cancelled = 0
        self._probes: list[threading.Event] = []
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def submit(self, generation: Generation, sink: Sink) -> Answer:
        """See `Runtime.submit`; the prompt is rendered and measured here, on the caller's thread."""
        prompt = self.template.render(generation.messages, generation.images)
        max_tokens = self.template.room(prompt, generation.sampling.max_tokens)
        text = TextStream(self.template.tokenizer, generation.sampling.stop)
        answer = Answer(generation, prompt, max_tokens, sink, text)
        with self._wake:
            if self._closing:
                raise EngineFailed("the engine is shutting down", code="shutting_down")
            if len(self._waiting) >= self._max_waiting:
                raise QuestionRefused(f"{self._max_waiting} questions are waiting already", code="overloaded")
            self._waiting.append(answer)
            self._wake.notify()
        return answer

    def load(self) -> Load:
        """See `Runtime.load`."""
        with self._wake:
            return Load(len(self._running), len(self._waiting), self._finished, self._cancelled)

    def probe(self, timeout_s: float) -> bool:
        """See `Runtime.probe`: a whole turn of the loop must pass."""
        turned = threading.Event()
        with self._wake:
            self._probes.append(turned)
            self._wake.notify()
        return turned.wait(timeout_s)

    def close(self) -> None:
        """See `Runtime.close`."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    @abstractmethod
    def start(self, answer: Answer) -> None:
        """Give the answer a slot. Raises EngineError for this question alone."""

    @abstractmethod
    def step(self, running: list[Answer]) -> list[Answer]:
        """Advance the running answers, feed their sinks, and return those that are done."""

    @abstractmethod
    def release(self, answer: Answer) -> None:
        """Take the slot back from an answer that was cancelled."""

    @abstractmethod
    def has_slot(self, running: int) -> bool:
        """Whether one more answer can run beside `running` others."""

    def _run(self) -> None:
        while self._await_work():
            self._drop_cancelled()
            self._admit_one()
            if self._running:
                self._step()
            self._answer_probes()
            self._after_turn(self.load())
            time.sleep(0)  # a runtime may hold the GIL while it works: let questions and cancellations in
        for answer in [*self._running, *self._waiting]:
            answer.cancel()
        self._drop_cancelled()
        self._after_turn(self.load())

    def _await_work(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._closing or self._probes or self._waiting or self._running)
            return not self._closing

    def _drop_cancelled(self) -> None:
        with self._wake:
            gone = [a for a in (*self._running, *self._waiting) if a.cancelled]
            held = [a for a in self._running if a.cancelled]
            self._running = [a for a in self._running if not a.cancelled]
            self._waiting = deque(a for a in self._waiting if not a.cancelled)
            self._cancelled += len(gone)
        for answer in held:
            self.release(answer)
        for answer in gone:
            answer.finish("cancelled")

    def _admit_one(self) -> None:
        """One a turn: encoding an image must not hold up the answers that are streaming."""
        with self._wake:
            if not self._waiting or not self.has_slot(len(self._running)):
                return
            answer = self._waiting.popleft()
            self._running.append(answer)
        try:
            self.start(answer)
        except EngineError as error:
            self._fail([answer], error)
        except Exception:  # the process's edge: one question must not end the engine
            _log.exception("a question could not be started")
            self._fail([answer], EngineFailed("the engine could not start on this question"))

    def _step(self) -> None:
        try:
            done = self.step(self._running)
        except Exception:  # the process's edge: those questions are lost, the engine goes on
            _log.exception("an engine step failed")
            for answer in self._running:
                self.release(answer)
            self._fail(list(self._running), EngineFailed("the engine failed in the middle of this answer"))
            return
        if done:
            with self._wake:
                self._running = [a for a in self._running if a not in done]
                self._finished += len(done)

    def _fail(self, answers: list[Answer], error: EngineError) -> None:
        with self._wake:
            self._running = [a for a in self._running if a not in answers]
        for answer in answers:
            answer.fail(error)

    def _answer_probes(self) -> None:
        with self._wake:
            turned, self._probes = self._probes, []
        for event in turned:
            event.set()
