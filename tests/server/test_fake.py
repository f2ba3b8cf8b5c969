"""The engine without a model keeps its schedule, its capacity and its share of failures."""

import asyncio
import time
from contextlib import aclosing

import pytest
import uvloop

from radserve_server.backend import EngineUnavailable, Question
from radserve_server.fake import FakeBackend

pytestmark = pytest.mark.timed

LATE_MS = 15  # of a machine with other things to do; what matters is that delays do not add up


def question(**sampling):
    return Question(({"role": "user", "content": "Well?"},), (), sampling)


async def ask(backend, **sampling):
    """The deltas, and when each came, in ms from the question."""
    began, deltas, times = time.perf_counter(), [], []
    async with aclosing(backend.stream(question(**sampling))) as stream:
        async for delta in stream:
            deltas.append(delta)
            times.append(1000 * (time.perf_counter() - began))
    return deltas, times


async def outcomes(backend, count, **sampling):
    """How many tokens came of each of so many questions, and whether it failed."""
    found = []
    for _ in range(count):
        tokens, failed = 0, None
        try:
            async for delta in backend.stream(question(**sampling)):
                tokens += len(delta.token_ids)
        except EngineUnavailable as error:
            failed = error
        found.append((tokens, failed))
    return found


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_tokens_come_by_the_schedule_and_their_delays_do_not_add_up(run):
    backend = FakeBackend(first_delay_s=0.08, token_delay_s=0.01)
    deltas, times = run(ask(backend, ignore_eos=True, max_tokens=60))
    errors = [at - (80 + 10 * index) for index, at in enumerate(times[:-1])]
    assert len(errors) == 60
    assert min(errors) > -2 and sorted(errors)[30] < 3 and errors[-1] < LATE_MS
    timings = deltas[-1].timings
    assert timings["prefill_ms"] == pytest.approx(times[0], abs=1)
    assert timings["decode_ms"] == pytest.approx(times[-2] - times[0], abs=1)


async def test_a_late_token_does_not_delay_the_next():
    backend = FakeBackend(first_delay_s=0.01, token_delay_s=0.01)
    times = []
    began = time.perf_counter()
    async for delta in backend.stream(question(ignore_eos=True, max_tokens=10)):
        times.append(1000 * (time.perf_counter() - began))
        if len(delta.token_ids) and delta.token_ids[0] == 2:
            time.sleep(0.045)  # what hogs the event loop
    assert times[7] < 80 + LATE_MS  # would be 125 by pauses between tokens


@pytest.mark.parametrize("most", [1, 6, 50])
async def test_ignoring_the_end_gives_exactly_as_many_tokens_as_asked_for(most):
    deltas, _ = await ask(FakeBackend(), ignore_eos=True, max_tokens=most)
    assert sum(len(delta.token_ids) for delta in deltas) == deltas[-1].timings["completion_tokens"] == most
    assert deltas[-1].finish_reason == "length"


async def test_what_has_no_slot_waits_and_its_wait_is_told_as_the_queue_s():
    backend = FakeBackend(first_delay_s=0.05, slots=2)
    asked = [asyncio.ensure_future(ask(backend)) for _ in range(5)]
    await asyncio.sleep(0.02)
    description = await backend.describe()
    assert (description.running, description.waiting) == (2, 3)
    answers = await asyncio.gather(*asked)
    queued = [deltas[-1].timings["queue_ms"] for deltas, _ in answers]
    assert queued == pytest.approx([0, 0, 50, 50, 100], abs=LATE_MS)
    assert [times[0] for _, times in answers] == pytest.approx([50, 50, 100, 100, 150], abs=LATE_MS)
    assert (backend.running, backend.waiting, backend.finished) == (0, 0, 5)


async def test_who_leaves_while_waiting_gives_nothing_away():
    backend = FakeBackend(first_delay_s=0.03, slots=1)
    first, second, third = (asyncio.ensure_future(ask(backend)) for _ in range(3))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.gather(first, third)
    assert (backend.running, backend.waiting, backend.finished, backend.cancelled) == (0, 0, 2, 1)


async def test_every_nth_question_fails_before_its_first_token():
    found = await outcomes(FakeBackend(fail_every=20), 60)
    assert [number for number, (_, failed) in enumerate(found, 1) if failed] == [20, 40, 60]
    assert {tokens for tokens, failed in found if failed} == {0}
    assert {tokens for tokens, failed in found if not failed} == {6}


@pytest.mark.parametrize(("after", "tokens"), [(3, 3), (99, 6)])
async def test_every_nth_question_fails_after_some_tokens_or_at_its_end(after, tokens):
    found = await outcomes(FakeBackend(fail_every=2, fail_after=after), 4)
    assert [bool(failed) for _, failed in found] == [False, True, False, True]
    assert [said for said, _ in found] == [6, tokens, 6, tokens]


async def test_a_forgetful_engine_keeps_no_pixels():
    backend = FakeBackend(forgetful=True)
    await ask(backend)
    assert backend.asked == 1 and not backend.questions


def test_one_question_s_failure_leaves_the_gateway_ready_for_the_others(start, chat):
    """Otherwise 5 % of failures would turn into as many refusals as come until the next probe."""
    with start(FakeBackend(fail_every=4), probe_interval_s=60) as gateway:
        answers = [gateway.http.post("/v1/chat/completions", json=chat()) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 503] * 2
        assert answers[3].json()["error"]["code"] == "engine_failed"
