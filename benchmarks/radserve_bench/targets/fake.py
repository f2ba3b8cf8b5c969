"""A target without a server, for tests of the load itself: as slow, as narrow and as faulty as it is told to be."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from radserve_bench.errors import RequestFailed
from radserve_bench.record import Description
from radserve_bench.targets.protocol import Reply
from radserve_bench.visit import Visit


@dataclass(slots=True)
class FakeTarget:
    """`slots` questions are answered at once, each `first_s` to its first token and `token_s` for every further one.

    Every `fail_every`-th question fails, at once. `asked` counts questions, `most` those under way together.
    """

    name: str = "fake"
    first_s: float = 0.01
    token_s: float = 0.001
    slots: int = 1_000_000
    fail_every: int | None = None
    asked: int = 0
    running: int = 0
    most: int = 0
    _free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.slots)

    async def open(self) -> Description:
        """Always there."""
        return Description(self.name, "fake", "fake")

    async def prepare(self, visits: Sequence[Visit]) -> None:
        """Nothing to make ready."""

    def begin(self, visit: Visit) -> "FakeTarget":
        """It is its own sitting: it remembers nothing."""
        return self

    def processes(self) -> None:
        """None of its own."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def ask(self, question: str, tokens: int | None) -> Reply:
        """Tokens on schedule, 4 if no length is asked."""
        sent = time.perf_counter()
        self.asked += 1
        if self.fail_every and self.asked % self.fail_every == 0:
            raise RequestFailed("the fake target failed, as it was told to")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            async with self._free:
                return await self._answer(sent, tokens or 4)
        finally:
            self.running -= 1

    async def _answer(self, sent: float, tokens: int) -> Reply:
        await asyncio.sleep(self.first_s)
        events = [time.perf_counter()]
        for _ in range(tokens - 1):
            await asyncio.sleep(self.token_s)
            events.append(time.perf_counter())
        split = {"queue": 1e3 * (events[0] - sent - self.first_s), "prefill": 1e3 * self.first_s}
        return Reply(sent, events[0], events[-1], events, 10, tokens, split)
