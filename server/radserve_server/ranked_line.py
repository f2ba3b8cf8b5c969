"""Who waits for something that there are few of: the lowest rank gets the next one."""

import asyncio
import heapq
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class RankedLine(Generic[T]):
    """Things are put in by `put` and taken by `take`; equal ranks are served in the order they came."""

    def __init__(self) -> None:
        self._free: list[T] = []
        self._line: list[tuple[float, int, asyncio.Future[T]]] = []
        self._arrivals = count()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not turn.done() for _, _, turn in self._line)

    def put(self, thing: T) -> None:
        """Give `thing` to the first in line who still wants it, or keep it for the next who comes."""
        while self._line:
            _, _, turn = heapq.heappop(self._line)
            if not turn.done():
                turn.set_result(thing)
                return
        self._free.append(thing)

    async def take(self, rank: float) -> T:
        """Wait for one. Who is cancelled leaves the line, and what he was just given goes to the next."""
        if self._free:
            return self._free.pop()
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (rank, next(self._arrivals), turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.put(turn.result())
            raise
