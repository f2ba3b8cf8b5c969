"""The small protocol between `clinical_vqa` and the engine that answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from radserve_engines.errors import EngineError
from radserve_engines.generation import Delta, Generation
from radserve_engines.manifest import EngineManifest

Sink = Callable[[Delta | EngineError], None]


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine is busy with: questions that hold a slot, questions that wait, and totals since start."""

    running: int = 0
    waiting: int = 0
    finished: int = 0
    cancelled: int = 0


class Handle(Protocol):
    """A question under way."""

    def cancel(self) -> None:
        """Give the slot back; the sink then gets one last delta with finish_reason "cancelled". Idempotent."""
        ...


class Runtime(Protocol):
    """An engine in memory. `submit`, `load` and `cancel` may be called from any thread."""

    manifest: EngineManifest

    def submit(self, generation: Generation, sink: Sink) -> Handle:
        """Queue a question. The sink is called from the engine's thread, in order, and must not block.

        Its last call carries a finish_reason, or is an EngineError. A question that this engine can never
        answer raises QuestionRefused here.
        """
        ...

    def load(self) -> Load:
        """Counted by the engine itself."""
        ...

    def probe(self, timeout_s: float) -> bool:
        """Whether the engine's own loop answers within `timeout_s`."""
        ...

    def close(self) -> None:
        """Cancel what runs, stop the loop, free the memory."""
        ...
