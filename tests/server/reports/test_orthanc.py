"""A report in a real archive: stored by STOW-RS, found by QIDO-RS, and whole when it comes back."""

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from radserve_server.fake import FakeBackend


@pytest.mark.parametrize("kind", ["basic_text", "tid1500"])
def test_a_report_lies_in_its_study_and_comes_back_as_it_was_made(start, orthanc, own_file, validate, kind):
    file = own_file(
        StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(),
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Müller^Jürgen",
    )
    orthanc.upload(file)
    study = pydicom.dcmread(pydicom.filebase.DicomBytesIO(file)).StudyInstanceUID
    with start(FakeBackend(), pacs_url=orthanc.dicom_web) as gateway:
        asked = {"question": "Is there a bleed?", "image_dicom": [{"study": study}]}
        answer = gateway.http.post("/v1/vqa", json=asked)
        assert answer.status_code == 200, answer.text
        clinical = answer.json()["clinical"]
        request = {"answer_id": clinical["answer_id"], "kind": kind}
        made = gateway.http.post(
            "/v1/reports", json={**request, "store": False}, headers={"accept": "application/dicom"}
        )
        filed = gateway.http.post("/v1/reports", json=request)
        again = gateway.http.post("/v1/reports", json=request)
    assert (filed.status_code, again.status_code) == (201, 200), filed.text
    told = filed.json()
    found = httpx.get(f"{orthanc.dicom_web}/studies/{study}/series", params={"Modality": "SR"}).json()
    assert [series["0020000E"]["Value"] for series in found] == [[told["series"]]]
    instance = httpx.post(f"{orthanc.url}/tools/lookup", content=told["sop_instance_uid"]).json()
    back = httpx.get(f"{orthanc.url}{instance[0]['Path']}/file").content
    sr = validate(back)
    assert str(sr.PatientName) == "Müller^Jürgen"
    assert sr == pydicom.dcmread(pydicom.filebase.DicomBytesIO(made.content))
