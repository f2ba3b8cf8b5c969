"""A few warm processes that render images, one job each at a time; one that dies or dawdles is replaced."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from radserve_server.decode_cost import rank_job
from radserve_server.errors import ImageRefused, Overloaded
from radserve_server.image_times import ImageTimes, split_job
from radserve_server.metrics import Metrics
from radserve_server.ranked_line import RankedLine
from radserve_server.worker import Worker

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How many processes, how much address space each, how long (s) one image may take, and how much may wait.

    Sizes in bytes.
    """

    workers: int
    memory_bytes: int
    deadline_s: float
    queue_bytes: int


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker says of a job, the bytes it made, and where the time went."""

    outcome: dict[str, Any]
    out: bytes
    times: ImageTimes


class WorkerPool:
    """Give it a job with `work`; a small image passes waiting large ones, but none waits for ever."""

    def __init__(self, limits: WorkerLimits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._idle: RankedLine[Worker] = RankedLine()
        self._waiting_bytes = 0
        self._workers: set[Worker] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return self._idle.waiting

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

    async def work(self, parts: Sequence[bytes], job: dict[str, Any]) -> Done:
        """Do one job on some files; raises ImageRefused if it kills its worker or takes too long, or Overloaded.

        A caller who gives up while waiting leaves the line. A job that runs ends by itself: its worker is not
        free before that. A worker may die of something else, so only an image that kills two is to blame.
        """
        arrived = time.perf_counter()
        rank = rank_job(asyncio.get_running_loop().time(), parts)
        for _ in range(2):
            worker = await self._wait(rank, sum(len(part) for part in parts))
            began = time.perf_counter()
            self._metrics.render_queue_seconds.observe(began - arrived)
            try:
                outcome, out = await asyncio.shield(self._keep(self._run(worker, parts, job)))
            except (EOFError, OSError):
                continue
            times = split_job(began - arrived, time.perf_counter() - began, outcome.get("decode_s", 0.0))
            self._metrics.decode_seconds.observe(times.decode)
            return Done(outcome, out, times)
        raise ImageRefused("the decoder crashes on this image")

    async def _wait(self, rank: float, size: int) -> Worker:
        """For a worker; what waits is in memory, so it is bounded. One job may always wait."""
        if self._waiting_bytes and self._waiting_bytes + size > self._limits.queue_bytes:
            raise Overloaded("too many images wait to be decoded; try again in a moment")
        self._waiting_bytes += size
        try:
            return await self._idle.take(rank)
        finally:
            self._waiting_bytes -= size

    async def _run(
        self, worker: Worker, parts: Sequence[bytes], job: dict[str, Any]
    ) -> tuple[dict[str, Any], bytes]:
        """One job on one worker, which is then given back, or replaced if it did not survive."""
        deadline_s = self._limits.deadline_s
        try:
            with self._metrics.render_seconds.time():
                done = await worker.work(parts, job, deadline_s)
        except TimeoutError:
            self._keep(self._replace(worker))
            raise ImageRefused(f"decoding it takes longer than {deadline_s:g} s") from None
        except (EOFError, OSError):
            self._keep(self._replace(worker))
            raise
        self._idle.put(worker)
        return done

    async def _add(self) -> None:
        worker = Worker(self._limits.memory_bytes)
        self._workers.add(worker)
        try:
            await worker.start()
        except (EOFError, OSError, TimeoutError):
            self._workers.discard(worker)
            await worker.stop()
            raise
        self._idle.put(worker)

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

    def _keep(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
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
