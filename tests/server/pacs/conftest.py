"""Archives to ask: the fake one with a CT study, and questions about what lies in it."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from radserve_server.pacs.fake import FakeArchive, running_fake_archive

SLICES = 300
QUICK = "connect_s = 1\nidle_s = 0.3\nwhole_s = 2\n"


def make_slice(study: str, series: str, place: int, *, mr: bool = False, more: dict[str, Any] | None = None):
    """A slice of 16 × 16 px that lies `place` mm along the body."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage if mr else CTImageStorage
    meta.MediaStorageSOPInstanceUID = long_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.Modality = "MR" if mr else "CT"
    dataset.PatientName, dataset.PatientID = "Nobody", "1"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], 1
    dataset.Rows = dataset.Columns = 16
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1000
    for keyword, value in (more or {}).items():
        setattr(dataset, keyword, value)
    dataset.PixelData = (np.arange(256, dtype=np.uint16) * 4 + place).tobytes()
    return dataset


def long_uid() -> str:
    """One of 63 or 64 characters, so that files that hold one are of one size."""
    while len(uid := generate_uid()) < 63:
        pass
    return uid


def write(dataset: FileDataset) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.fixture(scope="session")
def slice_of() -> Callable[..., bytes]:
    """A slice as a file, by study, series and place."""
    return lambda *given, **more: write(make_slice(*given, **more))


@pytest.fixture(scope="session")
def ct_study() -> dict[str, bytes]:
    """Files by their SOP Instance UID, ordered along the body; sent in another order than they lie."""
    study, series = generate_uid(), generate_uid()
    slices = [make_slice(study, series, place) for place in range(SLICES)]
    return {str(dataset.SOPInstanceUID): write(dataset) for dataset in slices}


@pytest.fixture(scope="session")
def name_of() -> Callable[[bytes], dict[str, str]]:
    """The reference to the series of a file."""

    def name(data: bytes, *, whole: bool = False) -> dict[str, Any]:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        reference = {"study": str(header.StudyInstanceUID), "series": str(header.SeriesInstanceUID)}
        return reference if whole else {**reference, "instances": [str(header.SOPInstanceUID)]}

    return name


@pytest.fixture(scope="session")
def pydicom_file() -> Callable[[str], bytes]:
    return lambda name: Path(str(get_testdata_file(name, download=False))).read_bytes()


@pytest.fixture(scope="module")
def ward(ct) -> Iterator[FakeArchive]:
    """An archive with one CT slice."""
    with running_fake_archive(FakeArchive([ct])) as archive:
        yield archive


@pytest.fixture(scope="session")
def pacs_file(tmp_path_factory) -> Callable[..., Path]:
    """A configuration file of one PACS called ward, quick to lose patience."""

    def make(url: str, more: str = "") -> Path:
        path = tmp_path_factory.mktemp("pacs") / "pacs.toml"
        path.write_text(f'[ward]\nurl = "{url}"\n{QUICK}{more}')
        return path

    return make


@pytest.fixture(scope="session")
def ask() -> Callable[..., Any]:
    """Ask about references, by /v1/vqa or in a chat."""

    def send(gateway: Any, *references: dict[str, Any], route: str = "vqa", **more: Any) -> Any:
        if route == "vqa":
            body = {"question": "Is there a bleed?", "image_dicom": list(references), **more}
            return gateway.http.post("/v1/vqa", json=body)
        parts = [{"type": "image_dicom", "image_dicom": reference} for reference in references]
        content = [*parts, {"type": "text", "text": "Is there a bleed?"}]
        body = {"model": "fake-vqa", "messages": [{"role": "user", "content": content}], **more}
        return gateway.http.post("/v1/chat/completions", json=body)

    return send
