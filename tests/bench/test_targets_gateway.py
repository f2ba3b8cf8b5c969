"""A radserve server as a target: the real gateway, and behind it an engine whose schedule and faults are known."""

import asyncio
import statistics
from itertools import islice
from types import SimpleNamespace

import pytest

from radserve_bench.errors import BenchError, Broken, Refused, RequestFailed
from radserve_bench.record import STAGES
from radserve_bench.targets.openai import OpenAITarget
from radserve_bench.targets.prepared import model_sees
from radserve_bench.targets.server import ServerTarget
from radserve_bench.targets.split import add, read_timings, read_upload, within
from radserve_bench.visit import ImageFile, Visit
from radserve_bench.workloads.catalogue import WORKLOADS, workload_named
from radserve_imaging import ImagePolicy
from radserve_server.fake import MANIFEST, FakeBackend

pytestmark = pytest.mark.timed

POLICY = ImagePolicy.from_json(MANIFEST["image_policy"])


def visits(name, count, seed=1, **options):
    return list(islice(workload_named(name, **options).visits(seed), count))


@pytest.fixture(scope="module")
def shared(start_gateway):
    with start_gateway(FakeBackend(), max_waiting=4, max_running=4) as gateway:
        yield gateway


@pytest.fixture
async def here(shared):
    """The gateway as new, with both ways to ask it."""
    fresh = FakeBackend()
    for name in ("first_delay_s", "token_delay_s", "slots", "fail_every", "fail_after", "down", "asked"):
        setattr(shared.backend, name, getattr(fresh, name))
    shared.backend.questions.clear()
    server, openai = ServerTarget("server", shared.url), OpenAITarget("openai", f"{shared.url}/v1")
    descriptions = [await server.open(), await openai.open()]
    shared.backend.questions.clear()
    shared.backend.asked = 0
    shared.requests.clear()
    yield SimpleNamespace(gateway=shared, server=server, openai=openai, descriptions=descriptions)
    await server.close()
    await openai.close()


async def attend(target, visit, tokens=4):
    sitting = target.begin(visit)
    return [await sitting.ask(question, tokens) for question in visit.questions]


def count(gateway, request):
    return sum(one == request for one in gateway.requests)


async def test_a_schedule_behind_the_gateway_is_measured_as_it_is(here):
    """80 ms, then 10 ms a token: what uploading, decoding and the gateway take comes on top, and the split tells it."""
    backend = here.gateway.backend
    backend.first_delay_s, backend.token_delay_s = 0.08, 0.01
    replies = [(await attend(here.server, visit, 8))[0] for visit in visits("ct-slice", 7)]
    before = [sum(ms for stage, ms in one.split.items() if stage in STAGES[:6]) for one in replies]
    ttft = [1000 * (one.first - one.sent) for one in replies]
    assert statistics.median(ttft) - statistics.median(before) == pytest.approx(80, abs=5)
    itl = statistics.median((one.end - one.first) / 7 for one in replies)
    assert 1000 * itl == pytest.approx(10, abs=3 / 7)
    assert all(one.tokens == 8 and one.prompt_tokens > 0 for one in replies)


async def test_an_image_is_sent_once_a_visit(here):
    """A server gets it with the first question; an endpoint that keeps nothing gets it with each."""
    study = visits("study", 1)[0]
    await attend(here.server, study)
    assert count(here.gateway, "POST /v1/images") == 1
    assert count(here.gateway, "POST /v1/chat/completions") == len(study.questions) == 4
    here.gateway.requests.clear()
    await here.openai.prepare([study])
    await attend(here.openai, study)
    assert here.gateway.requests == ["POST /v1/chat/completions"] * 4


@pytest.mark.parametrize("way", ["server", "openai"])
@pytest.mark.parametrize(
    ("name", "options"), [(name, {}) for name in WORKLOADS] + [("ct-slice", {"images": 3})]
)
async def test_the_engine_sees_what_the_visit_holds(here, way, name, options):
    """The very pixels, in their order, and the question; the same whichever way they came."""
    target = getattr(here, way)
    made = visits(name, 4, **options)
    await target.prepare(made)
    for visit in made:
        here.gateway.backend.questions.clear()
        replies = await attend(target, visit)
        expected = model_sees(visit, POLICY)
        assert len(here.gateway.backend.questions) == len(visit.questions)
        for asked, question, reply in zip(
            here.gateway.backend.questions, visit.questions, replies, strict=True
        ):
            assert len(asked.images) == len(expected)
            assert all((a == b).all() for a, b in zip(asked.images, expected, strict=True))
            content = asked.messages[-1]["content"]
            assert (content if isinstance(content, str) else content[-1]["text"]) == question
            assert asked.sampling["max_tokens"] == reply.tokens == 4 and asked.sampling["ignore_eos"]


async def test_dicom_inline_is_rendered_by_the_server(here, shared):
    target = OpenAITarget("dicom", f"{shared.url}/v1", inline="dicom")
    await target.open()
    here.gateway.backend.questions.clear()
    visit = visits("x-ray", 1, syntax="jpeg2000")[0]
    await target.prepare([visit])
    (reply,) = await attend(target, visit)
    await target.close()
    (asked,) = here.gateway.backend.questions
    assert (asked.images[0] == model_sees(visit, POLICY)[0]).all()
    assert reply.split["image"] > 1


@pytest.mark.parametrize("name", ["ct-slice", "x-ray", "series"])
async def test_the_split_is_most_of_the_time_and_never_more(here, name):
    backend = here.gateway.backend
    backend.first_delay_s, backend.token_delay_s = 0.02, 0.005
    shares = []
    for visit in visits(name, 5):
        (reply,) = await attend(here.server, visit, 8)
        assert reply.split.keys() <= set(STAGES) and min(reply.split.values()) >= 0
        told = sum(reply.split.values()) / (1000 * (reply.end - reply.sent))
        assert told <= 1.000001
        # The fake engine says nothing of the 20 ms before its first token but 3, which are no true ones.
        shares.append(told + 17 / (1000 * (reply.end - reply.sent)))
    assert statistics.median(shares) > 0.8


async def test_a_series_is_sent_and_sorted_once(here):
    """Its files go side by side, four at most."""
    here.gateway.most.clear()
    visit = visits("series", 1, questions=2)[0]
    await attend(here.server, visit)
    assert count(here.gateway, "POST /v1/images") == 20 and count(here.gateway, "POST /v1/series") == 1
    assert here.gateway.most["POST /v1/images"] == 4


async def test_failures(here):
    backend = here.gateway.backend
    visit = visits("text", 1)[0]
    backend.fail_every = 1
    with pytest.raises(Refused, match="as it was told to"):
        await attend(here.server, visit)
    backend.fail_after = 2
    backend.token_delay_s = 0.01
    with pytest.raises(Broken, match="as it was told to"):
        await attend(here.server, visit)
    no_image = Visit("CT slice", (ImageFile("no.dcm", "application/dicom", b"no image"),), ("Why?",))
    with pytest.raises(RequestFailed, match="HTTP 400"):
        await attend(here.server, no_image)
    mixed = Visit("2 CT slices", (*no_image.files, *visits("ct-slice", 1)[0].files), ("Why?",))
    with pytest.raises(RequestFailed, match="HTTP 400"):
        await attend(here.server, mixed)
    with pytest.raises(BenchError, match="CT slice: "):
        await here.openai.prepare([no_image])


async def test_one_failure_in_four_is_one_in_four(here):
    here.gateway.backend.fail_every = 4
    visit = visits("text", 1)[0]
    results = [await asyncio.gather(attend(here.server, visit), return_exceptions=True) for _ in range(12)]
    assert [isinstance(one, Refused) for (one,) in results] == [False, False, False, True] * 3


async def test_a_full_server_refuses(here):
    """Four are answered, four wait: of twelve at once, four are told at once that it is too busy."""
    here.gateway.backend.first_delay_s = 0.3
    visit = visits("text", 1)[0]
    results = await asyncio.gather(
        *(attend(here.server, visit, 1) for _ in range(12)), return_exceptions=True
    )
    assert sum(isinstance(one, Refused) for one in results) == 4


async def test_what_it_says_of_itself(here):
    server, openai = here.descriptions
    assert server.kind == "radserve" and server.model == openai.model == "fake-vqa"
    assert server.digest == openai.digest == f"sha256:{'0' * 64}"
    assert server.details["precision"] == "none" and server.details["gate"] == "passed"
    assert openai.details["policy_sha256"] == POLICY.digest()
    assert here.server.processes() == here.openai.processes() is not None


async def test_what_is_no_radserve(schedule):
    async with schedule() as other:
        for url in (other.url.removesuffix("/v1"), "http://127.0.0.1:9"):
            target = ServerTarget("server", url)
            with pytest.raises(BenchError) as caught:
                await target.open()
            assert not isinstance(caught.value, RequestFailed)
            await target.close()


def test_splits():
    told = {
        "body_ms": 1.0,
        "image_wait_ms": 2.0,
        "image_decode_ms": 3.0,
        "image_render_ms": 4,
        "total_ms": 99,
    }
    assert read_timings(told) == {"upload": 1.0, "wait": 2.0, "image": 3.0, "render": 4.0}
    assert read_upload(told, 20.0) == {"upload": 11.0, "wait": 2.0, "image": 3.0, "render": 4.0}
    assert read_upload(None, 20.0) == {"upload": 20.0} and read_timings({"queue_ms": "soon"}) == {}
    assert read_timings({"decode_render_ms": 7.0, "queue_ms": 1.0}) == {"render": 7.0, "queue": 1.0}
    assert add({"upload": 1.0}, {"upload": 2.0, "queue": 1.0}) == {"upload": 3.0, "queue": 1.0}
    assert within({"upload": 3.0, "queue": 1.0}, 2.0) == {"upload": 1.5, "queue": 0.5}
    assert within({"upload": 1.0}, 2.0) == {"upload": 1.0}
