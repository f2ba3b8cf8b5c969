"""Files that take a number: the same picture, but other pixels for each visit, at the cost of a few kilobytes.

A native file gets the number into its pixels, as a row of black and white squares along its bottom edge, large
enough to be seen in what the model sees. A compressed one cannot be changed so: the number moves its window.
"""

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from radserve_bench.errors import BenchError
from radserve_bench.imaging.codecs import Syntax, write
from radserve_bench.imaging.objects import Picture
from radserve_bench.visit import ImageFile

DICOM = "application/dicom"
_UID_PLACE = b"1000000001"
_WINDOW_PLACE = b"123456.125"
"""What a header is written with where a number will stand."""

_UID = f"1.2.826.0.1.3680043.8.498.{_UID_PLACE.decode()}"

_BITS = 32
_ACROSS = 2 * _BITS
_WINDOW_STEPS = 4096
_STRIDE = (
    633  # four times it is 0.618 of the steps: wherever rows of files begin, their windows lie far apart
)
_PIXEL_DATA = 0x7FE00010


class NativeFile:
    """A grey file of one uncompressed frame; `stored` are its stored values, (H, W)."""

    def __init__(self, name: str, dataset: Dataset, stored: NDArray[Any]) -> None:
        data = write_native(dataset, stored)
        rows = _square(stored)
        self._name = name
        self._bottom = stored[-rows:].copy()
        self._black, self._white = stored.min(), stored.max()
        self._shared = data[: len(data) - self._bottom.nbytes]

    def numbered(self, number: int) -> ImageFile:
        """The file with `number`, of which 32 bits count."""
        bottom = self._bottom.copy()
        draw_number(bottom, number, self._black, self._white)
        return ImageFile(self._name, DICOM, self._shared, bottom.tobytes())


@dataclass(frozen=True, slots=True)
class WindowedFile:
    """A compressed file whose header is `head`, with one place in it for a UID's end and one for a window's centre."""

    name: str
    head: bytes
    rest: bytes
    centre: float

    def numbered(self, number: int) -> ImageFile:
        """The file with an instance UID of its own, and one of 4096 windows."""
        row, place = divmod(number, _WINDOW_STEPS)
        step = (place + _STRIDE * row) % _WINDOW_STEPS - _WINDOW_STEPS // 2
        head = self.head.replace(_UID_PLACE, b"1%09d" % (number % 10**9))
        head = head.replace(_WINDOW_PLACE, b"%-10.3f" % (self.centre + step))
        return ImageFile(self.name, DICOM, head, self.rest)


def windowed_file(name: str, picture: Picture, syntax: Syntax) -> WindowedFile:
    """The picture in a transfer syntax, with places for a number. Raises BenchError where one is not in its header."""
    marks = {"SOPInstanceUID": _UID, "WindowCenter": _WINDOW_PLACE.decode()}
    data = write(replace(picture, attributes={**picture.attributes, **marks}), syntax)
    end = data.rfind(_WINDOW_PLACE, 0, 8192) + len(_WINDOW_PLACE)
    head = data[:end]
    if _UID_PLACE not in head or not head.endswith(_WINDOW_PLACE):
        raise BenchError(f"{name} has no place for a number in its header")
    return WindowedFile(name, head, data[end:], float(picture.attributes["WindowCenter"]))


def draw_number(picture: NDArray[Any], number: int, black: Any, white: Any) -> None:
    """Write 32 bits of `number` as squares along the bottom edge of `picture`, (H, W), in place."""
    side = _square(picture)
    bits = np.array([number >> bit & 1 for bit in range(_BITS)], bool)
    squares = np.repeat(np.where(bits, white, black), side)[: picture.shape[1]]
    picture[-side:, : len(squares)] = squares


def write_native(dataset: Dataset, stored: NDArray[Any]) -> bytes:
    """The dataset with these stored values, uncompressed; what follows the pixels, which is padding, is left out."""
    for element in [element for element in dataset if element.tag > _PIXEL_DATA]:
        del dataset[element.tag]
    codes = np.ascontiguousarray(stored)
    dataset.Rows, dataset.Columns = codes.shape
    dataset.PixelData = codes.tobytes()
    dataset["PixelData"].VR = "OW" if codes.itemsize > 1 else "OB"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    data = out.getvalue()
    if not data.endswith(codes[-1].tobytes()):
        raise BenchError("the file does not end with its pixels, so it cannot take a number")
    return data


def _square(stored: NDArray[Any]) -> int:
    """The side of a square, px."""
    return int(stored.shape[1]) // _ACROSS or 1
