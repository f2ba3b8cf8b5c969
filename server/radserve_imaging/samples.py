"""Stored values as numbers: which bits count, and whether the top one is a sign (PS3.5 8.1.1)."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.header import PixelHeader

Samples: TypeAlias = NDArray[Any]


def bytes_for(bits: int) -> int:
    """How many bytes numpy needs for an integer of so many bits: 1, 2, 4 or 8."""
    return 1 if bits <= 8 else 2 if bits <= 16 else 4 if bits <= 32 else 8


def settle(raw: Samples, header: PixelHeader, bits: int, high_bit: int) -> Samples:
    """Keep the `bits` that end at `high_bit`, and extend their sign if the header says signed.

    `raw` holds integers of 8, 16, 32 or 64 bits, in any shape; the result has the same width. What stands
    above `high_bit` (overlays, in old files) and below is dropped. `raw` itself comes back where that changes
    nothing, as its least and greatest value tell: far cheaper than a shift.
    """
    size = raw.dtype.itemsize
    width = 8 * size
    value = raw.view(f"i{size}" if header.signed else f"u{size}")
    if high_bit == bits - 1 and _fits(value, bits):
        return value
    if header.signed:
        return np.right_shift(np.left_shift(value, width - 1 - high_bit), width - bits)
    return np.bitwise_and(np.right_shift(value, high_bit + 1 - bits), value.dtype.type(2**bits - 1))


def _fits(value: Samples, bits: int) -> bool:
    """Whether every value is a number of so many bits, its sign already extended."""
    if bits == 8 * value.dtype.itemsize:
        return True
    if value.dtype.kind == "u":
        return bool(value.max() < 2**bits)
    return bool(value.min() >= -(2 ** (bits - 1)) and value.max() < 2 ** (bits - 1))
