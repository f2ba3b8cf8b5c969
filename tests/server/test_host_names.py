"""A server without keys answers this machine's own programs and pages, and no other site's."""

import pytest

from radserve_server.auth import hash_key
from radserve_server.fake import FakeBackend


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "127.0.0.2:80", "[::1]:8000", "LOCALHOST"])
def test_this_machines_names_are_known(gateway, host):
    assert gateway.http.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8000", "127.0.0.1.evil.example", "10.0.0.7", "[::1", ""])
def test_another_name_is_refused(gateway, host):
    for path in ("/v1/models", "/dicom-web/workitems"):
        refused = gateway.http.get(path, headers={"host": host})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "unknown_host")


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://evil.example", "cross_site"),
        ("null", "cross_site"),
        ("http://[", "cross_site"),
        ("http://localhost:5173", "workitem_not_found"),
        ("http://127.0.0.1:3000", "workitem_not_found"),
    ],
)
def test_what_a_page_of_another_site_sends_is_refused(gateway, origin, code):
    """An empty POST needs no leave of the server that it goes to."""
    answer = gateway.http.post("/dicom-web/workitems/1.2.3/cancelrequest", headers={"origin": origin})
    assert answer.json()["error"]["code"] == code


def test_the_refusal_is_in_the_api_document(gateway):
    paths = gateway.http.get("/openapi.json").json()["paths"]
    assert "403" in paths["/v1/vqa"]["post"]["responses"]


def test_where_keys_are_asked_for_any_name_will_do(start, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text(f"reader:{hash_key('secret')}\n")
    headers = {"host": "gateway.hospital", "authorization": "Bearer secret"}
    with start(FakeBackend(), api_keys_file=keys) as gateway:
        assert gateway.http.get("/v1/models", headers=headers).status_code == 200
