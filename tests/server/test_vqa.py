"""The short way of asking."""

import json

import numpy as np
import pytest

from radserve_imaging import ImagePolicy, Reading, Window, render
from radserve_server.multipart import parse_multipart

TEXT = "No acute abnormality is seen."


def test_a_form_with_two_images_and_a_window(gateway, ct, png):
    response = gateway.http.post(
        "/v1/vqa",
        files=[("image", ("a.dcm", ct)), ("image", ("b.png", png, "image/png"))],
        data={"question": "Bleed?", "window_center": "50", "window_width": "100", "max_tokens": "99"},
    )
    assert response.status_code == 200, response.text
    body = response.json()
    assert set(body) == {"answer", "model", "finish_reason", "usage", "clinical"}
    assert body["answer"] == TEXT
    (question,) = gateway.backend.questions
    assert question.sampling == {"max_tokens": 99}
    assert question.messages[0]["content"] == [
        *({"type": "image"}, {"type": "image"}),
        {"type": "text", "text": "Bleed?"},
    ]
    assert np.array_equal(
        question.images[0], render(ct, ImagePolicy(), Reading(window=Window(50, 100))).pixels
    )
    assert np.array_equal(question.images[1], render(png, ImagePolicy()).pixels)


def test_events_have_types_and_the_last_has_everything(gateway, ct):
    response = gateway.http.post(
        "/v1/vqa",
        files={"image": ("a.dcm", ct, "application/dicom")},
        data={"question": "Bleed?"},
        headers={"accept": "text/event-stream"},
    )
    events = [event.split("\n") for event in response.text.strip().split("\n\n")]
    assert {name for name, _ in events[:-1]} == {"event: delta"}
    deltas = [json.loads(data.removeprefix("data: "))["delta"] for _, data in events[:-1]]
    whole = json.loads(events[-1][1].removeprefix("data: "))
    assert events[-1][0] == "event: answer"
    assert "".join(deltas) == whole["answer"] == TEXT
    assert whole["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize(
    ("files", "data", "code", "param"),
    [
        ({}, {"question": "x"}, "invalid_request", "image_ids"),
        ({"image": b"nothing"}, {"question": "x"}, "not_an_image", "image"),
        ({"image": None}, {"question": " "}, "empty_question", "question"),
        ({"image": None}, {}, "missing_field", "question"),
        ({"image": None}, {"question": "x", "frame": "one"}, "invalid_value", "frame"),
        ({"image": None}, {"question": "x", "voxels": "1"}, "unsupported_field", "voxels"),
        ({"image": None}, {"question": "x", "window_center": "1"}, "missing_field", "window.width"),
        ({"scan": None}, {"question": "x"}, "invalid_request", "scan"),
    ],
)
def test_a_bad_form_is_refused_by_its_field(gateway, png, files, data, code, param):
    sent = {name: ("f", content or png, "application/octet-stream") for name, content in files.items()}
    fields = {name: (None, value) for name, value in data.items()}
    response = gateway.http.post("/v1/vqa", files={**sent, **fields})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param), error


@pytest.mark.parametrize(
    "body",
    [b"", b"--b\r\n", b"--b\r\n\r\nx\r\n--b--", b'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\nx'],
)
def test_a_broken_form_is_refused(gateway, body):
    kind = {"content-type": "multipart/form-data; boundary=b"}
    response = gateway.http.post("/v1/vqa", content=body, headers=kind)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_multipart")


def test_a_part_s_bytes_come_out_as_they_went_in():
    data = bytes(range(256)) + b"\r\n--\r\n\r\n-- not the boundary\r\n"
    head = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
    (part,) = parse_multipart("multipart/form-data; boundary=edge", head + data + b"\r\n--edge--\r\n")
    assert (part.name, part.filename, part.data) == ("image", "x", data)


def test_a_form_may_have_a_preamble_padding_and_an_epilogue():
    head = b'Content-Disposition: form-data; name="question"'
    body = (
        b"before\r\n--edge  \r\n"
        + head
        + b"\r\n\r\nWell?\r\n--edge\r\n"
        + head
        + b"\r\n\r\n\r\n--edge--\r\nafter"
    )
    parts = parse_multipart("multipart/form-data; boundary=edge", body)
    assert [(part.name, part.filename, part.data) for part in parts] == [
        ("question", None, b"Well?"),
        ("question", None, b""),
    ]
