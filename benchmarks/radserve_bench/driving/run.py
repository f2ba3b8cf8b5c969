"""A whole run: rounds of all cells, targets in turn, and what is left of it when it is interrupted.

In each round every cell is measured on every target one after another, and the next round begins with another target,
so that a change of the machine's speed falls on all of them; ratios pair what one round measured. All targets of a
round are asked for the same kinds of visits at the same times, but never with the pixels of another point, nor of
another run: a cache would answer for them. Round 0 is a warm-up and is not kept.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from radserve_bench.driving.journal import Journal
from radserve_bench.driving.load import Cell, prepare
from radserve_bench.driving.meters import Meters
from radserve_bench.driving.progress import Progress
from radserve_bench.record import Point
from radserve_bench.targets.protocol import Target

_LEAST_ROUNDS = 2
_PAUSE_S = 0.4
"""The threads of PyTorch and OpenVINO spin on after their last work, and would slow whoever is next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, how many times, and the seed of its kinds of visits and their arrivals.

    With `budget_s` no round begins that would end later than so many seconds after the first, judged by the longest
    before it; two are measured in any case.
    """

    cells: tuple[Cell, ...]
    rounds: int = 5
    seed: int = 1
    warm_up: bool = True
    budget_s: float | None = None

    def numbers(self) -> range:
        """Of the rounds, the warm-up's 0 with them."""
        return range(0 if self.warm_up else 1, self.rounds + 1)

    def steps(self, number: int, targets: int) -> Iterator[tuple[int, int]]:
        """(cell, target) of one round, in the order in which they are measured."""
        for cell in range(len(self.cells)):
            for turn in range(targets):
                yield cell, (turn + number + cell) % targets

    def has_time(self, number: int, took: Sequence[float]) -> bool:
        """Whether round `number` may begin after rounds that took so many seconds."""
        return self.budget_s is None or number <= _LEAST_ROUNDS or sum(took) + max(took) <= self.budget_s


@dataclass(slots=True)
class Run:
    """`points` grows as it goes, without the warm-up; `interrupted` where it was cancelled."""

    targets: Sequence[Target]
    plan: Plan
    journal: Journal | None = None
    points: list[Point] = field(default_factory=list)
    interrupted: bool = False

    @property
    def planned(self) -> int:
        """How many points are to be kept."""
        return self.plan.rounds * len(self.plan.cells) * len(self.targets)

    async def execute(self, progress: Progress | None = None) -> None:
        """All of it. Raises BenchError, and CancelledError when it is interrupted: `points` has what there is."""
        try:
            await self._measure(progress)
        except asyncio.CancelledError:
            self.interrupted = True
            raise

    def steps(self) -> int:
        """How many points are measured, the warm-up's with them."""
        return len(self.plan.numbers()) * len(self.plan.cells) * len(self.targets)

    async def _measure(self, progress: Progress | None) -> None:
        plan, took = self.plan, list[float]()
        pixels = itertools.count(random.SystemRandom().getrandbits(16))
        for number in plan.numbers():
            if not plan.has_time(number, took):
                break
            began = time.monotonic()
            for cell, turn in plan.steps(number, len(self.targets)):
                drawn = plan.seed + 1009 * number + 101 * cell, next(pixels)
                await self._point(number, plan.cells[cell], self.targets[turn], drawn, progress)
            took.append(time.monotonic() - began)

    async def _point(
        self, number: int, cell: Cell, target: Target, drawn: tuple[int, int], progress: Progress | None
    ) -> None:
        prepared = await prepare(target, cell if number else cell.warm_up(), number, *drawn)
        point = prepared.point
        if len(self.targets) > 1:
            await asyncio.sleep(_PAUSE_S)
        if progress:
            progress.begin(point)
        if number:
            self.points.append(point)
        meters = Meters(target.processes())
        meters.start()
        try:
            await prepared.drive()
        finally:
            point.usage = meters.stop()
            if number and self.journal:
                self.journal.add(point)
        if progress:
            progress.end(point)
