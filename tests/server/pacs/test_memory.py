"""Questions about what lies in an archive, by its UIDs alone."""

import asyncio
import io

import pydicom

from radserve_server.fake import FakeBackend
from radserve_server.pacs.archive import Archives
from radserve_server.pacs.memory import MemoryArchive


def test_an_instance_of_an_archive_is_asked_about_and_named_in_the_answer(start, ct):
    archive = MemoryArchive("ward")
    asyncio.run(archive.store([ct]))
    header = pydicom.dcmread(io.BytesIO(ct), stop_before_pixels=True)
    reference = {
        "study": header.StudyInstanceUID,
        "series": header.SeriesInstanceUID,
        "instances": [header.SOPInstanceUID],
    }
    with start(FakeBackend(), archives=Archives({"ward": archive})) as gateway:
        answer = gateway.http.post(
            "/v1/vqa", json={"question": "Is there a bleed?", "image_dicom": [reference]}
        )
        assert answer.status_code == 200, answer.text
        (seen,) = answer.json()["clinical"]["seen"]
        assert seen == {
            "pacs": "ward",
            "frame": 1,
            "study": header.StudyInstanceUID,
            "series": header.SeriesInstanceUID,
            "instance": header.SOPInstanceUID,
        }
        missing = gateway.http.post("/v1/vqa", json={"question": "?", "image_dicom": [{"study": "1.2.3"}]})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "dicom_not_found")
