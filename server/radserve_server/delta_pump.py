"""Takes an engine's deltas as they come, so that a slow reader holds up neither the engine nor the next question.

Deltas that wait are handed out together, to become one event.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from radserve_server.backend import Delta
from radserve_server.disconnect import cancel
from radserve_server.errors import EngineUnavailable

Batch = tuple[Delta, ...]


class DeltaPump:
    """Runs until the stream ends or `stop`; then, or on failure, calls `done`, which must not fail."""

    def __init__(
        self, stream: AsyncGenerator[Delta, None], silence_s: float, done: Callable[[], None]
    ) -> None:
        self._silence_s = silence_s
        self._done = done
        self._queue: asyncio.Queue[Delta | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(stream))
        self._task.add_done_callback(self._end)

    async def take(self) -> Batch:
        """All deltas that wait, at least one; raises what the stream failed with, after what came before."""
        deltas: list[Delta] = []
        while not deltas or not self._queue.empty():
            delta = await self._queue.get()
            if delta is None:
                self._queue.put_nowait(None)
                if deltas:
                    break
                self._task.result()
                raise EngineUnavailable("the engine's answer ended before it was finished")
            deltas.append(delta)
            if delta.finish_reason:
                break
        return tuple(deltas)

    async def stop(self) -> None:
        """Cancel the stream, in the engine too, and wait until that is done."""
        await cancel(self._task)

    async def _run(self, stream: AsyncGenerator[Delta, None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._silence_s) as limit, aclosing(stream):
                async for delta in stream:
                    limit.reschedule(loop.time() + self._silence_s)
                    self._queue.put_nowait(delta)
        except TimeoutError:
            raise EngineUnavailable(f"the engine said nothing for {self._silence_s:g} s") from None

    def _end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            task.exception()  # seen; `take` raises it
        self._queue.put_nowait(None)
        self._done()
