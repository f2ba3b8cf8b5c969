"""Places for questions: so many run, so many wait, the rest is told at once."""

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from radserve_server.admission import Admission
from radserve_server.errors import Overloaded
from radserve_server.fake import FakeBackend

pytestmark = pytest.mark.timed


async def test_who_waits_gets_the_place_in_turn():
    admission = Admission(1, 2, 5)
    first = await admission.enter()
    order = []

    async def wait(name):
        place = await admission.enter()
        order.append(name)
        place.release()

    waiting = [asyncio.create_task(wait(name)) for name in "ab"]
    await asyncio.sleep(0)
    assert (admission.running, admission.waiting) == (1, 2)
    with pytest.raises(Overloaded):
        await admission.enter()
    first.release()
    first.release()
    await asyncio.gather(*waiting)
    assert order == ["a", "b"]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_place_is_not_lost_when_who_waits_gives_up():
    admission = Admission(1, 5, 0.01)
    first = await admission.enter()
    with pytest.raises(Overloaded):
        await admission.enter()
    gone = asyncio.create_task(admission.enter())
    await asyncio.sleep(0)
    gone.cancel()
    first.release()  # in the same moment
    await asyncio.gather(gone, return_exceptions=True)
    assert (admission.running, admission.waiting) == (0, 0)
    (await admission.enter()).release()


async def test_a_place_given_to_one_who_is_just_cancelled_goes_to_the_next():
    admission = Admission(1, 5, 5)
    first = await admission.enter()
    gone = asyncio.create_task(admission.enter())
    next_one = asyncio.create_task(admission.enter())
    await asyncio.sleep(0)
    first.release()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    (await asyncio.wait_for(next_one, 1)).release()
    assert (admission.running, admission.waiting) == (0, 0)


def test_too_many_questions_get_429_with_retry_after_and_the_others_their_answers(start, chat):
    backend = FakeBackend(first_delay_s=0.5)
    with start(backend, max_running=2, max_waiting=1) as gateway, ThreadPoolExecutor(6) as pool:
        ask = lambda _: gateway.http.post("/v1/chat/completions", json=chat())  # noqa: E731
        responses = list(pool.map(ask, range(6)))
        assert sorted(response.status_code for response in responses) == [200, 200, 200, 429, 429, 429]
        busy = next(response for response in responses if response.status_code == 429)
        assert busy.headers["retry-after"] == "1"
        assert busy.json()["error"]["code"] == "overloaded"
        assert ask(0).status_code == 200


def test_a_bad_question_gives_its_place_back(start, chat):
    with start(FakeBackend(), max_running=1, max_waiting=0) as gateway:
        for _ in range(3):
            bad = gateway.http.post("/v1/chat/completions", json=chat("data:image/png;base64,iVBORw0KGgo="))
            assert bad.status_code == 400
        assert gateway.http.post("/v1/chat/completions", json=chat()).status_code == 200


def test_bodies_that_are_too_much_together_are_refused_and_the_first_goes_on(start, ct):
    """The first request's body is held while its image is decoded by a worker that was stopped for a while."""
    settings = {"bodies_bytes": len(ct) + 1000, "render_workers": 1}
    headers = {"content-type": "application/dicom"}
    with start(FakeBackend(), **settings) as gateway, ThreadPoolExecutor(1) as threads:
        (pid,) = gateway.services.pool.pids()
        os.kill(pid, signal.SIGSTOP)
        first = threads.submit(gateway.http.post, "/v1/images", content=ct, headers=headers)
        time.sleep(0.3)
        second = gateway.http.post("/v1/images", content=ct, headers=headers)
        os.kill(pid, signal.SIGCONT)
        assert (second.status_code, second.json()["error"]["code"]) == (429, "overloaded")
        assert second.headers["retry-after"] == "1"
        assert first.result().status_code == 201
        assert gateway.http.post("/v1/images", content=ct, headers=headers).status_code == 201


def test_images_that_wait_to_be_decoded_are_bounded_in_bytes(start, ct):
    headers = {"content-type": "application/dicom"}
    with start(FakeBackend(), render_queue_bytes=len(ct) + 10, render_workers=1) as gateway:
        with ThreadPoolExecutor(3) as threads:
            (pid,) = gateway.services.pool.pids()
            os.kill(pid, signal.SIGSTOP)
            asked = [
                threads.submit(gateway.http.post, "/v1/images", content=ct, headers=headers) for _ in range(3)
            ]
            gateway.until(lambda: any(one.done() for one in asked))
            os.kill(pid, signal.SIGCONT)
        statuses = sorted(one.result().status_code for one in asked)
        assert statuses == [201, 201, 429]  # one in the worker's hands, one in line
        assert gateway.http.post("/v1/images", content=ct, headers=headers).status_code == 201
