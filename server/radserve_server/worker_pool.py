"""A few warm processes that render images, one job each at a time; one that dies or dawdles is replaced."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

from radserve_server.errors import ImageRefused
from radserve_server.memory_files import read_file, write_file

_LOG = logging.getLogger(__name__)
_START_S = 60.0
_RETRY_S = 1.0
_LINE_LIMIT = 2**20
# One thread each: the pool is the parallelism, and every thread costs address space.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How many processes, how much address space each (bytes), and how long (s) one image may take."""

    workers: int
    memory_bytes: int
    deadline_s: float


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

    async def work(self, data: bytes, job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Do one job: its outcome and the bytes it made. Raises EOFError if the process dies."""
        if self._writer is None:
            raise EOFError("the worker was not started")
        try:
            write_file(self._source, data)
            self._writer.write(json.dumps({**job, "size": len(data)}).encode() + b"\n")
            outcome = await self._outcome()
            return outcome, read_file(self._target, outcome.get("size", 0))
        finally:  # no image outlives its job
            os.ftruncate(self._source, 0)
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
        os.close(self._source)
        os.close(self._target)

    async def _outcome(self) -> dict[str, Any]:
        line = b"" if self._reader is None else await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the worker died")
        outcome: dict[str, Any] = json.loads(line)
        return outcome


class WorkerPool:
    """Give it a job with `work`; who comes first gets the first idle worker."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._workers: set[Worker] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def pids(self) -> list[int]:
        """The process ids of the workers that are warm."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def start(self) -> None:
        """Start all workers; raises EOFError or TimeoutError if they cannot."""
        await asyncio.gather(*(self._add() for _ in range(self._limits.workers)))

    async def stop(self) -> None:
        """End all workers and what they are doing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        self._workers.clear()

    async def work(self, data: bytes, job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Do one job; raises ImageRefused if it kills its worker or takes too long.

        A caller that gives up leaves the job to end by itself: its worker is not free before that.
        """
        return await asyncio.shield(self._keep(self._do(data, job)))

    async def _do(self, data: bytes, job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """A worker may die of something else, so only an image that kills two is to blame."""
        for _ in range(2):
            worker = await self._idle.get()
            try:
                async with asyncio.timeout(self._limits.deadline_s):
                    done = await worker.work(data, job)
            except TimeoutError:
                self._keep(self._replace(worker))
                raise ImageRefused(f"decoding it takes longer than {self._limits.deadline_s:g} s") from None
            except (EOFError, OSError):
                self._keep(self._replace(worker))
                continue
            self._idle.put_nowait(worker)
            return done
        raise ImageRefused("the decoder crashes on this image")

    async def _add(self) -> None:
        worker = Worker(self._limits.memory_bytes)
        self._workers.add(worker)
        try:
            await worker.start()
        except (EOFError, OSError, TimeoutError):
            self._workers.discard(worker)
            await worker.stop()
            raise
        self._idle.put_nowait(worker)

    async def _replace(self, worker: Worker) -> None:
        _LOG.warning("a decoding worker died or took too long and is replaced")
        self._workers.discard(worker)
        await worker.stop()
        while True:
            try:
                return await self._add()
            except (EOFError, OSError, TimeoutError) as error:
                _LOG.error("a decoding worker cannot be started: %s", error)
                await asyncio.sleep(_RETRY_S)

    def _keep(self, coroutine: Any) -> "asyncio.Task[Any]":
        """As a task that is not forgotten before it ends."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: "asyncio.Task[Any]") -> None:
        """Look at the outcome even if the caller is gone."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _LOG.debug("a decoding job ended with %s", type(task.exception()).__name__)
