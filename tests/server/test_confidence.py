"""How sure the engine is: the same in every shape of answer, a warning when it is not, and a reason when unknown."""

import json

import pytest

from radserve_server.fake import CONFIDENCE, FakeBackend

URL = "/v1/chat/completions"
UNSURE = {**CONFIDENCE, "confidence": 0.412, "abstained": True}
UNKNOWN = {
    "confidence": None,
    "abstained": None,
    "question_type": "open",
    "threshold": None,
    "stated_risk": None,
    "answer_logprob": -3.5,
    "reason": "this engine's confidence has not been calibrated",
}


def clinicals(gateway, chat, png):
    """`clinical` of the same answer in all four shapes."""
    yield gateway.http.post(URL, json=chat()).json()["clinical"]
    streamed = gateway.http.post(URL, json=chat(stream=True)).text.strip().split("\n\n")[:-1]
    (closing,) = [event for event in streamed if '"clinical"' in event]
    yield json.loads(closing.removeprefix("data: "))["clinical"]
    form = {"files": {"image": ("x", png, "image/png")}, "data": {"question": "Is there a bleed?"}}
    yield gateway.http.post("/v1/vqa", **form).json()["clinical"]
    events = gateway.http.post("/v1/vqa", **form, headers={"accept": "text/event-stream"}).text
    yield json.loads(events.strip().split("\n\n")[-1].partition("data: ")[2])["clinical"]


@pytest.mark.parametrize("judged", [CONFIDENCE, UNSURE, UNKNOWN, None])
def test_every_shape_of_answer_carries_the_same(gateway, chat, png, judged):
    gateway.backend.confidence = judged
    told = [
        {name: one[name] for name in ("confidence", "abstained", "confidence_basis")}
        for one in clinicals(gateway, chat, png)
    ]
    assert len(told) == 4 and all(one == told[0] for one in told)
    assert told[0]["confidence"] == (judged or UNKNOWN)["confidence"]
    assert told[0]["abstained"] == (judged or UNKNOWN)["abstained"]
    basis = {"question_type", "threshold", "stated_risk", "answer_logprob", "reason"}
    assert set(told[0]["confidence_basis"]) == basis
    if judged:
        assert told[0]["confidence_basis"] == {name: judged[name] for name in basis}
    else:
        assert "says nothing" in told[0]["confidence_basis"]["reason"]


def test_an_abstention_is_a_warning_in_words_and_the_answer_is_given(gateway, chat):
    gateway.backend.confidence = UNSURE
    body = gateway.http.post(URL, json=chat()).json()
    (warning,) = body["clinical"]["warnings"]
    assert "not confident enough in this answer (41.2 %)" in warning
    assert "from a confidence of 60 % on are at most 30 % of its answers to closed questions wrong" in warning
    assert body["choices"][0]["message"]["content"] == "No acute abnormality is seen."
    gateway.backend.confidence = {**UNSURE, "threshold": None}
    (warning,) = gateway.http.post(URL, json=chat()).json()["clinical"]["warnings"]
    assert "no confidence of it keeps wrong answers to closed questions within 30 %" in warning


@pytest.mark.parametrize("judged", [CONFIDENCE, UNKNOWN])
def test_no_abstention_is_no_warning(gateway, chat, judged):
    gateway.backend.confidence = judged
    assert gateway.http.post(URL, json=chat()).json()["clinical"]["warnings"] == []


def test_abstentions_and_confidences_are_counted(start, chat):
    backend = FakeBackend()
    with start(backend) as gateway:
        for judged in (CONFIDENCE, UNSURE, UNSURE, UNKNOWN):
            backend.confidence = judged
            gateway.http.post(URL, json=chat())
        text = gateway.http.get("/metrics").text
    assert 'radserve_abstentions_total{question_type="closed"} 2.0' in text
    assert "radserve_answer_confidence_count 3.0" in text
    assert 'radserve_answer_confidence_bucket{le="0.5"} 2.0' in text


def test_the_model_list_shows_the_calibration(start):
    block = {"method": "platt", "types": {}, "fitted": {}}
    backend = FakeBackend()
    backend.manifest = {**backend.manifest, "confidence": block}
    with start(backend) as gateway:
        (model,) = gateway.http.get("/v1/models").json()["data"]
    assert model["clinical"]["confidence"] == block
