"""Whatever is wrong with a request: 4xx, OpenAI's error shape, the field's or the tag's name, and no harm."""

import json
import socket
from typing import Any

import pytest

from radserve_server.backend import QuestionRefused

URL = "/v1/chat/completions"


def refused(gateway: Any, status: int, code: str, response: Any) -> dict[str, Any]:
    """The error; and the gateway still answers somebody else."""
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), response.text
    assert set(error) == {"message", "type", "param", "code"}
    assert "Traceback" not in response.text
    other = {"model": "fake-vqa", "messages": [{"role": "user", "content": "Still there?"}]}
    assert (gateway.http.post(URL, json=other)).status_code == 200
    return error


def ask(gateway: Any, body: Any) -> Any:
    if isinstance(body, dict):
        return gateway.http.post(URL, json=body)
    return gateway.http.post(URL, content=body, headers={"content-type": "application/json"})


def test_not_an_image(gateway, chat, data_uri):
    error = refused(gateway, 400, "not_an_image", ask(gateway, chat(data_uri(b"hello" * 99))))
    assert error["param"] == "messages.0.content.0.image_url.url"


def test_truncated_dicom(gateway, chat, data_uri, ct):
    error = refused(gateway, 400, "truncated_dicom", ask(gateway, chat(data_uri(ct[:20000]))))
    assert "(7FE0,0010)" in error["message"]


def test_dicom_without_pixels(gateway, chat, data_uri, ct):
    cut = ct[: ct.index(b"\xe0\x7f\x10\x00")]
    error = refused(gateway, 400, "no_pixel_data", ask(gateway, chat(data_uri(cut))))
    assert "(7FE0,0010)" in error["message"]


def test_unsupported_transfer_syntax(gateway, chat, data_uri, ct):
    foreign = ct.replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.9\x00", 1)
    refused(gateway, 400, "unsupported_transfer_syntax", ask(gateway, chat(data_uri(foreign))))


@pytest.mark.parametrize("question", ["", "  \n "])
def test_empty_question(gateway, chat, data_uri, ct, question):
    body = chat(data_uri(ct), question=question)
    error = refused(gateway, 400, "empty_question", ask(gateway, body))
    assert error["param"] == "messages.0.content"


@pytest.mark.parametrize("stream", [False, True])
def test_question_too_long_for_the_context(gateway, chat, stream):
    """The engine knows; its refusal keeps a true status, in a stream too."""
    gateway.backend.refusal = QuestionRefused("context_length_exceeded", "2049 tokens of 2048", "messages")
    response = ask(gateway, chat(stream=stream))
    gateway.backend.refusal = None
    error = refused(gateway, 400, "context_length_exceeded", response)
    assert error["param"] == "messages"


def test_unknown_model(gateway, chat):
    error = refused(gateway, 404, "model_not_found", ask(gateway, chat() | {"model": "gpt-5"}))
    assert error["param"] == "model"


@pytest.mark.parametrize("image_id", ["sha256-" + "0" * 64, "sha256-xyz", "../../etc/passwd", ""])
def test_unknown_image_id(gateway, chat, image_id):
    response = ask(gateway, chat(f"radserve://images/{image_id}"))
    error = refused(gateway, 404, "image_not_found", response)
    assert error["param"] == "messages.0.content.0.image_url.url"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"best_of": 3}, "best_of"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"clinical": {"slice": 3}}, "clinical.slice"),
        ({"stream_options": {"x": 1}}, "stream_options.x"),
    ],
)
def test_unsupported_field_is_refused_by_name(gateway, chat, more, param):
    error = refused(gateway, 400, "unsupported_field", ask(gateway, chat(**more)))
    assert error["param"] == param
    assert param in error["message"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"top_p": 0}, "top_p"),
        ({"stream": "yes"}, "stream"),
        ({"clinical": {"frame": 0}}, "clinical.frame"),
        ({"seed": 2**70}, "seed"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages.0.content.0"),
    ],
)
def test_a_wrong_value_is_refused_by_its_field_s_name(gateway, chat, more, param):
    error = refused(gateway, 400, "invalid_value", ask(gateway, chat() | more))
    assert error["param"] == param


def test_contradictions_are_refused(gateway, chat):
    body = chat(max_tokens=1, max_completion_tokens=2)
    refused(gateway, 400, "invalid_value", ask(gateway, body))
    refused(gateway, 400, "invalid_value", ask(gateway, chat(stop=["a"] * 5)))


def test_a_missing_field_is_named(gateway):
    error = refused(gateway, 400, "missing_field", ask(gateway, {"model": "fake-vqa"}))
    assert error["param"] == "messages"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b'{"model": "fake-vqa",}', b"\xff\xfe", b'{"model": "\\ud800", "messages": []}'),
        *(b"[" * 100_000, b'{"a":' * 50_000, b"nul"),
    ],
)
def test_invalid_json(gateway, body):
    refused(gateway, 400, "invalid_json", ask(gateway, body))


def test_an_odd_field_name_is_named_without_harm(gateway, chat):
    error = refused(gateway, 400, "unsupported_field", ask(gateway, chat(**{"ü\n" + "x" * 999: 1})))
    assert len(error["param"]) < 300


def test_body_too_large_is_refused_before_it_is_read(gateway):
    """Only the headers are sent, so an answer proves that nobody waited for the body."""
    head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += "Content-Length: 2000001\r\n\r\n"
    with socket.create_connection((gateway.http.base_url.host, gateway.http.base_url.port), 5) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "body_too_large" in answer


def test_a_client_that_sends_all_of_a_large_body_can_read_why_it_was_refused(gateway):
    json_kind = {"content-type": "application/json"}
    response = gateway.http.post(URL, content=bytes(20_000_000), headers=json_kind)
    error = refused(gateway, 413, "body_too_large", response)
    assert "2,000,000" in error["message"]


def test_body_too_large_without_a_declared_length(gateway):
    def pieces() -> Any:
        for _ in range(21):
            yield b" " * 100_000

    response = gateway.http.post(URL, content=pieces(), headers={"content-type": "application/json"})
    refused(gateway, 413, "body_too_large", response)


def test_an_image_too_large(gateway, chat, data_uri):
    response = ask(gateway, chat(data_uri(bytes(1_000_100))))
    refused(gateway, 413, "too_large", response)


def test_too_many_images_are_refused_before_any_is_decoded(gateway, chat):
    response = ask(gateway, chat(*["data:image/png;base64,!!!"] * 5))
    error = refused(gateway, 400, "too_many_images", response)
    assert "4" in error["message"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.org/x.png", "remote_image_refused"),
        ("HTTP://example.org/x.png", "remote_image_refused"),
        ("file:///etc/passwd", "invalid_image_url"),
        ("data:image/png,abc", "invalid_image_url"),
        ("", "invalid_image_url"),
        ("data:image/gif;base64,AAAA", "unsupported_media_type"),
        ("data:image/png;base64,AAA", "invalid_base64"),
        ("data:image/png;base64,AA\nA", "invalid_base64"),
        ("data:image/png;base64,AA==AAAA", "invalid_base64"),
        ("data:image/png;base64,ÄÄÄÄ", "invalid_base64"),
        ("data:image/png;base64,", "not_an_image"),
    ],
)
def test_an_image_url_that_is_none(gateway, chat, url, code):
    error = refused(gateway, 400, code, ask(gateway, chat(url)))
    assert error["param"] == "messages.0.content.0.image_url.url"


def test_bytes_that_are_not_what_they_are_said_to_be(gateway, chat, data_uri, ct):
    response = ask(gateway, chat(data_uri(ct, "image/png")))
    refused(gateway, 400, "media_type_mismatch", response)


def test_without_a_pacs_a_reference_to_one_says_what_to_do_instead(gateway, chat):
    body = chat()
    body["messages"][0]["content"].append({"type": "image_dicom", "image_dicom": {"study": "1.2"}})
    error = refused(gateway, 400, "unknown_pacs", ask(gateway, body))
    assert "/v1/images" in error["message"]


def test_a_frame_or_window_that_cannot_be(gateway, chat, data_uri, ct, png):
    wrong_frame = ask(gateway, chat(data_uri(ct), clinical={"frame": 2}))
    refused(gateway, 400, "invalid_frame", wrong_frame)
    wrong_width = ask(gateway, chat(data_uri(ct), clinical={"window": {"center": 0, "width": 0}}))
    refused(gateway, 400, "invalid_window", wrong_width)
    not_dicom = ask(gateway, chat(data_uri(png, "image/png"), clinical={"frame": 2}))
    refused(gateway, 400, "invalid_frame", not_dicom)
    no_image = ask(gateway, chat(clinical={"frame": 1}))
    refused(gateway, 400, "invalid_request", no_image)


def test_another_content_type(gateway, chat):
    """A form of a foreign web page could not send application/json without being asked."""
    response = gateway.http.post(URL, content=json.dumps(chat()), headers={"content-type": "text/plain"})
    refused(gateway, 415, "unsupported_media_type", response)


def test_no_such_route_and_no_such_method(gateway):
    refused(gateway, 404, "not_found", gateway.http.get("/v1/nothing"))
    refused(gateway, 405, "method_not_allowed", gateway.http.get(URL))


def test_values_are_not_echoed(gateway, chat):
    response = ask(gateway, chat() | {"temperature": "Jane Doe, born 1970"})
    assert "Jane" not in response.text
