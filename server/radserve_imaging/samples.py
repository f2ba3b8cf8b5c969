"""Stored values as numbers: which bits count, and whether the top one is a sign (PS3.5 8.1.1)."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.header import PixelHeader

Samples: TypeAlias = NDArray[Any]


def settle(raw: Samples, header: PixelHeader, bits: int, high_bit: int) -> Samples:
    """Keep the `bits` that end at `high_bit`, and extend their sign if the header says signed.

    `raw` holds integers of 8, 16 or 32 bits, in any shape; the result has the same width. What stands above
    `high_bit` (overlays, in old files) and below is dropped.
    """
    size = raw.dtype.itemsize
    width = 8 * size
    if header.signed:
        value = raw.view(f"i{size}")
        if bits == width:
            return value
        return np.right_shift(np.left_shift(value, width - 1 - high_bit), width - bits)
    value = raw.view(f"u{size}")
    if bits == width:
        return value
    return np.bitwise_and(np.right_shift(value, high_bit + 1 - bits), value.dtype.type(2**bits - 1))
