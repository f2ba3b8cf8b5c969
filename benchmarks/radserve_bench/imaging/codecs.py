"""The transfer syntaxes that the imaging benchmark reads, and the files of its pictures in each of them.

Encoders are imagecodecs'. What is coded with loss at a ratio is coded again and again until it has that ratio
within 3 %, for a codec's settings mean another size for every picture.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from radserve_bench.imaging.objects import Picture, Stored

Encode = Callable[[Stored, int], bytes]

_UID = "1.2.826.0.1.3680043.8.498.1"
_RATIO = 10.0
_MOST_TRIES = 12


@dataclass(frozen=True, slots=True)
class Syntax:
    """A transfer syntax and how a frame is encoded in it; `encode` is None where the frame is native."""

    name: str
    uid: str
    encode: Encode | None = None

    def suits(self, picture: Picture) -> bool:
        """Whether the standard allows the picture's bits: 8 in JPEG baseline, 12 in extended; colour is of 8."""
        if self.uid == JPEGBaseline8Bit:
            return picture.bits == 8
        return self.uid != JPEGExtended12Bit or picture.bits == 12


def _codes(stored: Stored) -> Stored:
    return stored.view(f"u{stored.dtype.itemsize}")


def _jpeg(stored: Stored, bits: int) -> bytes:
    space: dict[str, Any] = {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "422"}
    space = space if stored.ndim == 3 else {}
    return bytes(imagecodecs.jpeg8_encode(stored, level=90, bitspersample=bits, **space))


def _jpeg_lossless(stored: Stored, bits: int) -> bytes:
    space: dict[str, Any] = {"colorspace": "RGB", "outcolorspace": "RGB"} if stored.ndim == 3 else {}
    codes = _codes(stored)
    return bytes(imagecodecs.jpeg8_encode(codes, lossless=True, predictor=1, bitspersample=bits, **space))


def _jpeg_ls(level: int) -> Encode:
    return lambda stored, bits: bytes(imagecodecs.jpegls_encode(_codes(stored), level=level))


def _jpeg2000(stored: Stored, bits: int) -> bytes:
    options: dict[str, Any] = {"codecformat": "j2k", "reversible": True, "bitspersample": bits}
    return bytes(imagecodecs.jpeg2k_encode(stored, **options))


def _jpeg2000_lossy(stored: Stored, bits: int) -> bytes:
    def encode(smaller: float) -> Any:
        options: dict[str, Any] = {"codecformat": "j2k", "bitspersample": bits, "level": 120 - 100 * smaller}
        return imagecodecs.jpeg2k_encode(stored, **options)

    return _at_ratio(encode, stored)


def _htj2k(stored: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(stored, reversible=True))


def _htj2k_lossy(stored: Stored, bits: int) -> bytes:
    return _at_ratio(
        lambda x: imagecodecs.htj2k_encode(stored, reversible=False, level=10 ** (6 * x - 6)), stored
    )


def _at_ratio(encode: Callable[[float], Any], stored: Stored) -> bytes:
    """The frame that is `_RATIO` times smaller than `stored`; `encode` gives smaller ones from 0 to 1."""
    low, high = 0.0, 1.0
    for _ in range(_MOST_TRIES):
        frame = bytes(encode((low + high) / 2))
        if abs(stored.nbytes / len(frame) / _RATIO - 1) < 0.03:
            break
        low, high = (
            (low, (low + high) / 2) if stored.nbytes / len(frame) > _RATIO else ((low + high) / 2, high)
        )
    return frame


def _rle(stored: Stored, bits: int) -> bytes:
    """PS3.5 annex G: the samples' bytes as planes, the most significant first, packed row by row."""
    size = stored.dtype.itemsize
    samples = np.atleast_3d(_codes(stored)).astype(f">u{size}")
    planes = samples.view(np.uint8).reshape(*samples.shape[:2], -1)
    segments = [
        b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in planes[:, :, i])
        for i in range(planes.shape[2])
    ]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    header = np.zeros(16, "<u4")
    header[0] = len(segments)
    header[1 : 1 + len(segments)] = 64 + np.cumsum([0, *map(len, segments[:-1])])
    return header.tobytes() + b"".join(segments)


NATIVE = Syntax("explicit little endian", ExplicitVRLittleEndian)
SYNTAXES = (
    NATIVE,
    Syntax("implicit little endian", ImplicitVRLittleEndian),
    Syntax("explicit big endian", ExplicitVRBigEndian),
    Syntax("deflated", DeflatedExplicitVRLittleEndian),
    Syntax("RLE", RLELossless, _rle),
    Syntax("JPEG baseline", JPEGBaseline8Bit, _jpeg),
    Syntax("JPEG extended", JPEGExtended12Bit, _jpeg),
    Syntax("JPEG lossless SV1", JPEGLosslessSV1, _jpeg_lossless),
    Syntax("JPEG-LS", JPEGLSLossless, _jpeg_ls(0)),
    Syntax("JPEG-LS near-lossless", JPEGLSNearLossless, _jpeg_ls(2)),
    Syntax("JPEG 2000", JPEG2000Lossless, _jpeg2000),
    Syntax("JPEG 2000, 10:1", JPEG2000, _jpeg2000_lossy),
    Syntax("HTJ2K", HTJ2KLossless, _htj2k),
    Syntax("HTJ2K, 10:1", HTJ2K, _htj2k_lossy),
)


def write(picture: Picture, syntax: Syntax) -> bytes:
    """The DICOM file of a picture in a transfer syntax."""
    stored = picture.stored
    ds = Dataset()
    ds.SOPInstanceUID = _UID
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.SamplesPerPixel = 3 if picture.colour else 1
    ds.PhotometricInterpretation = _photometric(picture, syntax)
    if picture.colour:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 8 * stored.dtype.itemsize
    ds.BitsStored, ds.HighBit = picture.bits, picture.bits - 1
    ds.PixelRepresentation = 1 if stored.dtype.kind == "i" else 0
    for keyword, value in picture.attributes.items():
        setattr(ds, keyword, value)
    if syntax.encode is None:
        swapped = syntax.uid == ExplicitVRBigEndian
        ds.PixelData = (stored.byteswap() if swapped else stored).tobytes()
    else:
        ds.PixelData = encapsulate([syntax.encode(stored, picture.bits)])
    ds["PixelData"].VR = "OW" if stored.dtype.itemsize > 1 else "OB"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax.uid)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _photometric(picture: Picture, syntax: Syntax) -> str:
    if not picture.colour:
        return "MONOCHROME2"
    if syntax.name.startswith(("JPEG 2000", "HTJ2K")):
        return "YBR_ICT" if syntax.name.endswith("10:1") else "YBR_RCT"
    return "YBR_FULL_422" if syntax.uid == JPEGBaseline8Bit else "RGB"
