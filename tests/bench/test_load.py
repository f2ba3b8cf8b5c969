"""The load is as told: so many at once, or at fixed times whether or not the target keeps up."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from itertools import count, pairwise

import pytest

from radserve_bench.driving.arrivals import arrival_times
from radserve_bench.driving.asking import Terms
from radserve_bench.driving.load import Amount, Cell, prepare
from radserve_bench.errors import BenchError
from radserve_bench.record import Load, Point
from radserve_bench.targets.fake import FakeTarget
from radserve_bench.visit import Visit

pytestmark = pytest.mark.timed


class Evenly:
    """Visits of so many questions, evenly spread."""

    name = "evenly"
    description = "a visit"
    arrivals = "even"

    def __init__(self, questions: int = 1) -> None:
        self._questions = questions

    def visits(self, seed: int, pixels: int | None = None) -> Iterator[Visit]:
        for _ in count():
            yield Visit("a visit", (), tuple(f"question {index}" for index in range(self._questions)))


async def measure(target, load, *, workload=None, amount=None, terms=None) -> Point:
    cell = Cell(workload or Evenly(), load, amount or Amount(), terms or Terms(tokens=4))
    prepared = await prepare(target, cell, 1, seed=7)
    await prepared.drive()
    return prepared.point


async def test_closed_load_keeps_so_many_under_way():
    target = FakeTarget()
    point = await measure(target, Load("closed", 4), amount=Amount(requests=20))
    assert len(point.records) == target.asked == point.planned == 20
    assert target.most == 4 and point.complete
    assert all(record.answered and record.tokens == 4 for record in point.records)


async def test_every_asker_has_a_visit_to_attend():
    """Sixteen questions are four visits of four: eight at once would be four, and be called eight."""
    target = FakeTarget()
    point = await measure(target, Load("closed", 8), workload=Evenly(questions=4), amount=Amount(requests=16))
    assert target.most == 8 and point.planned == len(point.records) == 32


async def test_questions_of_a_visit_follow_each_other():
    point = await measure(
        FakeTarget(), Load("closed", 2), workload=Evenly(questions=3), amount=Amount(requests=6)
    )
    for visit in (0, 1):
        first, second, third = sorted(
            (record for record in point.records if record.visit == visit), key=lambda record: record.question
        )
        assert first.end <= second.due <= second.first <= second.end <= third.due


async def test_open_load_above_capacity_shows_the_queue():
    """One question at a time, 50 ms each: 20 a second are served, 40 come. The n-th waits n · 25 ms and its own 50.

    A generator that waited for answers before it sent on (coordinated omission) would show 50 ms for each.
    """
    target = FakeTarget(first_s=0.05, token_s=0.0, slots=1)
    point = await measure(target, Load("open", 40), amount=Amount(seconds=1.0), terms=Terms(tokens=1))
    records = sorted(point.records, key=lambda record: record.due)
    assert [record.due for record in records] == pytest.approx([index / 40 for index in range(40)])
    for index, record in enumerate(records):
        assert record.ttft_s == pytest.approx(0.05 + 0.025 * index, abs=0.02 + 0.002 * index)
    assert target.most > 15
    assert len(records) / point.wall_s < 21


@pytest.mark.parametrize("rate", [5, 12])
async def test_no_more_is_answered_a_second_than_came(rate):
    """Whatever the draw, and though few visits came: the load's own time counts, before the first and after the last.

    From the first of five random times to the last is 2/3 of the time, and 7.5 a second would seem to have come.
    """

    class AtRandom(Evenly):
        arrivals = "poisson"

    for seed in range(3):
        cell = Cell(AtRandom(), Load("open", rate), Amount(seconds=0.6), Terms(tokens=1))
        prepared = await prepare(FakeTarget(first_s=0.001), cell, 1, seed=seed)
        await prepared.drive()
        answered = len(prepared.point.records) / prepared.point.wall_s
        assert 0.8 * rate < answered <= rate


async def test_a_late_generator_counts_from_when_the_request_was_due():
    """The loop stands still for 0.2 s: the requests that were due then have waited, and say so."""
    target = FakeTarget(first_s=0.01)
    cell = Cell(Evenly(), Load("open", 50), Amount(seconds=0.4), Terms(tokens=1))
    prepared = await prepare(target, cell, 1, seed=7)

    async def stand_still() -> None:
        await asyncio.sleep(0.1)
        time.sleep(0.2)

    await asyncio.gather(prepared.drive(), stand_still())
    late = [record for record in prepared.point.records if 0.12 < record.due < 0.2]
    assert late and all(record.ttft_s > 0.09 for record in late)
    assert prepared.point.generator_lag_s > 0.15


async def test_a_generator_that_stands_still_until_the_end_says_so():
    """Nothing else runs between the standstill and the end of the point."""

    class Blocking(FakeTarget):
        async def ask(self, question, tokens):
            reply = await super().ask(question, tokens)
            time.sleep(0.3)
            return reply

    point = await measure(Blocking(), Load("closed", 1), amount=Amount(requests=1))
    assert 0.25 < point.generator_lag_s < 0.6


async def test_failures_are_counted_and_end_their_visit():
    target = FakeTarget(fail_every=20)
    point = await measure(target, Load("closed", 4), amount=Amount(requests=100))
    failed = [record for record in point.records if record.error]
    assert len(point.records) == 100 and len(failed) == 5
    assert {record.error for record in failed} == {"failed"}
    assert all(record.ttft_s is None and record.tokens == 0 for record in failed)
    point = await measure(
        FakeTarget(fail_every=2), Load("closed", 1), workload=Evenly(3), amount=Amount(requests=3)
    )
    assert [record.error for record in point.records] == [None, "failed", "failed"]


async def test_an_answer_that_never_ends_times_out():
    target = FakeTarget(first_s=60)
    point = await measure(
        target, Load("closed", 2), amount=Amount(requests=2), terms=Terms(tokens=1, timeout_s=0.1)
    )
    assert [record.error for record in point.records] == ["timed out"] * 2


async def test_what_cannot_be_measured_is_told_as_itself():
    class Gone(FakeTarget):
        async def ask(self, question, tokens):
            raise BenchError("the target is gone")

    for load in (Load("closed", 2), Load("open", 10)):
        with pytest.raises(BenchError, match="is gone"):
            await measure(Gone(), load, amount=Amount(4, 0.3))


def test_poisson_arrivals_are_exponential_and_as_many_as_told():
    times = arrival_times(50, 100, "poisson", seed=3)
    assert len(times) == 5000 and times == sorted(times) and 0 <= times[0] <= times[-1] <= 100
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(0.02, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(0.02, rel=0.08)  # of an exponential, as its mean
    assert times != arrival_times(50, 100, "poisson", seed=4)


def test_even_arrivals():
    assert arrival_times(4, 1, "even", seed=1) == [0, 0.25, 0.5, 0.75]
