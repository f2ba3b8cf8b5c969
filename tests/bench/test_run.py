"""Rounds, turns, budget, and what is left after an interruption."""

import asyncio
import os
import signal
from dataclasses import asdict
from itertools import islice

import pytest

from radserve_bench.driving.asking import Terms
from radserve_bench.driving.interruption import Interruption
from radserve_bench.driving.journal import Journal, read_points
from radserve_bench.driving.load import Amount, Cell
from radserve_bench.driving.run import Plan, Run
from radserve_bench.record import Load
from radserve_bench.targets.fake import FakeTarget
from radserve_bench.workloads.catalogue import workload_named
from radserve_bench.workloads.kinds import slices_of, talk
from radserve_bench.workloads.mixture import Mixture, Share

pytestmark = pytest.mark.timed


def cell(amount=1, requests=2, tokens=2):
    return Cell(workload_named("text"), Load("closed", amount), Amount(requests), Terms(tokens))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr("radserve_bench.driving.run._PAUSE_S", 0.0)


async def test_targets_take_turns_and_each_round_begins_with_another():
    plan = Plan((cell(), cell(2)), rounds=3)
    run = Run([FakeTarget("a"), FakeTarget("b")], plan)
    await run.execute()
    assert len(run.points) == run.planned == 3 * 2 * 2
    assert all(point.round >= 1 and point.complete for point in run.points)  # the warm-up is not kept
    firsts = [point.target for point in run.points[::2]]
    assert firsts == ["b", "a", "a", "b", "b", "a"]
    assert all(one.target != two.target for one, two in zip(run.points[::2], run.points[1::2], strict=True))


async def test_a_budget_ends_the_rounds_but_leaves_two():
    plan = Plan((cell(requests=2),), rounds=50, budget_s=0.5)
    run = Run([FakeTarget(first_s=0.1, token_s=0.0)], plan)
    await run.execute()
    assert 2 <= len(run.points) <= 3 and not run.interrupted
    assert [plan.has_time(number, [9.0] * number) for number in (0, 1, 2, 3)] == [True, True, True, False]


async def test_an_interruption_keeps_finished_points_and_finished_requests(tmp_path):
    plan = Plan((cell(requests=4),), rounds=50)
    run = Run([FakeTarget(first_s=0.02, token_s=0.0)], plan, Journal(tmp_path))

    async def interrupt() -> None:
        while len(run.points) < 3 or not run.points[-1].records:
            await asyncio.sleep(0.002)
        os.kill(os.getpid(), signal.SIGINT)

    with Interruption() as interruption:
        signalling = asyncio.create_task(interrupt())
        with pytest.raises(asyncio.CancelledError):
            await run.execute()
        await signalling
    assert run.interrupted and interruption.caught
    *finished, cut = run.points
    assert len(finished) == 2 and all(point.complete and len(point.records) == 4 for point in finished)
    assert not cut.complete and 1 <= len(cut.records) < 4 and all(record.answered for record in cut.records)
    assert cut.wall_s > 0
    assert [asdict(point) for point in read_points(tmp_path)] == [asdict(point) for point in run.points]


async def test_targets_of_a_round_are_asked_the_same_with_other_pixels():
    """The same kinds at the same times, so that a ratio is not one of two draws; but no pixels twice in a run."""
    drawn = []
    shares = [Share(talk(), 0.5), Share(slices_of(side=64), 0.5)]
    mixed = Mixture("mixed", "", shares, stat=0.1)

    class Seen:
        name, description, arrivals = "seen", "", "poisson"

        def visits(self, seed, pixels=None):
            drawn.append((seed, pixels, [visit.kind for visit in islice(mixed.visits(seed, pixels), 30)]))
            return workload_named("text").visits(seed, pixels)

    cells = tuple(Cell(Seen(), Load("open", 200.0 * place), Amount(seconds=0.05)) for place in (1, 2))
    run = Run([FakeTarget(name, first_s=0.0) for name in "abc"], Plan(cells, rounds=3, warm_up=False))
    await run.execute()
    assert len({pixels for _, pixels, _ in drawn}) == len(drawn) == 3 * 2 * 3
    assert all(one[0] == two[0] == three[0] for one, two, three in batched(drawn))
    assert all(one[2] == two[2] == three[2] for one, two, three in batched(drawn))
    assert len({seed for seed, _, _ in drawn}) == 3 * 2
    for points in batched(run.points):
        assert len({tuple(sorted(record.due for record in point.records)) for point in points}) == 1


def batched(drawn):
    return zip(drawn[::3], drawn[1::3], drawn[2::3], strict=True)


async def test_a_server_that_was_asked_before_has_not_seen_these_pixels():
    """Two runs with one seed: the same kinds and times, other pixels."""
    drawn = []

    class Seen:
        name, description, arrivals = "seen", "", "even"

        def visits(self, seed, pixels=None):
            drawn.append(pixels)
            return workload_named("text").visits(seed, pixels)

    for _ in range(2):
        plan = Plan((Cell(Seen(), Load("closed", 1), Amount(1), Terms(1)),), rounds=1)
        await Run([FakeTarget(first_s=0.0)], plan).execute()
    assert len(set(drawn)) == 4
