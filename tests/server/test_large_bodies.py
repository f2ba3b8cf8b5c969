"""Large bodies are taken apart piece by piece; what comes out is what small ones give."""

import base64
import hashlib
import json

import numpy as np
import pytest

from radserve_imaging import encode_png
from radserve_server.aside import SMALL, cut, find
from radserve_server.fake import FakeBackend
from radserve_server.payloads import lift_payloads

pytestmark = pytest.mark.timed

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def large():
    """Noise does not compress: a PNG of 3 MB."""
    return encode_png(np.random.default_rng(0).integers(0, 256, (1000, 1000, 3)).astype(np.uint8))


def digest_seen(response):
    assert response.status_code == 200, response.text
    return response.json()["clinical"]["images"][0]["source_sha256"]


def test_a_large_image_arrives_unchanged_by_every_way(start, chat, data_uri, large):
    """PHP writes base64's slash with a backslash before it, which JSON allows."""
    wish = chat(data_uri(large, "image/png"))
    with start(FakeBackend()) as gateway:
        plain = gateway.http.post(CHAT, json=wish)
        escaped = gateway.http.post(CHAT, content=json.dumps(wish).replace("/", r"\/"), headers=JSON)
        form = gateway.http.post("/v1/vqa", files={"image": ("a.png", large)}, data={"question": "Well?"})
        upload = gateway.http.post("/v1/images", content=large, headers={"content-type": "image/png"})
    digest = hashlib.sha256(large).hexdigest()
    assert [digest_seen(response) for response in (plain, escaped, form)] == [digest] * 3
    assert upload.json()["image_id"] == f"sha256-{digest}"


def test_a_text_that_looks_like_an_image_stays_a_text(start, chat, data_uri, large):
    """Alone, and beside an image that is one."""
    url = data_uri(large, "image/png")
    text = f"What is data:image/png;base64,{'A' * SMALL}?"
    with start(FakeBackend()) as gateway:
        assert gateway.http.post(CHAT, json=chat(question=text)).status_code == 200
        assert gateway.backend.questions[-1].messages[-1]["content"][-1]["text"] == text
        both = gateway.http.post(CHAT, json=chat(url, question=text))
        assert digest_seen(both) == hashlib.sha256(large).hexdigest()
        assert gateway.backend.questions[-1].messages[-1]["content"][-1]["text"] == text


def test_a_damaged_large_image_is_refused_as_a_small_one(start, chat, data_uri, large):
    url = data_uri(large, "image/png")
    with start(FakeBackend()) as gateway:
        for damaged in (url[:-1], url[:-9] + "====" + url[-5:], url[:-9] + "\\n" + url[-9:]):
            body = json.dumps(chat("@")).replace('"@"', f'"{damaged}"')
            error = gateway.http.post(CHAT, content=body, headers=JSON).json()["error"]
            assert (error["code"], error["param"]) == ("invalid_base64", "messages.0.content.0.image_url.url")


@pytest.mark.parametrize("route", [CHAT, "/v1/vqa", "/v1/render"])
def test_more_text_than_any_engine_holds_is_refused(start, chat, route):
    with start(FakeBackend()) as gateway:
        response = gateway.http.post(route, json=chat(question="x" * 5_000_000))
        assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


def test_a_large_body_is_lifted_where_it_can_be_only():
    """An escape other than of the slash could hide the string's end; a string without an end is none."""
    long = b"QUJD" * (SMALL // 4)
    assert lift_payloads(b'{"a":"x;base64,%s"}' % long).text.startswith(b'{"a":"x;base64,')
    (payload,) = lift_payloads(b'{"a":"x;base64,%s"}' % long).payloads.values()
    assert bytes(payload) == long
    for body in (
        b'{"a":"x;base64,%s\\"y"}' % long,
        b'{"a":"x;base64,%s\\\\/"}' % long,
        b"x;base64,%s" % long,
    ):
        assert lift_payloads(body).text == body


@pytest.mark.parametrize("at", [0, SMALL - 3, SMALL, SMALL + 1, 3 * SMALL])
def test_finding_and_cutting_by_pieces_give_what_bytes_give(at):
    body = bytes(at) + b"needle" + bytes(SMALL)
    for wanted, start, end in ((b"needle", 0, len(body)), (b"needle", at, at + 6), (b"needle", 0, at + 5)):
        assert find(body, wanted, start, end) == body.find(wanted, start, end)
    assert cut(body, 1, len(body) - 1) == body[1:-1]


def test_base64_is_decoded_whole_whatever_its_length(start, chat, data_uri, ct):
    """Around the length of one piece."""
    with start(FakeBackend()) as gateway:
        for extra in (0, 1, 2, 200_000):
            data = ct + bytes(extra)
            assert base64.b64decode(data_uri(data).partition(",")[2]) == data
            assert (
                digest_seen(gateway.http.post(CHAT, json=chat(data_uri(data))))
                == hashlib.sha256(data).hexdigest()
            )
