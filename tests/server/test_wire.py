"""Over a real socket: OpenAI's own SDK, readers that go away, readers that are slow."""

import json
import socket
import time

import openai
import pytest

from radserve_server.fake import FakeBackend

pytestmark = pytest.mark.timed

URL = "/v1/chat/completions"
HEAD = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def connect(gateway, body, receive_buffer=None):
    """A socket with a chat request sent."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(10)
    connection.connect((gateway.http.base_url.host, gateway.http.base_url.port))
    sent = json.dumps(body).encode()
    head = f"{HEAD}Content-Length: {len(sent)}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


def test_the_openai_sdk_streams_an_answer_about_a_dicom_file(gateway, chat, data_uri, ct):
    gateway.backend.token_delay_s = 0.02
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused")
    with client:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**chat(data_uri(ct), **options)))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "".join(
        gateway.backend.words
    )
    assert len(chunks) > 6, "tokens must come one by one"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].clinical["images"][0]["modality"] == "CT"
    assert chunks[-1].usage.completion_tokens == 6


def test_the_openai_sdk_raises_its_own_errors(gateway, chat):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as not_found:
            client.chat.completions.create(**(chat() | {"model": "x"}))
        assert not_found.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as bad:
            client.chat.completions.create(**chat(question=""))
        assert bad.value.param == "messages.0.content"
        assert [model.id for model in client.models.list()] == ["fake-vqa"]
        gateway.backend.fail_after, gateway.backend.token_delay_s = 2, 0.02
        with pytest.raises(openai.APIError, match="failed"):
            list(client.chat.completions.create(**chat(stream=True)))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("when", ["before the first token", "in the middle"])
def test_a_client_that_goes_away_frees_its_slot_in_the_engine(gateway, chat, stream, when):
    gateway.backend.first_delay_s = 30 if when == "before the first token" else 0
    gateway.backend.token_delay_s = 30
    connection = connect(gateway, chat(stream=stream))
    gateway.until(lambda: gateway.backend.running == 1)
    if stream and when == "in the middle":
        assert b"assistant" in connection.recv(65536)
    connection.close()
    assert gateway.until(lambda: gateway.backend.running == 0, 0.5) < 0.5
    assert gateway.backend.cancelled == 1
    assert gateway.services.admission.running == 0


def test_a_slow_reader_does_not_hold_the_engine(start, chat):
    """12 MB fit into no socket's buffer, so the answer is stuck when the engine is done with it."""
    backend = FakeBackend(words=("x" * 8000,) * 1500, token_delay_s=0.0005)
    with start(backend, max_running=1, max_waiting=0) as gateway:
        slow = connect(gateway, chat(stream=True), receive_buffer=4096)
        gateway.until(lambda: backend.finished == 1, 10)
        gateway.until(lambda: gateway.services.admission.running == 0, 1)
        backend.words = ("quick",)
        assert gateway.http.post(URL, json=chat()).status_code == 200
        received, end = 0, b""
        while b"[DONE]" not in end:
            end = end[-10:] + (piece := slow.recv(2**20))
            received += piece.count(b"x")
        slow.close()
        assert received >= 8000 * 1500


def test_a_body_that_never_comes_is_given_up(start):
    with start(FakeBackend(), body_timeout_s=0.2) as gateway:
        address = (gateway.http.base_url.host, gateway.http.base_url.port)
        with socket.create_connection(address, 5) as connection:
            head = f"{HEAD}Content-Length: 9\r\n\r\n"
            connection.sendall(head.encode() + b"{")
            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_forty_streams_at_once(gateway, chat):
    gateway.backend.token_delay_s = 0.05
    began = time.monotonic()
    connections = [connect(gateway, chat(stream=True)) for _ in range(40)]
    for connection in connections:
        text = b""
        while b"[DONE]" not in text:
            text += connection.recv(65536)
        connection.close()
    assert time.monotonic() - began < 5
    assert gateway.backend.finished == 40
