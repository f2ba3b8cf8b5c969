"""What the gateway does when the engine goes away, fails in the middle, or must not be served."""

import json
import time

import pytest

from radserve_server.fake import MANIFEST, FakeBackend

pytestmark = pytest.mark.timed

URL = "/v1/chat/completions"


def test_readiness_follows_the_engine(gateway):
    assert gateway.http.get("/health/ready").json() == {"status": "ready"}
    gateway.backend.down = True
    gateway.until(lambda: gateway.http.get("/health/ready").status_code == 503, 1)
    assert "down" in gateway.http.get("/health/ready").json()["reason"]
    assert gateway.http.get("/health/live").status_code == 200
    gateway.backend.down = False
    gateway.until(lambda: gateway.http.get("/health/ready").status_code == 200, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_to_an_engine_that_is_gone_gets_503_with_retry_after(gateway, chat, stream):
    gateway.backend.down = True
    gateway.until(lambda: not gateway.services.watch.ready)
    response = gateway.http.post(URL, json=chat(stream=stream))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"]["code"] == "engine_unavailable"


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_token_has_a_true_status(gateway, chat, stream):
    gateway.backend.fail_after = 0
    assert gateway.http.post(URL, json=chat(stream=stream)).status_code == 503


def test_a_failure_after_the_first_token_is_the_last_event(gateway, chat):
    gateway.backend.fail_after, gateway.backend.token_delay_s = 3, 0.01
    response = gateway.http.post(URL, json=chat(stream=True))
    events = [json.loads(event.removeprefix("data: ")) for event in response.text.strip().split("\n\n")]
    assert response.status_code == 200
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-1]["error"]["code"] == "engine_unavailable"
    assert "[DONE]" not in response.text


def test_a_failure_in_the_short_way_s_stream_is_an_error_event(gateway, png):
    gateway.backend.fail_after, gateway.backend.token_delay_s = 3, 0.01
    response = gateway.http.post(
        "/v1/vqa",
        files={"image": ("x", png, "image/png")},
        data={"question": "x"},
        headers={"accept": "text/event-stream"},
    )
    assert response.text.strip().split("\n\n")[-1].startswith('event: error\ndata: {"error":{')


def test_a_failed_stream_ends_readiness_at_once(start, chat):
    """The watch would find out in a minute only."""
    with start(FakeBackend(fail_after=2), probe_interval_s=60) as gateway:
        assert gateway.services.watch.ready
        gateway.http.post(URL, json=chat())
        assert gateway.http.get("/health/ready").status_code == 503


def test_a_refused_question_does_not_end_readiness(start, chat):
    from radserve_server.backend import QuestionRefused

    backend = FakeBackend(refusal=QuestionRefused("control_token", "no"))
    with start(backend, probe_interval_s=60) as gateway:
        assert gateway.http.post(URL, json=chat()).json()["error"]["code"] == "control_token"
        assert gateway.services.watch.ready


def test_an_engine_that_cancels_is_an_error_not_an_answer(gateway, chat):
    gateway.backend.finish_reason = "cancelled"
    response = gateway.http.post(URL, json=chat())
    assert (response.status_code, response.json()["error"]["code"]) == (503, "engine_cancelled")


def test_an_engine_that_falls_silent_is_given_up(start, chat):
    with start(FakeBackend(token_delay_s=5), engine_silence_s=0.2) as gateway:
        began = time.monotonic()
        assert gateway.http.post(URL, json=chat()).status_code == 503
        assert time.monotonic() - began < 2
        gateway.until(lambda: gateway.backend.running == 0, 0.5)


@pytest.mark.parametrize("gate", [{"status": "failed"}, {"status": "simulated"}, {"status": "not run"}, None])
def test_an_engine_that_has_not_passed_its_gate_is_served_only_if_allowed_and_says_so(start, chat, gate):
    manifest = {name: value for name, value in MANIFEST.items() if name != "gate"} | (
        {"gate": gate} if gate else {}
    )
    with start(FakeBackend(manifest=manifest)) as gateway:
        assert "has not passed its gate" in gateway.http.get("/health/ready").json()["reason"]
        assert gateway.http.post(URL, json=chat()).status_code == 503
    with start(FakeBackend(manifest=manifest), allow_ungated=True) as gateway:
        body = gateway.http.post(URL, json=chat()).json()
        assert any("not passed its gate" in warning for warning in body["clinical"]["warnings"])


@pytest.mark.parametrize("policy", [None, {"width": -1}, {"sharpen": 1}, {"max_images": 2, "fit": []}])
def test_an_engine_with_an_impossible_policy_is_not_ready(start, policy):
    with start(FakeBackend(manifest={**MANIFEST, "image_policy": policy})) as gateway:
        assert "policy" in gateway.http.get("/health/ready").json()["reason"]


def test_another_engine_brings_its_own_policy(start, ct):
    backend = FakeBackend()
    with start(backend) as gateway:
        small = {**MANIFEST, "name": "small", "image_policy": {"width": 56, "height": 56}}
        backend.manifest = small
        gateway.until(lambda: gateway.http.get("/v1/models").json()["data"][0]["id"] == "small")
        response = gateway.http.post("/v1/vqa", files={"image": ("x", ct)}, data={"question": "x"})
        assert response.json()["clinical"]["images"][0]["size_out"] == [56, 56]
