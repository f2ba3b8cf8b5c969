"""A CT slice, by default a real one; and a stack of slices made of it, with true geometry."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import generate_uid

from radserve_bench.errors import BenchError
from radserve_bench.imaging.codecs import NATIVE, write
from radserve_bench.imaging.objects import ct
from radserve_bench.workloads.numbered import NativeFile
from radserve_imaging import ImagingError, Limits
from radserve_imaging.dicom import DicomImage

_REAL = "J2K_pixelrep_mismatch.dcm"
_MAKER = "radserve_bench"


@cache
def ct_slice(side: int | None = None, file: Path | None = None) -> NativeFile:
    """A head CT of 512 × 512 that pydicom ships; a made one if `side` (px) is given; or the reader's own `file`."""
    if side is not None:
        data = write(ct(side), NATIVE)
        dataset = dcmread(io.BytesIO(data))
    else:
        data = _read(file)
        dataset = dcmread(io.BytesIO(data))
    return NativeFile(f"ct-{side or 'slice'}.dcm" if file is None else file.name, dataset, _stored(data))


@cache
def ct_series(slices: int) -> tuple[NativeFile, ...]:
    """So many slices, each the real one a little further down, along the normal at the distance of its thickness."""
    data = _read(None)
    stored = _stored(data)
    series = generate_uid(entropy_srcs=[_MAKER, str(slices)])
    files = []
    for number in range(slices):
        dataset = dcmread(io.BytesIO(data))
        dataset.SeriesInstanceUID = series
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[_MAKER, str(slices), str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.InstanceNumber = number + 1
        _move(dataset, number)
        picture = np.roll(stored, 2 * number, axis=0)
        files.append(NativeFile(f"ct-{number + 1:02d}.dcm", dataset, picture))
    return tuple(files)


def _move(dataset: Dataset, steps: int) -> None:
    """Slice thicknesses along the normal; PS3.3 C.7.6.2.1.1."""
    row, column = np.reshape([float(value) for value in dataset.ImageOrientationPatient], (2, 3))
    normal = np.cross(row, column)
    first = np.array([float(value) for value in dataset.ImagePositionPatient])
    place = first + steps * float(dataset.SliceThickness) * normal / np.linalg.norm(normal)
    dataset.ImagePositionPatient = [f"{value:.4f}" for value in place]
    dataset.SliceLocation = f"{float(dataset.SliceLocation) + steps * float(dataset.SliceThickness):.4f}"


def _read(file: Path | None) -> bytes:
    """Raises BenchError for what cannot be read, or is no DICOM file."""
    try:
        data = (file or Path(str(get_testdata_file(_REAL, download=False)))).read_bytes()
        dcmread(io.BytesIO(data), stop_before_pixels=True)
    except (OSError, InvalidDicomError) as error:
        raise BenchError(f"{file}: {error}") from error
    return data


def _stored(data: bytes) -> NDArray[Any]:
    """The stored values of the only frame, (H, W), as our own decoder reads them. Raises BenchError."""
    try:
        image = DicomImage(data, Limits())
        if not image.grey or image.header.frames > 1:
            raise BenchError("a workload's own file must be a grey DICOM image of one frame")
        values = image.decode(0).values
    except ImagingError as error:
        raise BenchError(f"a workload's own file must be a grey DICOM image of one frame: {error}") from error
    kind = f"<{'i' if image.header.signed else 'u'}{image.header.bits_allocated // 8}"
    return np.asarray(values).reshape(image.header.rows, image.header.columns).astype(kind)
