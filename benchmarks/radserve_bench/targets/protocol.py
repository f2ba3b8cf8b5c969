"""The seam between load and what it is put on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from radserve_bench.record import Description
from radserve_bench.visit import Visit


@dataclass(slots=True)
class Reply:
    """One whole answer. Times are `time.perf_counter`'s; the other fields are as in `Record`.

    `sent` is read before the first byte of the request's first body is written.
    """

    sent: float
    first: float
    end: float
    events: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    tokens: int = 0
    split: dict[str, float] = field(default_factory=dict)


class Sitting(Protocol):
    """One visit under way."""

    async def ask(self, question: str, tokens: int | None) -> Reply:
        """Send what was not sent yet, ask, and read the answer to its end.

        `tokens` is the exact length of the answer, or None for the model's own end. Raises RequestFailed for an
        answer that did not come whole; cancelling it gives up the request.
        """
        ...


class Target(Protocol):
    """Something that answers. `name` heads its column."""

    @property
    def name(self) -> str: ...

    async def open(self) -> Description:
        """Reach it, and learn what it is. Raises BenchError saying what to do."""
        ...

    async def prepare(self, visits: Sequence[Visit]) -> None:
        """Make ready, before any clock, what its client would have. Raises BenchError for a file it cannot take."""
        ...

    def begin(self, visit: Visit) -> Sitting:
        """A visit begins; nothing is sent yet."""
        ...

    def processes(self) -> Sequence[int] | None:
        """Process ids of what answers, whose descendants count as well; None if it is not on this machine."""
        ...

    async def close(self) -> None:
        """Let go of it; what this program started, ends."""
        ...
