"""OpenAI's shape, at once and streamed, with provenance."""

import json
from typing import Any

import numpy as np
import pytest

from radserve_imaging import ImagePolicy, Reading, Window, render

URL = "/v1/chat/completions"
TEXT = "No acute abnormality is seen."


def events(body: str) -> list[Any]:
    lines = body.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""], "the stream must end with [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_an_answer_has_openai_s_shape_and_says_what_the_model_saw(gateway, chat, data_uri, ct):
    response = gateway.http.post(URL, json=chat(data_uri(ct)))
    body = response.json()
    assert response.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": TEXT, "refusal": None}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 74, "completion_tokens": 6, "total_tokens": 80}
    clinical = body["clinical"]
    assert clinical["engine"]["digest"].startswith("sha256:")
    assert clinical["engine"]["gate"] == "passed"
    assert clinical["images"] == [render(ct, ImagePolicy()).record.to_json()]
    assert {"queue_ms", "prefill_ms", "decode_render_ms", "ttft_ms", "total_ms"} <= clinical["timings"].keys()
    assert clinical["timings"]["ttft_ms"] <= clinical["timings"]["total_ms"]


def test_the_engine_gets_the_very_pixels_that_the_library_renders(gateway, chat, data_uri, ct):
    gateway.http.post(URL, json=chat(data_uri(ct)))
    (question,) = gateway.backend.questions
    assert np.array_equal(question.images[0], render(ct, ImagePolicy()).pixels)
    assert question.messages == (
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is there a bleed?"}]},
    )


def test_images_keep_their_order(gateway, chat, data_uri, ct, png):
    gateway.http.post(URL, json=chat(data_uri(png, "image/png"), data_uri(ct)))
    first, second = gateway.backend.questions[0].images
    assert np.array_equal(first, render(png, ImagePolicy()).pixels)
    assert np.array_equal(second, render(ct, ImagePolicy()).pixels)


def test_a_wished_window_reaches_the_dicom_image_and_only_it(gateway, chat, data_uri, ct, png):
    wish = {"window": {"center": 50, "width": 100}}
    gateway.http.post(URL, json=chat(data_uri(ct), data_uri(png, "image/png"), clinical=wish))
    first, second = gateway.backend.questions[0].images
    assert np.array_equal(first, render(ct, ImagePolicy(), Reading(window=Window(50, 100))).pixels)
    assert np.array_equal(second, render(png, ImagePolicy()).pixels)


def test_only_what_was_asked_for_reaches_the_engine_as_sampling(gateway, chat, data_uri, ct):
    given = {"temperature": 0, "top_p": 0.9, "top_k": 5, "seed": 7, "stop": "x", "ignore_eos": True}
    gateway.http.post(URL, json=chat(data_uri(ct), max_completion_tokens=3, **given))
    gateway.http.post(URL, json=chat(data_uri(ct)))
    assert gateway.backend.questions[0].sampling == {**given, "stop": ["x"], "max_tokens": 3}
    assert gateway.backend.questions[1].sampling == {}


def test_a_question_without_an_image_and_with_a_history_is_passed_on(gateway, chat):
    body = chat()
    body["messages"] = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Hello.", "refusal": None, "tool_calls": None},
        {"role": "user", "content": "And?"},
    ]
    assert (gateway.http.post(URL, json=body)).status_code == 200
    assert [turn["role"] for turn in gateway.backend.questions[0].messages] == [
        *("system", "user", "assistant", "user")
    ]


def test_a_stream_is_role_then_text_then_reason_then_usage(gateway, chat, data_uri, ct):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    response = gateway.http.post(URL, json=chat(data_uri(ct), **options))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    first, *middle, closing, usage = events(response.text)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in middle) == TEXT
    assert closing["choices"][0]["finish_reason"] == "stop"
    assert closing["clinical"]["images"][0]["modality"] == "CT"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 80
    chunks = [first, *middle, closing, usage]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1


def test_no_usage_chunk_unless_it_is_asked_for(gateway, chat):
    response = gateway.http.post(URL, json=chat(stream=True))
    assert all(chunk["choices"] for chunk in events(response.text))


def test_tokens_that_wait_become_one_event(gateway, chat):
    """The fake says all its words without a pause, so hardly any event has one word only."""
    response = gateway.http.post(URL, json=chat(stream=True))
    assert len(events(response.text)) < 2 + len(gateway.backend.words)


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_come_when_asked_for_and_join_to_the_answer(gateway, chat, stream):
    response = gateway.http.post(URL, json=chat(logprobs=True, top_logprobs=0, stream=stream))
    chunks = events(response.text) if stream else [response.json()]
    entries = [
        entry
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["logprobs"]
        for entry in choice["logprobs"]["content"]
    ]
    assert "".join(entry["token"] for entry in entries) == TEXT
    assert [entry["logprob"] for entry in entries] == pytest.approx([-0.1 * i for i in range(6)])


def test_a_cut_answer_says_so(gateway, chat):
    body = (gateway.http.post(URL, json=chat(max_tokens=2))).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert any("cut" in warning for warning in body["clinical"]["warnings"])


def test_a_repetition_is_not_complete_to_openai_and_a_warning_here(gateway, chat):
    gateway.backend.finish_reason = "repetition"
    body = (gateway.http.post(URL, json=chat())).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["clinical"]["finish_reason"] == "repetition"
    assert any("repeated" in warning for warning in body["clinical"]["warnings"])


def test_fields_without_effect_are_accepted(gateway, chat):
    neutral = {
        **{"user": "u", "store": False, "metadata": {"a": "b"}, "service_tier": "auto", "n": 1},
        **{"presence_penalty": 0, "frequency_penalty": 0.0, "response_format": {"type": "text"}},
        **{"modalities": ["text"], "parallel_tool_calls": True, "tools": [], "tool_choice": "none"},
        **{"logit_bias": {}, "prompt_cache_key": "k", "safety_identifier": "s", "reasoning_effort": "low"},
        **{"verbosity": "low", "stop": None, "seed": None, "temperature": None},
    }
    response = gateway.http.post(URL, json=chat(**neutral))
    assert response.status_code == 200, response.text


def test_the_request_id_is_kept_or_made(gateway, chat):
    given = gateway.http.post(URL, json=chat(), headers={"x-request-id": "abc-1"})
    bad = gateway.http.post(URL, json=chat(), headers={"x-request-id": "a b\tc"})
    assert given.headers["x-request-id"] == "abc-1"
    assert len(bad.headers["x-request-id"]) == 32


def test_an_image_asked_about_twice_is_decoded_once(gateway, chat, data_uri, jpeg):
    seconds = gateway.services.metrics.render_seconds
    before = seconds._sum.get()
    gateway.http.post(URL, json=chat(data_uri(jpeg, "image/jpeg")))
    once = seconds._sum.get()
    gateway.http.post(URL, json=chat(data_uri(jpeg, "image/jpeg"), question="And now?"))
    assert before < once == seconds._sum.get()
