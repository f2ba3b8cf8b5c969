"""Puts one load on one target, and fills a point with what came of it.

Closed load: each asker puts its next question when it has the answer to its last; a slow server slows its askers, so
latencies under closed load hide the queue that users would stand in. Open load: visits come at times fixed before,
whether or not the server keeps up; latencies count from those times (no coordinated omission; Tene, "How not to
measure latency", 2015), and there is no limit to how many are under way.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from radserve_bench.driving.arrivals import arrival_times
from radserve_bench.driving.asking import Asker, Terms
from radserve_bench.driving.generator_watch import GeneratorWatch
from radserve_bench.errors import BenchError
from radserve_bench.record import Load, Point
from radserve_bench.targets.protocol import Target
from radserve_bench.visit import Visit
from radserve_bench.workloads.protocol import Workload


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of a load: about so many requests if it is closed, so many seconds if it is open."""

    requests: int = 16
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of a plan: what is asked, how much at once or a second, on which terms."""

    workload: Workload
    load: Load
    amount: Amount = field(default_factory=Amount)
    terms: Terms = field(default_factory=Terms)
    more: str = ""
    """What tells this cell from another of the same workload, for its name."""

    @property
    def name(self) -> str:
        """As it stands in tables."""
        return f"{self.workload.name}, {self.more}" if self.more else self.workload.name

    def draw(self, seed: int, pixels: int | None = None) -> tuple[list[Visit], list[float]]:
        """The visits, one for each asker at least, and when each comes; no times under closed load."""
        stream = self.workload.visits(seed, pixels)
        if self.load.kind == "closed":
            return _as_many(stream, self.amount.requests, int(self.load.amount)), []
        times = arrival_times(self.load.amount, self.amount.seconds, self.workload.arrivals, seed)
        return list(islice(stream, len(times))), times

    def warm_up(self) -> "Cell":
        """A little of the same: one visit for each asker, or two seconds."""
        return replace(self, amount=Amount(1, 2.0))


async def prepare(
    target: Target, cell: Cell, number: int, seed: int, pixels: int | None = None
) -> "Prepared":
    """Everything before the clock: the visits are drawn (see `Workload.visits`), and the target makes them ready."""
    visits, times = cell.draw(seed, pixels)
    await target.prepare(visits)
    planned = sum(len(visit.questions) for visit in visits)
    point = Point(target.name, cell.name, cell.load, number, planned, complete=False)
    return Prepared(target, cell, visits, times, point)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A point that is about to be measured. `point` holds what was finished at any time, also after a cancellation."""

    target: Target
    cell: Cell
    visits: Sequence[Visit]
    times: Sequence[float]
    point: Point

    async def drive(self) -> None:
        """Put the load on and wait for all answers, and under open load until its time is over."""
        watch = GeneratorWatch()
        watch.start()
        asker = Asker(self.target, self.point, self.cell.terms, time.perf_counter())
        try:
            if self.times:
                await self._open(asker)
            else:
                await self._closed(asker)
            self.point.complete = True
        except* BenchError as failures:  # of the task groups: the first says it
            raise failures.exceptions[0] from None
        finally:
            self.point.generator_cpu_s = watch.stop()
            self.point.generator_lag_s = watch.lag_s
            self.point.wall_s = _wall(self.point, asker.now())

    async def _closed(self, asker: Asker) -> None:
        queue = iter(list(enumerate(self.visits)))
        async with asyncio.TaskGroup() as askers:
            for _ in range(int(self.cell.load.amount)):
                askers.create_task(_attend_all(asker, queue))

    async def _open(self, asker: Asker) -> None:
        async with asyncio.TaskGroup() as visits:
            for number, (due, visit) in enumerate(zip(self.times, self.visits, strict=True)):
                await asyncio.sleep(due - asker.now())
                visits.create_task(asker.attend(number, visit, due))
        await asyncio.sleep(len(self.times) / self.cell.load.amount - asker.now())


async def _attend_all(asker: Asker, queue: Iterator[tuple[int, Visit]]) -> None:
    for number, visit in queue:
        await asker.attend(number, visit)


def _as_many(stream: Iterator[Visit], requests: int, askers: int) -> list[Visit]:
    """The fewest visits that hold so many questions; one for each asker at least, so that none stands idle."""
    visits: list[Visit] = []
    questions = 0
    while questions < requests or len(visits) < askers:
        visits.append(next(stream))
        questions += len(visits[-1].questions)
    return visits


def _wall(point: Point, now: float) -> float:
    """From the first sending to the last end; of open load all its time, whenever the first and last visits came."""
    if point.load.kind == "open" or not point.records:
        return now
    began = min(record.sent for record in point.records)
    return max(record.end or now for record in point.records) - began
