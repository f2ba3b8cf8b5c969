"""Overlay planes, PS3.3 C.9.2: bitmaps that a scanner or a reader laid over an image."""

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.attributes import Attributes
from radserve_imaging.tags import describe

_GROUPS = range(0x6000, 0x6020, 2)  # PS3.5 7.6: sixteen repeating groups
_ROWS, _COLUMNS, _FRAMES, _ORIGIN, _FRAME_ORIGIN, _DATA = 0x0010, 0x0011, 0x0015, 0x0050, 0x0051, 0x3000


def has_overlays(attributes: Attributes) -> bool:
    """Whether there is an overlay plane with bits of its own."""
    return any(group << 16 | _DATA in attributes for group in _GROUPS)


def draw_overlays(
    pixels: NDArray[np.uint8], attributes: Attributes, frame: int
) -> tuple[NDArray[np.uint8], list[str]]:
    """`pixels`, (H, W) or (H, W, 3), with all planes of `frame` (from 1) in white; and what was passed over.

    An overlay whose bits lie in the pixels' unused ones (retired since 2004) is not drawn.
    """
    drawn, warnings = pixels.copy(), []
    for group in _GROUPS:
        if group << 16 | _DATA not in attributes:
            continue
        plane = _read_plane(attributes, group << 16, frame)
        if plane is None:
            warnings.append(f"{describe(group << 16 | _DATA)[:11]} Overlay Data makes no sense; not drawn")
            continue
        bits, top, left = plane
        rows, columns = (slice(max(0, top), None), slice(max(0, left), None))
        bits = bits[max(0, -top) :, max(0, -left) :]
        target = drawn[rows, columns][: bits.shape[0], : bits.shape[1]]
        target[bits[: target.shape[0], : target.shape[1]] == 1] = 255
    return drawn, warnings


def _read_plane(attributes: Attributes, group: int, frame: int) -> tuple[NDArray[np.uint8], int, int] | None:
    """The bits (rows, columns) of one plane and the row and column, from 0, where its corner lies."""
    rows, columns = attributes.integer(group | _ROWS), attributes.integer(group | _COLUMNS)
    origin = [int(value) for value in attributes.numbers(group | _ORIGIN, "SS")] or [1, 1]
    if not rows or not columns or len(origin) != 2:
        return None
    frames = attributes.integer(group | _FRAMES, "IS") or 1
    index = frame - (attributes.integer(group | _FRAME_ORIGIN) or 1) if frames > 1 else 0
    size, data = rows * columns, attributes.value(group | _DATA)
    if not 0 <= index < frames or 8 * len(data) < (index + 1) * size:
        return None
    first = index * size
    packed = np.frombuffer(data, np.uint8)[first // 8 : (first + size + 7) // 8]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][:size]
    return bits.reshape(rows, columns), origin[0] - 1, origin[1] - 1
