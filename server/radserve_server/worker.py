"""One process that renders images, as the gateway sees it."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from radserve_server.aside import run_aside
from radserve_server.memory_files import read_file, write_file

T = TypeVar("T")
_START_S = 60.0
_LINE_LIMIT = 2**24
# One thread each: the pool is the parallelism, and every thread and its heap cost address space.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


class Worker:
    """One process, its control socket, and the memory files that carry bytes in and pixels out."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._source = os.memfd_create("source", os.MFD_CLOEXEC)
        self._target = os.memfd_create("target", os.MFD_CLOEXEC)
        self.pid: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._moving: asyncio.Future[Any] | None = None

    async def start(self) -> None:
        """Start the process and wait until it is warm; raises EOFError if it dies before."""
        ours, theirs = socket.socketpair()
        with theirs:
            files = (theirs.fileno(), self._source, self._target)
            arguments = [str(number) for number in (*files, self._memory_bytes)]
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "radserve_server.render_worker", *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=files,
                env={**os.environ, **_ONE_THREAD},
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_LIMIT)
        async with asyncio.timeout(_START_S):
            await self._outcome()
        self.pid = self._process.pid

    async def work(
        self, parts: Sequence[bytes], job: dict[str, Any], deadline_s: float
    ) -> tuple[dict[str, Any], bytes]:
        """Do one job on files: its outcome and the bytes it made. Raises EOFError if the process dies, TimeoutError."""
        if self._writer is None:
            raise EOFError("the worker was not started")
        sizes = [len(part) for part in parts]
        total = sum(sizes)
        try:
            await self._move(run_aside(total, write_file, self._source, parts))
            self._writer.write(json.dumps({**job, "sizes": sizes}).encode() + b"\n")
            async with asyncio.timeout(deadline_s):
                outcome = await self._outcome()
            size = outcome.get("size", 0)
            if size > self._memory_bytes:
                raise EOFError("the worker claims to have made more than it can hold")
            return outcome, await self._move(run_aside(size, read_file, self._target, size))
        finally:  # no image outlives its job
            await self._move(run_aside(total, os.ftruncate, self._source, 0))
            os.ftruncate(self._target, 0)

    async def stop(self) -> None:
        """Kill the process, wait for its end, and free what it held."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._moving is not None:
            await asyncio.wait({self._moving})
        os.close(self._source)
        os.close(self._target)

    async def _move(self, moving: Awaitable[T]) -> T:
        """To its end even if the job is cancelled: a memory file must not be closed under a thread."""
        self._moving = future = asyncio.ensure_future(moving)
        return await asyncio.shield(future)

    async def _outcome(self) -> dict[str, Any]:
        """Whatever is no line of JSON is the word of a dying process."""
        try:
            line = b"" if self._reader is None else await self._reader.readline()
            outcome: dict[str, Any] = json.loads(line)
        except ValueError:
            raise EOFError("the worker died") from None
        return outcome
