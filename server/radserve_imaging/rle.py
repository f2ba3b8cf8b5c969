"""RLE Lossless, PS3.5 annex G: byte planes, each packed in runs. Pure Python, so no input can crash it."""

import struct
from itertools import pairwise

import numpy as np

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
    for i, (start, end) in enumerate(spans):
        sample, byte = divmod(i, size)  # G.2: the most significant byte of a sample comes first
        plane = unpack_runs(frame[start:end], pixels)
        out[:, sample, size - 1 - byte] = np.frombuffer(plane, np.uint8)
    values = out.view(f"<u{size}")[:, :, 0]
    if header.samples == 1:
        return values.reshape(header.rows, header.columns)
    return values.reshape(header.rows, header.columns, header.samples)


def unpack_runs(packed: bytes, size: int) -> bytes:
    """Undo the PackBits runs of one segment (G.3.2), which must give at least `size` bytes."""
    out = bytearray()
    position, end = 0, len(packed)
    while position < end and len(out) < size:
        control = packed[position]
        if control < 128:
            out += packed[position + 1 : position + 2 + control]
            position += 2 + control
        else:
            if control > 128:
                out += packed[position + 1 : position + 2] * (257 - control)
            position += 2 if control > 128 else 1
    if len(out) < size:
        raise CorruptPixelDataError(f"an RLE segment gives {len(out):,} of {size:,} bytes: it is cut off")
    return bytes(out[:size])


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
