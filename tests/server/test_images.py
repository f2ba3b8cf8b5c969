"""Upload once, ask often; and nobody else may."""

import pytest

from radserve_imaging import ImagePolicy, render
from radserve_server.auth import hash_key
from radserve_server.expiring_cache import ExpiringCache

DICOM = {"content-type": "application/dicom"}


def test_an_uploaded_image_can_be_asked_about_by_every_route(gateway, chat, ct):
    uploaded = gateway.http.post("/v1/images", content=ct, headers=DICOM)
    assert uploaded.status_code == 201
    image_id = uploaded.json()["image_id"]
    assert uploaded.json() | {"expires_at": 0, "timings": {}} == {
        "image_id": f"sha256-{render(ct, ImagePolicy()).record.source_sha256}",
        "object": "image",
        "media_type": "application/dicom",
        "bytes": len(ct),
        "expires_at": 0,
        "timings": {},
    }
    by_chat = gateway.http.post("/v1/chat/completions", json=chat(f"radserve://images/{image_id}"))
    by_vqa = gateway.http.post("/v1/vqa", json={"image_ids": [image_id], "question": "Well?"})
    by_render = gateway.http.post("/v1/render", json={"image_id": image_id})
    assert [by_chat.status_code, by_vqa.status_code, by_render.status_code] == [200, 200, 200]
    records = (by_chat.json()["clinical"]["images"], by_vqa.json()["clinical"]["images"])
    assert records[0] == records[1] == [render(ct, ImagePolicy()).record.to_json()]


def test_a_deleted_image_is_gone(gateway, png):
    kind = {"content-type": "image/png"}
    image_id = (gateway.http.post("/v1/images", content=png, headers=kind)).json()["image_id"]
    assert (gateway.http.delete(f"/v1/images/{image_id}")).json()["deleted"] is True
    assert (gateway.http.delete(f"/v1/images/{image_id}")).status_code == 404
    asked = gateway.http.post("/v1/vqa", json={"image_ids": [image_id], "question": "Well?"})
    assert asked.json()["error"]["code"] == "image_not_found"


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "application/dicom", 400, "not_an_image"),
        (b"garbage" * 100, "application/dicom", 400, "not_an_image"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 99, "image/png", 400, "corrupt_pixel_data"),
        (b"x", "text/html", 415, "unsupported_media_type"),
        (bytes(1_000_001), "image/png", 413, "body_too_large"),
    ],
)
def test_what_is_no_image_is_refused_at_upload(gateway, body, kind, status, code):
    response = gateway.http.post("/v1/images", content=body, headers={"content-type": kind})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_a_truncated_file_is_refused_at_upload(gateway, ct):
    response = gateway.http.post("/v1/images", content=ct[:-1000], headers=DICOM)
    assert response.json()["error"]["code"] == "truncated_dicom"


def test_an_image_belongs_to_the_key_that_uploaded_it(start, tmp_path, ct):
    """Its id is in every answer about it, so to know the id must not be enough."""
    from radserve_server.fake import FakeBackend

    keys = tmp_path / "keys"
    keys.write_text(f"ann:{hash_key('a')}\nbob:{hash_key('b')}\n")
    ann, bob = {"authorization": "Bearer a"}, {"authorization": "Bearer b"}
    with start(FakeBackend(), api_keys_file=keys) as gateway:
        uploaded = gateway.http.post("/v1/images", content=ct, headers={**DICOM, **ann})
        wish = {"image_id": uploaded.json()["image_id"]}
        assert (gateway.http.post("/v1/render", json=wish, headers=ann)).status_code == 200
        assert (gateway.http.post("/v1/render", json=wish, headers=bob)).status_code == 404


def test_a_cache_forgets_the_least_recently_used_first_and_keeps_its_limit():
    cache: ExpiringCache[str, str] = ExpiringCache(10, 60)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    cache.get("a")
    cache.put("c", "C", 4)
    assert [cache.get(key) for key in "abc"] == ["A", None, "C"]
    assert cache.bytes == 8
    assert not cache.put("d", "D", 11)
    assert cache.bytes == 8


def test_a_cache_forgets_what_is_too_old_even_if_nobody_asks():
    now = [0.0]
    cache: ExpiringCache[str, str] = ExpiringCache(10, 60, clock=lambda: now[0])
    cache.put("a", "A", 4)
    now[0] = 59
    assert cache.get("a") == "A"
    now[0] = 60
    cache.sweep()
    assert (len(cache), cache.bytes) == (0, 0)
