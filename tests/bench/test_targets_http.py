"""What a target measures of an endpoint whose schedule and faults are known."""

import asyncio
import math
import statistics
import time
from contextlib import asynccontextmanager

import pytest

from radserve_bench.errors import BenchError, Broken, Refused, RequestFailed, TimedOut
from radserve_bench.targets.answer_stream import AnswerStream
from radserve_bench.targets.openai import OpenAITarget
from radserve_bench.targets.split import read_timings
from radserve_bench.visit import Visit

pytestmark = pytest.mark.timed

VISIT = Visit("text", (), ("Is there a bleed?",))


@asynccontextmanager
async def opened(server, **given):
    target = OpenAITarget("endpoint", server.url, **given)
    try:
        await target.open()
        await target.prepare([VISIT])
        server.bodies.clear()
        yield target
    finally:
        await target.close()


async def ask(target, tokens=8):
    return await target.begin(VISIT).ask("Is there a bleed?", tokens)


@pytest.mark.parametrize("cut", [0, 7, 61])
async def test_a_schedule_is_measured_as_it_is(schedule, cut):
    """First text after 80 ms, one each 10 ms, wherever the bytes are cut: the median within 3 ms."""
    async with schedule(cut=cut) as server, opened(server) as target:
        replies = [await ask(target) for _ in range(7)]
    for reply in replies:
        assert len(reply.events) == reply.tokens == 8 and reply.prompt_tokens == 5
        assert reply.sent < reply.first == reply.events[0] <= reply.events[-1] <= reply.end
    ttft = statistics.median(reply.first - reply.sent for reply in replies)
    itl = statistics.median((reply.end - reply.first) / 7 for reply in replies)
    assert 1000 * ttft == pytest.approx(80, abs=3)
    assert 1000 * itl == pytest.approx(10, abs=3 / 7)
    for index in range(8):
        late = statistics.median(reply.events[index] - reply.sent for reply in replies)
        assert 1000 * late == pytest.approx(80 + 10 * index, abs=3)


async def test_the_end_mark_and_usage_are_no_part_of_the_answer(schedule):
    async with schedule(first_s=0, token_s=0) as server, opened(server) as target:
        reply = await ask(target, 1)
    assert reply.tokens == 1 and reply.first <= reply.end < reply.first + 0.01


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"fault": "status", "status": 503}, Refused, "as it was told to"),
        ({"fault": "status", "status": 429}, Refused, "as it was told to"),
        ({"fault": "status", "status": 500}, RequestFailed, "HTTP 500: as it was told to"),
        ({"fault": "error", "after": 0}, Broken, "as it was told to"),
        ({"fault": "error", "after": 3}, Broken, "as it was told to"),
        ({"fault": "close", "after": 0}, Broken, "broke in the middle"),
        ({"fault": "close", "after": 3}, Broken, "broke in the middle"),
        ({"fault": "end", "after": 3}, Broken, "before the answer was finished"),
        ({"fault": "rubbish", "after": 1}, Broken, "no chat completion"),
        ({"fault": "hang", "after": 2}, TimedOut, "0.2 s"),
    ],
)
async def test_failures_are_told_apart(schedule, fault, kind, words):
    """And none of them harms the next question."""
    async with schedule(first_s=0.01, token_s=0.001) as server, opened(server, timeout_s=0.2) as target:
        for name, value in fault.items():
            setattr(server, name, value)
        with pytest.raises(RequestFailed, match=words) as caught:
            await ask(target)
        assert type(caught.value) is kind or (kind is RequestFailed and caught.value.kind == "failed")
        server.fault = ""
        assert (await ask(target)).tokens == 8


async def test_nobody_there():
    target = OpenAITarget("endpoint", "http://127.0.0.1:9/v1", "model")
    with pytest.raises(BenchError, match="no server answers at http://127"):
        await target.open()
    await target.close()


async def test_an_endpoint_without_usage_cannot_be_measured(schedule):
    """It ends the run, at once: no request of it could be counted."""
    async with schedule(usage=False, first_s=0) as server:
        target = OpenAITarget("endpoint", server.url)
        with pytest.raises(BenchError, match="gives no usage") as caught:
            await target.open()
        assert not isinstance(caught.value, RequestFailed)
        await target.close()


async def test_an_endpoint_that_refuses_ignore_eos_is_asked_without_it(schedule):
    async with schedule(first_s=0, token_s=0, refused=("ignore_eos",)) as server:
        target = OpenAITarget("endpoint", server.url)
        description = await target.open()
        await target.prepare([VISIT])
        server.bodies.clear()
        await ask(target, 5)
        await target.close()
    assert description.details["exact_length"] is False and "ignore_eos" in description.details["note"]
    (body,) = server.bodies
    assert body["max_tokens"] == 5 and "ignore_eos" not in body
    assert body["stream_options"] == {"include_usage": True} and body["temperature"] == 0


@pytest.mark.parametrize(("status", "fatal"), [(400, False), (503, False), (401, True), (404, True)])
async def test_an_endpoint_may_refuse_the_short_question_at_the_opening(schedule, status, fatal):
    """It may want an image, or be busy; but a wrong key or path will not mend."""
    async with schedule(first_s=0, fault="status", status=status) as server:
        target = OpenAITarget("endpoint", server.url)
        if fatal:
            with pytest.raises(BenchError, match=f"{server.url}: HTTP {status}"):
                await target.open()
        else:
            assert (await target.open()).details["exact_length"]
        await target.close()


async def test_a_length_is_asked_exactly_or_not_at_all(schedule):
    async with schedule(first_s=0, token_s=0) as server, opened(server) as target:
        await ask(target, 3)
        await ask(target, None)
    fixed, own = server.bodies
    assert (fixed["max_tokens"], fixed["ignore_eos"]) == (3, True)
    assert "max_tokens" not in own and "ignore_eos" not in own


async def test_the_model_is_the_only_one_or_named(schedule):
    async with schedule(models=("one", "two"), first_s=0, token_s=0) as server:
        target = OpenAITarget("endpoint", server.url)
        with pytest.raises(BenchError, match="one, two; choose with --model"):
            await target.open()
        await target.close()
        target = OpenAITarget("endpoint", server.url, "two", api_key="secret")
        assert (await target.open()).model == "two"
        assert server.headers[-1]["Authorization"] == "Bearer secret"
        await target.close()


async def test_no_question_waits_for_another_in_the_client(schedule):
    """120 at once are all under way together (aiohttp's own limit is 100), and later ones use their connections."""
    async with schedule(first_s=1.5, token_s=0) as server, opened_fast(server) as target:
        await asyncio.gather(*(ask(target, 1) for _ in range(120)))
        assert server.most == 120
        server.first_s, before = 0.0, len(server.peers)
        for _ in range(20):
            await ask(target, 1)
        assert len(server.peers) == before


async def test_a_question_given_up_is_dropped_at_the_server(schedule):
    async with schedule(first_s=5) as server, opened_fast(server) as target:
        question = asyncio.create_task(ask(target))
        while not server.running:
            await asyncio.sleep(0.01)
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        async with asyncio.timeout(2):
            while server.running:
                await asyncio.sleep(0.01)
        assert server.dropped == 1


@asynccontextmanager
async def opened_fast(server):
    """Its short question at the opening is answered at once."""
    slow, server.first_s = server.first_s, 0.0
    async with opened(server) as target:
        server.first_s = slow
        yield target


EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b': still here\r\n\r\ndata: {"choices":[{"index":0,"delta":{"content":"\xc3\xa4"}}],"usage":null}\r\n\r\n'
    b'event: message\ndata:{"choices":[{"index":0,"delta":{"reasoning_content":"b"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
)


@pytest.mark.parametrize("usage", [b'{"completion_tokens":1e999}', b'{"completion_tokens":"many"}', b"[3]"])
def test_a_usage_that_is_no_number_is_none(usage):
    """It would end the run, or stand in a report that is no JSON any more."""
    answer = AnswerStream()
    answer.feed(EVENTS.replace(b'{"prompt_tokens":3,"completion_tokens":2}', usage), 1.0)
    if usage == b"[3]":
        with pytest.raises(BenchError, match="no usage"):
            answer.reply(0.0)
    else:
        assert answer.reply(0.0).tokens == 0


@pytest.mark.parametrize("reason", [b"abort", b"error", b"cancelled"])
def test_an_answer_that_the_server_gave_up_is_not_whole(reason):
    answer = AnswerStream()
    answer.feed(EVENTS.replace(b'"stop"', b'"%s"' % reason), 1.0)
    with pytest.raises(Broken, match=reason.decode()):
        answer.reply(0.0)


def test_timings_that_are_no_numbers_are_left_out():
    told = {
        "queue_ms": math.nan,
        "vision_ms": math.inf,
        "prefill_ms": 3,
        "decode_ms": True,
        "fetch_ms": 10**400,
    }
    assert read_timings(told) == {"prefill": 3.0}


def test_events_are_whole_wherever_the_bytes_are_cut():
    """And each has arrived when the bytes with its line's end have."""
    ends = [EVENTS.index(b"\n", EVENTS.index(mark)) for mark in (b"\xa4", b"reasoning", b"finish")]
    for size in range(1, len(EVENTS) + 1):
        answer = AnswerStream()
        for at in range(0, len(EVENTS), size):
            answer.feed(EVENTS[at : at + size], float(at + size))
        reply = answer.reply(0.0)
        arrived = [float(size * (end // size + 1)) for end in ends]
        assert (reply.events, reply.first, reply.end) == (arrived[:2], arrived[0], arrived[2])
        assert (reply.prompt_tokens, reply.tokens) == (3, 2)


def test_an_event_costs_little():
    """So that a generator on one core can read thousands a second: well under 100 µs of CPU an event."""
    line = (
        b'data: {"id":"chatcmpl-0123456789abcdef","created":1700000000,"model":"radserve-demo","object":'
        b'"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,'
        b'"finish_reason":null}]}\n\n'
    )
    answer = AnswerStream()
    began = time.process_time()
    for index in range(5000):
        answer.feed(line, float(index))
    assert (time.process_time() - began) / 5000 < 100e-6
