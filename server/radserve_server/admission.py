"""How many questions are answered at once, how many may wait, and when to say no."""

import asyncio
from collections import deque

from radserve_server.errors import Overloaded


class Place:
    """A place among the running questions; give it back with `release`, once or more often."""

    def __init__(self, admission: "Admission") -> None:
        self._admission: Admission | None = admission

    def release(self) -> None:
        """Give the place to the next who waits."""
        if self._admission is not None:
            admission, self._admission = self._admission, None
            admission._leave()


class Admission:
    """First come, first served; `max_waiting` may wait, each for `max_wait_s` at most."""

    def __init__(self, max_running: int, max_waiting: int, max_wait_s: float) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._queue: deque[asyncio.Future[None]] = deque()
        self.running = 0

    @property
    def waiting(self) -> int:
        """Questions without a place yet."""
        return len(self._queue)

    async def enter(self) -> Place:
        """Wait for a place; raises Overloaded at once if too many wait, or after the longest wait."""
        if self.running < self._max_running:
            self.running += 1
            return Place(self)
        if len(self._queue) >= self._max_waiting:
            raise Overloaded(
                f"{self.running} questions are running and {self.waiting} waiting; try again soon"
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self._max_wait_s):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise Overloaded(f"no place became free within {self._max_wait_s:g} s; try again soon") from None
        except asyncio.CancelledError:
            self._give_up(turn)
            raise
        return Place(self)

    def _leave(self) -> None:
        """Hand the place on, so that nobody who comes later can take it first."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def _give_up(self, turn: "asyncio.Future[None]") -> None:
        if turn in self._queue:
            self._queue.remove(turn)
        elif turn.done() and not turn.cancelled():
            self._leave()
