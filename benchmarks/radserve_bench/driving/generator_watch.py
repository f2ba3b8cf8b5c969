"""Whether the load generator itself keeps up: what it measures is worth nothing when it is late."""

import asyncio
import time

_TICK_S = 0.02


class GeneratorWatch:
    """Between `start` and `stop`: this process's CPU seconds, and its event loop's longest delay."""

    def __init__(self) -> None:
        self.lag_s = 0.0
        self._cpu = 0.0
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch; needs a running loop."""
        self.lag_s = 0.0
        self._cpu = time.process_time()
        self._due = time.perf_counter() + _TICK_S
        self._task = asyncio.create_task(self._watch())

    def stop(self) -> float:
        """CPU seconds since `start`."""
        if self._task:
            self._task.cancel()
            self._task = None
            self._note()  # the loop may stand still until now
        return time.process_time() - self._cpu

    async def _watch(self) -> None:
        while True:
            self._due = time.perf_counter() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._note()

    def _note(self) -> None:
        self.lag_s = max(self.lag_s, time.perf_counter() - self._due)
