"""RLE Lossless, PS3.5 annex G: byte planes, each packed in runs, which imagecodecs unpacks.

Its decoder is given room for exactly the bytes of one plane, and refuses to write more, or to read past the
segment. pydicom's and pylibjpeg's RLE decoders would be as fast, but hold Python's lock.
"""

import struct
from itertools import pairwise

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from radserve_imaging.errors import CorruptPixelDataError
from radserve_imaging.header import PixelHeader
from radserve_imaging.samples import Samples

_HEADER_BYTES = 64
_MAX_SEGMENTS = 15


def decode_rle(frame: bytes, header: PixelHeader) -> Samples:
    """One frame as unsigned (H, W) or (H, W, samples), as wide as allocated; raises CorruptPixelDataError."""
    size = header.bits_allocated // 8
    pixels = header.rows * header.columns
    spans = _segments(frame, header.samples * size)
    out = np.empty((pixels, header.samples, size), np.uint8)
    plane = np.empty(pixels, np.uint8)
    for i, (start, end) in enumerate(spans):
        sample, byte = divmod(i, size)  # G.2: the most significant byte of a sample comes first
        unpack_runs(frame[start:end], plane)
        out[:, sample, size - 1 - byte] = plane
    values = out.view(f"<u{size}")[:, :, 0]
    if header.samples == 1:
        return values.reshape(header.rows, header.columns)
    return values.reshape(header.rows, header.columns, header.samples)


def unpack_runs(packed: bytes, plane: NDArray[np.uint8]) -> None:
    """Undo the PackBits runs of one segment (G.3.2), which must give the bytes of `plane`, no fewer or more."""
    try:
        given = len(imagecodecs.packbits_decode(packed, out=plane.data))
    except imagecodecs.PackbitsError as error:
        raise CorruptPixelDataError(
            f"an RLE segment breaks off inside a run, or gives more than its {plane.size:,} bytes"
        ) from error
    if given != plane.size:
        raise CorruptPixelDataError(f"an RLE segment gives {given:,} of {plane.size:,} bytes: it is cut off")


def _segments(frame: bytes, expected: int) -> list[tuple[int, int]]:
    """Start and end of each segment, by the 64-byte header (G.4), which must match the frame."""
    if len(frame) < _HEADER_BYTES:
        raise CorruptPixelDataError("the RLE frame is shorter than its header")
    count, *offsets = struct.unpack_from(f"<{1 + _MAX_SEGMENTS}I", frame)
    if count != expected:
        raise CorruptPixelDataError(
            f"the RLE frame has {count} segments, where its attributes need {expected}"
        )
    bounds = [*offsets[:count], len(frame)]
    if bounds[0] < _HEADER_BYTES or any(a >= b for a, b in pairwise(bounds)):
        raise CorruptPixelDataError("the RLE frame's segment offsets make no sense")
    return list(pairwise(bounds))
