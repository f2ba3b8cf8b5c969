"""Who may ask the viewer: it is called by a name it knows, and from a page of its own."""

import httpx
import pytest

CROSS = {"sec-fetch-site": "cross-site"}


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:3000", "LOCALHOST"])
def test_the_names_of_loopback_are_known(viewer, host):
    assert viewer.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "viewer.hospital:3000", "", "[::1"]
)
def test_any_other_name_is_refused(viewer, archive, host):
    """A page of another site may have its own name point here (DNS rebinding)."""
    for path in ("/", "/dicom-web/studies"):
        refused = viewer.get(path, headers={"host": host})
        assert refused.status_code == 403 and refused.json()["error"]["code"] == "unknown_host"
    assert not archive.asked


def test_a_name_that_was_given_is_known(start_viewer, archive, gateway):
    with start_viewer(archive.url, gateway.url, hosts={"Viewer.Hospital"}) as viewer:
        assert viewer.get("/", headers={"host": "viewer.hospital:443"}).status_code == 200
        assert viewer.get("/", headers={"host": "other.hospital"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        CROSS,
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {
            **CROSS,
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        },  # a form that another page sends
    ],
)
@pytest.mark.parametrize("path", ["/v1/vqa", "/v1/reports", "/dicom-web/studies"])
def test_another_sites_page_sends_nothing(viewer, archive, gateway, path, headers):
    refused = viewer.post(path, json={}, headers=headers)
    assert refused.status_code == 403 and refused.json()["error"]["code"] == "cross_site"
    assert not archive.asked and not gateway.asked


def test_another_sites_page_reads_nothing(viewer, archive):
    for mode in ("no-cors", "cors"):
        headers = {**CROSS, "sec-fetch-mode": mode, "sec-fetch-dest": "image"}
        assert viewer.get("/dicom-web/studies/1/rendered", headers=headers).status_code == 403
    framed = {**CROSS, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    assert viewer.get("/viewer", headers=framed).status_code == 403
    assert not archive.asked


def test_a_link_from_another_system_opens_a_study(viewer):
    headers = {**CROSS, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert viewer.get("/viewer?StudyInstanceUIDs=1.2", headers=headers).status_code == 200


def test_its_own_page_may_ask(viewer):
    own = {
        "origin": str(viewer.base_url).rstrip("/"),
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "cors",
    }
    assert viewer.post("/v1/vqa", json={}, headers=own).status_code == 200
    assert viewer.get("/dicom-web/studies", headers=own).status_code == 200


def test_uids_and_questions_are_not_in_the_log(viewer, caplog):
    """uvicorn.access, which is off, speaks here only because pytest gives it a handler."""
    with caplog.at_level("DEBUG"):
        viewer.get("/viewer?StudyInstanceUIDs=1.2.840.99")
        viewer.get("/dicom-web/studies/1.2.840.99/series?PatientName=Doe")
        with pytest.raises(httpx.RemoteProtocolError):
            viewer.get("/dicom-web/half?StudyInstanceUID=1.2.840.99")
    ours = [one.getMessage() for one in caplog.records if one.name.startswith(("radserve", "uvicorn.error"))]
    assert len(ours) >= 4 and any("broke off" in message for message in ours)
    assert not any("1.2.840.99" in message or "Doe" in message for message in ours)
