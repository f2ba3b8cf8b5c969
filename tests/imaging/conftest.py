"""Real DICOM files, a builder of synthetic ones, and what the model would see of them at full size."""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from radserve_imaging import ImagePolicy, Reading, Rendering, Window, render

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)

Build = Callable[..., bytes]
Show = Callable[..., Rendering]


@pytest.fixture(scope="session")
def corpus() -> list[tuple[Path, dict[str, str]]]:
    """Each file of the shared collection with its row of the manifest."""
    manifest = CORPUS / "manifest.csv"
    if not manifest.exists():
        pytest.skip("the shared collection of real DICOM files is not beside this checkout")
    with manifest.open(newline="") as rows:
        return [(CORPUS / row["file"], row) for row in csv.DictReader(rows)]


@pytest.fixture(scope="session")
def testfile() -> Callable[[str], bytes]:
    """The bytes of a file that pydicom's own wheel brings."""

    def read(name: str) -> bytes:
        path = get_testdata_file(name, download=False)
        assert isinstance(path, str), f"pydicom does not ship {name}"
        return Path(path).read_bytes()

    return read


@pytest.fixture(scope="session")
def build() -> Build:
    """Builds a DICOM file around stored values (H, W), (N, H, W) or (H, W, 3), or around encoded `frames`."""
    return _build


@pytest.fixture(scope="session")
def full_size() -> Show:
    """Renders without any resize, so that each pixel shown is one pixel stored."""
    return _full_size


@pytest.fixture(scope="session")
def hounsfield() -> Callable[[bytes], NDArray[np.int64]]:
    """The exact HU a rendering rests on: in a window 256 wide each integer has its own grey level."""

    def measure(data: bytes) -> NDArray[np.int64]:
        found = None
        for low in range(-2048, 4096, 254):
            shown = _full_size(data, Reading(window=Window(low + 128, 256))).pixels[:, :, 0].astype(np.int64)
            found = np.full(shown.shape, -(10**6), np.int64) if found is None else found
            inside = (shown > 0) & (shown < 255)
            found[inside] = shown[inside] + low
        assert found is not None
        return found

    return measure


def _full_size(data: bytes, reading: Reading = Reading(), **policy: Any) -> Rendering:  # noqa: B008
    width, height = render(data, ImagePolicy(**policy), reading).record.size_in
    return render(data, ImagePolicy(width=width, height=height, fit="stretch", **policy), reading)


def _build(
    stored: NDArray[Any],
    *,
    syntax: str = ExplicitVRLittleEndian,
    frames: Iterable[bytes] | None = None,
    offset_table: bool = True,
    modality: str = "CT",
    **attributes: Any,
) -> bytes:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = CTImageStorage, "1.2.826.0.1.3680043.8.498.1", modality
    colour = stored.ndim == 3 and stored.shape[2] == 3
    ds.Rows, ds.Columns = stored.shape[:2] if colour else stored.shape[-2:]
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if stored.ndim == 3 and not colour:
        ds.NumberOfFrames = stored.shape[0]
    ds.BitsAllocated = ds.BitsStored = 8 * stored.dtype.itemsize
    ds.PixelRepresentation = 1 if stored.dtype.kind == "i" else 0
    if colour:
        ds.PlanarConfiguration = 0
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.HighBit = attributes.get("HighBit", ds.BitsStored - 1)
    if frames is None:
        ordered = stored.astype(stored.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<"))
        raw = ordered.tobytes()
        ds.PixelData = raw + b"\0" * (len(raw) % 2)
    else:
        ds.PixelData = encapsulate(list(frames), has_bot=offset_table)
    ds["PixelData"].VR = "OW" if stored.dtype.itemsize > 1 else "OB"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()
