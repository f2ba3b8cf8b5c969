"""The viewer before a real archive: what comes through is what the archive has."""

import io
import re

import httpx
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid


@pytest.fixture(scope="module")
def viewer(start_viewer, orthanc):
    with start_viewer(orthanc.dicom_web, "http://127.0.0.1:9") as http:
        yield http


@pytest.fixture(scope="module")
def dataset():
    found = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    found.StudyInstanceUID, found.SeriesInstanceUID = generate_uid(), generate_uid()
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return found


@pytest.fixture(scope="module")
def stored(viewer, dataset):
    """Sent to the archive through the viewer (STOW-RS), as OHIF does with a report of measurements."""
    file = io.BytesIO()
    dataset.save_as(file)
    head = b"--part\r\nContent-Type: application/dicom\r\n\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=part'
    sent = viewer.post(
        "/dicom-web/studies",
        content=head + file.getvalue() + b"\r\n--part--\r\n",
        headers={"content-type": kind, "accept": "application/dicom+json"},
    )
    assert sent.status_code == 200, sent.text
    return dataset


def test_what_is_asked_for_is_answered_as_the_archive_answers(viewer, orthanc, stored):
    study = f"studies/{stored.StudyInstanceUID}"
    forwarded = {"forwarded": f"host={viewer.base_url.netloc.decode()};proto=http"}
    for path in (
        f"studies?StudyInstanceUID={stored.StudyInstanceUID}",
        f"{study}/series",
        f"{study}/metadata",
    ):
        through = viewer.get(f"/dicom-web/{path}")
        straight = httpx.get(f"{orthanc.dicom_web}/{path}", headers=forwarded)
        assert through.content == straight.content and through.json(), path
        assert through.headers["content-type"] == straight.headers["content-type"]


def test_addresses_in_the_archives_answers_are_the_viewers(viewer, orthanc, stored):
    text = viewer.get(f"/dicom-web/studies?StudyInstanceUID={stored.StudyInstanceUID}").text
    metadata = viewer.get(f"/dicom-web/studies/{stored.StudyInstanceUID}/metadata").text
    named = set(re.findall(r"https?:(?://|\\/\\/)([\w.:]+)", text + metadata))
    assert named == {viewer.base_url.netloc.decode()}


def test_an_instance_and_its_pixels_come_byte_for_byte(viewer, stored):
    path = f"/dicom-web/studies/{stored.StudyInstanceUID}/series/{stored.SeriesInstanceUID}"
    path = f"{path}/instances/{stored.SOPInstanceUID}"
    accept = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    whole = pydicom.dcmread(io.BytesIO(only_part(viewer.get(path, headers=accept))))
    assert whole.SOPInstanceUID == stored.SOPInstanceUID and whole.PixelData == stored.PixelData
    accept = {"accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}
    assert only_part(viewer.get(f"{path}/frames/1", headers=accept)) == stored.PixelData


def only_part(answer):
    assert answer.status_code == 200, answer.text
    boundary = re.search(r'boundary="?([^";]+)', answer.headers["content-type"])[1].encode()
    _, part, rest = answer.content.split(b"--" + boundary)
    assert rest.startswith(b"--")
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
