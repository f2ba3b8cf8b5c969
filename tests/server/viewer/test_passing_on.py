"""What goes through to archive and gateway, how it comes back, and what is told when one of them fails."""

import gzip
import socket
import threading

import httpx
import pytest

from radserve_server.auth import Keyring, hash_key

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens
MIB = 2**20


def test_a_question_to_the_archive_arrives_as_it_was_asked(viewer, archive):
    path = "/dicom-web/studies/1.2/bulk%2Fdata/a%20b"
    answer = viewer.get(
        path, params={"00100020": "x*y", "limit": "5"}, headers={"accept": "multipart/related"}
    )
    (asked,) = archive.asked
    assert answer.json() == {"path": path} and asked["query"] == "00100020=x%2Ay&limit=5"
    assert asked["headers"]["accept"] == "multipart/related"
    assert asked["headers"]["forwarded"] == f"host={viewer.base_url.netloc.decode()};proto=http"


def test_a_body_goes_to_the_gateway_whole(viewer, gateway):
    body = bytes(range(256)) * 4096
    viewer.post("/v1/images", content=body, headers={"content-type": "application/dicom"})
    viewer.post(
        "/v1/images", content=iter([body[:99], body[99:]]), headers={"content-type": "application/dicom"}
    )
    for asked in gateway.asked:
        assert asked["path"] == "/v1/images" and asked["body"] == body
        assert asked["headers"]["content-type"] == "application/dicom"
    assert gateway.asked[0]["headers"]["content-length"] == str(len(body))


def test_of_what_stands_behind_the_browser_sees_neither_software_nor_cookies(viewer):
    headers = viewer.get("/dicom-web/studies").headers
    assert "server" not in headers and "set-cookie" not in headers and headers["cache-control"] == "no-store"


def test_cookies_and_unknown_headers_stay_here(viewer, archive):
    viewer.get("/dicom-web/studies", headers={"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "x-own": "1"})
    assert not {"cookie", "x-forwarded-for", "x-own"} & archive.asked[0]["headers"].keys()


def test_events_come_through_one_by_one(viewer, gateway):
    """The second is sent only once the first has been read here."""
    with viewer.stream("GET", "/v1/stream") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"data: first\n\n"
        gateway.go_on.set()
        assert next(pieces) == b"data: second\n\n"
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_who_leaves_in_the_middle_is_not_answered_on(viewer, gateway):
    with viewer.stream("GET", "/v1/stream") as answer:
        pieces = answer.iter_raw()  # whose end would be the client's leaving
        assert next(pieces)
        assert not gateway.left.is_set()
    assert gateway.left.wait(5)
    gateway.go_on.set()


@pytest.mark.parametrize("body", [b"", b'{"question": "Is there a bleed?"}'])
def test_who_leaves_before_the_answer_ends_the_question(viewer, gateway, body):
    head = f"POST /v1/long HTTP/1.1\r\nHost: {viewer.base_url.netloc.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((viewer.base_url.host, viewer.base_url.port)) as connection:
        connection.sendall(head.encode() + body)
        until(lambda: gateway.asked)
        assert not gateway.left.is_set()
    assert gateway.left.wait(5)


def test_a_large_answer_does_not_gather_here(viewer, archive):
    """Of 256 MiB only what buffers on the way hold is taken from the archive while the browser reads nothing."""
    with viewer.stream("GET", "/dicom-web/much") as answer:
        pieces = answer.iter_raw()
        next(pieces)
        seen = -1
        while seen != archive.pieces:
            seen = archive.pieces
            threading.Event().wait(0.2)
        assert 0 < seen < 48
        rest = sum(len(piece) for piece in pieces)
    assert archive.pieces == 256 and rest > 250 * MIB


def test_what_the_archive_has_packed_stays_packed(viewer, bundle):
    with viewer.stream("GET", "/dicom-web/packed") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert b"".join(answer.iter_raw()) == gzip.compress((bundle / "plain.js").read_bytes(), mtime=0)


def test_half_an_answer_is_not_taken_for_a_whole_one(viewer):
    with pytest.raises(httpx.RemoteProtocolError):
        viewer.get("/dicom-web/half")
    assert viewer.get("/dicom-web/studies").status_code == 200


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "OPTIONS"])
def test_nothing_is_deleted_or_changed_from_a_browser(viewer, archive, gateway, method):
    for path in ("/dicom-web/studies/1.2", "/v1/images"):
        refused = viewer.request(method, path)
        assert refused.status_code == 405 and refused.json()["error"]["code"] == "method_not_allowed"
    assert not archive.asked and not gateway.asked


def test_of_writes_the_archive_takes_new_instances_only(viewer, archive):
    assert viewer.post("/dicom-web/studies", content=b"x").status_code == 200
    refused = viewer.post("/dicom-web/studies/1.2/reject/113039%5EDCM", content=b"x")
    assert refused.status_code == 400 and [one["path"] for one in archive.asked] == ["/dicom-web/studies"]


@pytest.mark.parametrize(
    "path", ["..%2finstances", "%2e%2e/instances", "studies/..%5c..%5cinstances", "./x", "..;a/instances"]
)
def test_no_path_climbs_out_of_the_archives_dicomweb(viewer, archive, path):
    head = f"GET /dicom-web/{path} HTTP/1.1\r\nHost: {viewer.base_url.netloc.decode()}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((viewer.base_url.host, viewer.base_url.port)) as connection:
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()
    assert b"404" in answer.partition(b"\r\n")[0] and not archive.asked


def test_a_dead_server_is_named(start_viewer):
    with start_viewer(f"{NOBODY}/dicom-web", NOBODY) as viewer:
        archive, gateway = viewer.get("/dicom-web/studies"), viewer.post("/v1/vqa", json={})
        assert viewer.get("/viewer").status_code == 200
    assert archive.status_code == gateway.status_code == 502
    assert archive.json()["error"]["code"] == "archive_unreachable"
    assert "the archive ward" in archive.json()["error"]["message"]
    assert gateway.json()["error"]["code"] == "gateway_unreachable"
    assert "the gateway" in gateway.json()["error"]["message"]
    assert "127.0.0.1" not in archive.text + gateway.text


def test_an_archive_that_sends_to_its_own_login_is_an_error_and_no_page(viewer):
    answer = viewer.get("/dicom-web/elsewhere")
    assert answer.status_code == 502 and "sends elsewhere" in answer.json()["error"]["message"]


def test_the_browsers_login_reaches_both(viewer, archive, gateway):
    for path in ("/dicom-web/studies", "/v1/models"):
        viewer.get(path, headers={"authorization": "Bearer of-the-browser"})
    assert authorizations(archive) == authorizations(gateway) == ["Bearer of-the-browser"]


def test_the_servers_own_logins_take_its_place_and_no_browser_sees_them(start_viewer, archive, gateway):
    logins = {
        "archive": {"login": lambda: {"authorization": "Basic c2VjcmV0"}, "passes_login": False},
        "gateway": {"login": lambda: {"authorization": "Bearer rs_secret"}},
    }
    with start_viewer(f"{archive.url}/dicom-web", gateway.url, **logins) as viewer:
        for path in ("/dicom-web/studies", "/v1/models"):
            answer = viewer.get(path, headers={"authorization": "Bearer of-the-browser"})
            assert "secret" not in f"{answer.headers}{answer.text}"
    assert authorizations(archive) == ["Basic c2VjcmV0"] and authorizations(gateway) == ["Bearer rs_secret"]


def test_a_viewer_with_keys_asks_for_one_and_shows_it_to_the_gateway_alone(start_viewer, archive, gateway):
    keyring = Keyring((("reader", hash_key("rs_right")),))
    apart = {"archive": {"passes_login": False}, "keyring": keyring}
    with start_viewer(f"{archive.url}/dicom-web", gateway.url, **apart) as viewer:
        for path in ("/", "/app-config.js", "/dicom-web/studies", "/v1/models"):
            assert viewer.get(path).headers["www-authenticate"].startswith("Basic ")
            assert viewer.get(path, auth=("reader", "rs_wrong")).status_code == 401
            assert viewer.get(path, auth=("anybody", "rs_right")).status_code == 200
    assert authorizations(archive) == [None] and authorizations(gateway) == ["Bearer rs_right"]


def authorizations(behind):
    return [one["headers"].get("authorization") for one in behind.asked]


def until(wanted):
    waiting = threading.Event()
    for _ in range(1000):
        if wanted():
            return
        waiting.wait(0.005)
    raise AssertionError("still not so after 5 s")
