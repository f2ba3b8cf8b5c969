"""A real archive forwards studies to the intake, by C-STORE and by STOW-RS, as its own routing would."""

import httpx
import pytest


@pytest.fixture
def study(orthanc, make_series, study_of, request):
    """A study in Orthanc: its UID, and Orthanc's own id of it."""
    files = make_series(90 + ("stow" in request.node.name), 3, "JPEG2000.dcm")
    for file in files:
        orthanc.upload(file.read_bytes())
    found = httpx.post(f"{orthanc.url}/tools/lookup", content=study_of(files)).json()
    return study_of(files), next(item["ID"] for item in found if item["Type"] == "Study")


def test_orthanc_sends_a_study_by_c_store(ward, orthanc, study):
    uid, own_id = study
    peer = {"AET": "RADSERVE", "Host": "127.0.0.1", "Port": ward.port, "LocalAet": "CT1"}
    httpx.put(f"{orthanc.url}/modalities/intake", json=peer).raise_for_status()
    sent = {"Resources": [own_id], "LocalAet": "CT1", "Synchronous": True}
    httpx.post(f"{orthanc.url}/modalities/intake/store", json=sent, timeout=30).raise_for_status()
    assert ward.kept(uid) == 3
    assert ward.ask(uid).status_code == 200


def test_orthanc_sends_a_study_by_stow(ward, orthanc, study):
    uid, own_id = study
    server = {"Url": f"{ward.gateway.url}/dicom-web/"}
    httpx.put(f"{orthanc.url}/dicom-web/servers/intake", json=server).raise_for_status()
    sent = {"Resources": [own_id], "Synchronous": True}
    httpx.post(f"{orthanc.url}/dicom-web/servers/intake/stow", json=sent, timeout=30).raise_for_status()
    assert ward.kept(uid) == 3
    assert ward.ask(uid).status_code == 200
