"""Overlay planes, PS3.3 C.9.2: bitmaps that a scanner or a reader laid over an image."""

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.attributes import Attributes
from radserve_imaging.errors import ImagingError
from radserve_imaging.tags import describe

_GROUPS = range(0x6000, 0x6020, 2)  # PS3.5 7.6: sixteen repeating groups
_ROWS, _COLUMNS, _FRAMES, _ORIGIN, _FRAME_ORIGIN = 0x0010, 0x0011, 0x0015, 0x0050, 0x0051
_BIT_POSITION, _DATA = 0x0102, 0x3000


def has_overlays(attributes: Attributes) -> bool:
    """Whether there is an overlay plane with bits of its own."""
    return any(group << 16 | _DATA in attributes for group in _GROUPS)


def has_embedded_overlays(attributes: Attributes) -> bool:
    """Whether there is one in the pixels' unused bits (retired since 2004)."""
    return any(
        group << 16 | _BIT_POSITION in attributes and group << 16 | _DATA not in attributes
        for group in _GROUPS
    )


def draw_overlays(
    pixels: NDArray[np.uint8], attributes: Attributes, frame: int
) -> tuple[NDArray[np.uint8], bool, list[str]]:
    """`pixels`, (H, W) or (H, W, 3), with all planes of `frame` (from 1) in white; whether any is; oddities."""
    drawn, some = pixels.copy(), False
    warnings: list[str] = []
    groups = [group for group in _GROUPS if group << 16 | _DATA in attributes]
    for group in groups:
        try:
            plane = _read_plane(attributes, group << 16, frame)
        except ImagingError:
            warnings.append(f"{describe(group << 16 | _DATA)[:11]} Overlay Data makes no sense; not drawn")
            continue
        if plane is not None:
            _draw(drawn, *plane)
            some = True
    if not some and not warnings:
        where = "this frame" if groups else "the file"
        warnings.append(f"overlays were asked for, but {where} has none")
    return drawn, some, warnings


def _draw(drawn: NDArray[np.uint8], bits: NDArray[np.uint8], top: int, left: int) -> None:
    """Whiten in place where a bit is 1; the corner may lie outside."""
    bits = bits[max(0, -top) :, max(0, -left) :]
    target = drawn[max(0, top) :, max(0, left) :][: bits.shape[0], : bits.shape[1]]
    target[bits[: target.shape[0], : target.shape[1]] == 1] = 255


def _read_plane(attributes: Attributes, group: int, frame: int) -> tuple[NDArray[np.uint8], int, int] | None:
    """The bits (rows, columns) of one plane and the row and column, from 0, where its corner lies.

    None where it does not cover this frame; raises InvalidAttributeError where it makes no sense.
    """
    rows, columns = attributes.integer(group | _ROWS), attributes.integer(group | _COLUMNS)
    origin = [int(value) for value in attributes.numbers(group | _ORIGIN, "SS")] or [1, 1]
    if not rows or not columns or len(origin) != 2:
        raise attributes.wrong(group | _ROWS, "and the other attributes describe no overlay")
    frames = attributes.integer(group | _FRAMES, "IS") or 1
    index = frame - (attributes.integer(group | _FRAME_ORIGIN) or 1) if frames > 1 else 0
    size, data = rows * columns, attributes.value(group | _DATA)
    if not 0 <= index < frames:
        return None
    if 8 * len(data) < (index + 1) * size:
        raise attributes.wrong(group | _ROWS, "needs more bits than Overlay Data holds")
    first = index * size
    packed = np.frombuffer(data, np.uint8)[first // 8 : (first + size + 7) // 8]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][:size]
    return bits.reshape(rows, columns), origin[0] - 1, origin[1] - 1
