"""OHIF's files: found, typed, kept, compressed; and nothing beside them."""

import base64
import gzip
import hashlib
import json
import socket

import pytest

HASHED = "/app.bundle.0f6159c501addfe9.js"


@pytest.mark.parametrize("path", ["/", "/viewer?StudyInstanceUIDs=1.2.3", "/segmentation/deep/link"])
def test_every_page_of_the_application_is_its_one_file(viewer, path):
    page = viewer.get(path)
    assert page.status_code == 200 and "window.one" in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path, kind",
    [
        (HASHED, "text/javascript"),
        ("/0ddf166f7a343eda.wasm", "application/wasm"),
        ("/radserve/panel.mjs", "text/javascript"),
        ("/app-config.js", "text/javascript"),
    ],
)
def test_a_browser_is_told_what_it_runs(viewer, path, kind):
    assert viewer.get(path).headers["content-type"].partition(";")[0] == kind


def test_only_what_is_named_by_its_hash_is_kept_for_ever(viewer):
    for path in (HASHED, "/0ddf166f7a343eda.wasm"):
        assert "immutable" in viewer.get(path).headers["cache-control"]
    for path in ("/plain.js", "/radserve/panel.mjs", "/app-config.js", "/radserve/config.json"):
        assert viewer.get(path).headers["cache-control"] == "no-cache"


def test_what_the_browser_has_is_not_sent_again(viewer):
    first = viewer.get("/plain.js")
    again = viewer.get("/plain.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_a_file_goes_compressed_to_who_takes_it_and_is_the_same_to_all(viewer):
    packed = viewer.get(HASHED, headers={"accept-encoding": "gzip"})
    plain = viewer.get(HASHED, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 10
    assert packed.content == plain.content
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize(
    "path", ["/missing.js", "/app.bundle.js.map", "/plain.js.gz", "/link.txt", "/radserve/no.mjs"]
)
def test_what_is_not_there_for_browsers_is_not_found(viewer, path):
    answer = viewer.get(path)
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/radserve/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2fetc/passwd",
    ],
)
def test_no_path_leads_out_of_the_folders(viewer, path):
    """By hand: HTTP clients tidy such paths up before they send them."""
    head = f"GET {path} HTTP/1.1\r\nHost: {viewer.base_url.netloc.decode()}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((viewer.base_url.host, viewer.base_url.port)) as connection:
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()
    assert b"not for you" not in answer and b"root:" not in answer
    assert b"404" in answer.partition(b"\r\n")[0] or b"window.one" in answer


def test_files_are_only_read(viewer):
    assert viewer.post("/plain.js").status_code == 405
    assert viewer.head(HASHED).status_code == 200


def test_the_viewer_is_told_of_this_address_only(viewer):
    script = viewer.get("/app-config.js").text
    config = json.loads(script.partition("=")[2].partition("};")[0] + "}")
    (source,) = config["dataSources"]
    assert config["extensions"] == ["/radserve/panel.mjs"]
    assert {source["configuration"][root] for root in ("qidoRoot", "wadoRoot", "wadoUriRoot")} == {
        "/dicom-web"
    }
    assert source["configuration"]["friendlyName"] == "ward"
    assert "://" not in script.replace("https?:", "")
    (mode,) = config["modesConfiguration"].values()
    assert mode["routes"]["0"]["layoutInstance"]["props"]["rightPanels"]["$unshift"]


def test_the_panel_learns_what_the_gateway_calls_the_archive(viewer):
    assert viewer.get("/radserve/config.json").json().items() >= {"pacs": "ward"}.items()


def test_the_page_may_ask_nobody_else_and_run_nothing_that_is_not_its_own(viewer):
    directives = policy(viewer.get("/viewer"))
    digest = base64.b64encode(hashlib.sha256(b"window.one = 1").digest()).decode()
    assert directives["connect-src"] == ["'self'", "blob:", "data:"]
    assert directives["script-src"] == ["'self'", "'unsafe-eval'", f"'sha256-{digest}'"]
    assert (
        directives["default-src"] == directives["form-action"] == directives["frame-ancestors"] == ["'self'"]
    )
    for sources in directives.values():
        assert all(one.startswith("'") or one in ("blob:", "data:") for one in sources), sources


def test_a_script_that_runs_as_a_worker_may_do_what_the_page_may_and_no_more(viewer):
    """A worker's policy is its own script's; OHIF's decoders make functions out of text."""
    assert policy(viewer.get(HASHED)) == policy(viewer.get("/"))


def policy(answer):
    parts = (one.split() for one in answer.headers["content-security-policy"].split(";"))
    return {name: sources for name, *sources in parts}


def test_every_answer_keeps_uids_and_types_to_itself(viewer):
    for path in ("/", "/plain.js", "/dicom-web/studies", "/v1/models", "/missing.js", "/radserve/panel.mjs"):
        headers = viewer.get(path).headers
        assert headers["referrer-policy"] == "no-referrer", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["cross-origin-resource-policy"] == "same-origin", path


def test_the_tests_bundle_is_packed_as_it_says(bundle):
    assert gzip.decompress((bundle / "plain.js.gz").read_bytes()) == (bundle / "plain.js").read_bytes()
