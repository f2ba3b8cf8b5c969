"""Rounds, turns, budget, and what is left after an interruption."""

import asyncio
import os
import signal
from dataclasses import asdict

import pytest

from radserve_bench.driving.asking import Terms
from radserve_bench.driving.journal import Journal, read_points
from radserve_bench.driving.load import Amount, Cell
from radserve_bench.driving.run import Plan, Run
from radserve_bench.record import Load
from radserve_bench.targets.fake import FakeTarget
from radserve_bench.workloads.catalogue import workload_named


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

    await asyncio.gather(run.execute(), interrupt())
    assert run.interrupted
    *finished, cut = run.points
    assert len(finished) == 2 and all(point.complete and len(point.records) == 4 for point in finished)
    assert not cut.complete and 1 <= len(cut.records) < 4 and all(record.answered for record in cut.records)
    assert cut.wall_s > 0
    assert [asdict(point) for point in read_points(tmp_path)] == [asdict(point) for point in run.points]


async def test_no_two_points_are_drawn_with_one_seed(monkeypatch):
    seeds = []
    text = workload_named("text")

    class Seen:
        name, description, arrivals = "seen", "", "even"

        def visits(self, seed):
            seeds.append(seed)
            return text.visits(seed)

    cells = tuple(Cell(Seen(), Load("closed", amount), Amount(1), Terms(1)) for amount in (1, 2, 3))
    run = Run([FakeTarget(name, first_s=0.0) for name in "abc"], Plan(cells, rounds=4))
    await run.execute()
    assert len(set(seeds)) == len(seeds) == 5 * 3 * 3
