"""Colour frames to 8-bit RGB: RGB, YBR and palette, PS3.3 C.7.6.3.1.2."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radserve_imaging.attributes import Attributes
from radserve_imaging.errors import UnsupportedPhotometricError
from radserve_imaging.header import PixelHeader
from radserve_imaging.palettes import first_input, read_palettes
from radserve_imaging.samples import Samples
from radserve_imaging.tags import PHOTOMETRIC_INTERPRETATION, describe

_TAG = describe(PHOTOMETRIC_INTERPRETATION)


def show_colour(values: Samples, coding: str, header: PixelHeader) -> NDArray[np.uint8]:
    """Three samples per pixel, coded as RGB or YBR_FULL, as (H, W, 3) uint8 RGB."""
    if coding not in ("RGB", "YBR_FULL", "YBR_FULL_422") or values.ndim != 3:
        raise UnsupportedPhotometricError(
            f"{_TAG} is {coding} with {header.samples} sample(s) per pixel, which is not rendered; "
            "ask the archive to convert to RGB",
            tag=_TAG,
        )
    if header.signed or header.floating:
        raise UnsupportedPhotometricError(f"{_TAG} is {coding} with signed or float samples", tag=_TAG)
    eight = _to_eight_bits(values, header.bits_stored)
    if coding == "RGB":
        return eight
    # PS3.3 C.7.6.3.1.2 defines YBR_FULL by the same matrix as JFIF, which is Pillow's YCbCr.
    return np.asarray(Image.frombytes("YCbCr", (header.columns, header.rows), eight.tobytes()).convert("RGB"))


def show_palette(values: Samples, attributes: Attributes, header: PixelHeader) -> NDArray[np.uint8]:
    """Indices (H, W) through the red, green and blue palettes (C.7.6.3.1.5), as (H, W, 3) uint8."""
    palettes = read_palettes(attributes)
    inputs = values.astype(np.int64) - first_input(attributes, header.signed)
    return np.dstack([levels[np.clip(inputs, 0, len(levels) - 1)] for levels in palettes])


def _to_eight_bits(values: Samples, bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return np.ascontiguousarray(values, np.uint8)
    return np.asarray(values * (255.0 / (2**bits - 1)) + 0.5, np.uint8)
