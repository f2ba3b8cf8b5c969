"""A series is shown alike whether it is uploaded or lies in an archive."""

from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from radserve_server.fake import FakeBackend
from radserve_server.pacs.fake import FakeArchive, running_fake_archive

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "dicom" / "series"
DICOM = {"content-type": "application/dicom"}
THREE = {"choose": "uniform", "count": 3}


@pytest.fixture(scope="module", params=["ct-head-ge", "mr-t1-sag", "made here"])
def series(request, slice_of):
    """Files in an order that has nothing to do with where they lie."""
    if request.param == "made here":
        study, uid = generate_uid(), generate_uid()
        return [slice_of(study, uid, place * 7 % 10, mr=True) for place in range(10)]
    folder = REAL / request.param
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return [path.read_bytes() for path in sorted(folder.iterdir())[::-3]]


def test_a_series_in_an_archive_gives_the_pixels_of_its_upload(start, series, ask, name_of):
    with (
        running_fake_archive(FakeArchive(series)) as archive,
        start(FakeBackend(), pacs_url=archive.url, rendering_cache_bytes=1) as gateway,
    ):
        ids = [
            gateway.http.post("/v1/images", content=data, headers=DICOM).json()["image_id"] for data in series
        ]
        made = gateway.http.post("/v1/series", json={"image_ids": ids}).json()["data"][0]
        body = {"question": "?", "series_ids": [made["series_id"]], "slices": THREE}
        uploaded = gateway.http.post("/v1/vqa", json=body).json()["clinical"]
        stored = ask(gateway, name_of(series[0], whole=True), slices=THREE).json()["clinical"]
    assert stored["images"] == uploaded["images"]
    assert len(stored["images"]) == 3
