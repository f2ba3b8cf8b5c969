"""Which frames may be decoded at less than their full resolution, and how far.

JPEG 2000 and HTJ2K hold a picture as wavelet levels, each of twice the size of the one before, so a large X-ray
on its way to a small canvas can be decoded at a half or a quarter of its sides, in a fraction of the time.
The levels' low pass is a better antialiasing filter than a box; a factor of two is still left for the resize.

Where values matter one by one the frame is decoded in full: CT, whose HU must be exact; padding, which would blend
with tissue; MR, PET and nuclear medicine, whose values are counted or measured; palette indices; signs that the
codestream does not know of, and overlays, for they may stand in the unused bits.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radserve_imaging.codestream import SOC, Codestream
from radserve_imaging.header import PixelHeader

LEAST_PIXELS = 1_000_000
"""Smaller frames decode in a few ms; there is little to gain."""

_EXACT = frozenset({"CT", "MR", "PT", "NM"})
_MOST_LEVELS = 5
_FACTOR_LEFT = 2
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")


def droppable_levels(header: PixelHeader, target: tuple[int, int], modality: str | None, padded: bool) -> int:
    """How many levels a frame shown at `target` (width, height) px may lose; `padded`: it has a padding value."""
    palette = header.samples == 1 and header.photometric not in _MONOCHROME
    if modality in _EXACT or padded or palette or header.rows * header.columns < LEAST_PIXELS:
        return 0
    levels = 0
    while levels < _MOST_LEVELS and all(
        side >> (levels + 1) >= _FACTOR_LEFT * wanted
        for side, wanted in zip((header.columns, header.rows), target, strict=True)
    ):
        levels += 1
    return levels


def feasible_levels(frame: bytes, codestream: Codestream, header: PixelHeader, wanted: int) -> int:
    """How many of the `wanted` levels can be left out of this codestream without any doubt of its values."""
    excess = codestream.bits - header.bits_stored
    plain = codestream.signed == header.signed and (excess == 0 or (excess > 0 and not header.signed))
    eight = header.samples == 1 or (codestream.bits == 8 and not codestream.signed)
    if not plain or not eight or not frame.startswith(SOC):
        return 0
    levels = min(wanted, codestream.levels)
    while levels and any(_reduced(side, levels) is None for side in (header.columns, header.rows)):
        levels -= 1
    return levels


def reduced_size(header: PixelHeader, levels: int) -> tuple[int, int]:
    """Rows and columns that are left without `levels` levels (ITU-T T.800 B-15, for an image at the origin)."""
    return -(-header.rows >> levels), -(-header.columns >> levels)


def decode_reduced(frame: bytes, codestream: Codestream, levels: int) -> NDArray[np.generic]:
    """A bare codestream without its `levels` highest levels: (H, W) or (H, W, 3), as imagecodecs would give it.

    imagecodecs cannot leave levels out. Pillow can, by the same library (OpenJPEG), but shifts grey values of less
    than 8 or 16 bits up to that width, and offsets signed ones so that none is negative: undone here. It holds
    Python's lock meanwhile, 170 ms for an X-ray of 10 MB, so a server decodes in processes of their own.
    """
    with Image.open(io.BytesIO(frame), formats=["JPEG2000"]) as image:
        image.reduce = levels  # type: ignore[method-assign, assignment]  # a setting, in this plug-in
        image.load()
        values = np.asarray(image)
    if values.ndim == 3:
        return values
    width = 8 * values.dtype.itemsize
    values = values >> (width - codestream.bits) if width > codestream.bits else values
    if not codestream.signed:
        return values
    signed: NDArray[np.generic] = (values.astype(np.int32) - (1 << (codestream.bits - 1))).astype(
        f"i{width // 8}"
    )
    return signed


def _reduced(side: int, levels: int) -> int | None:
    """The side that is left; None where Pillow would expect another, because it rounds to the nearest."""
    left = -(-side >> levels)
    return left if left == (side + (1 << levels >> 1)) >> levels else None
