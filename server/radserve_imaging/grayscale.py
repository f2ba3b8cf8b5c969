"""One grey frame from stored values to 8-bit brightness.

Up to 16 bits, a frame holds at most 65,536 distinct values: modality, VOI and inversion run once over those
in float64 and become one table of bytes, so a pixel costs one lookup. Wider and float
frames go pixel by pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.modality import ModalityTransform
from radserve_imaging.samples import Samples
from radserve_imaging.voi import Population, Voi
from radserve_imaging.windowing import to_bytes

Choose = Callable[[Callable[[], Population]], Voi]


@dataclass(frozen=True, slots=True)
class GrayFrame:
    """Samples values (H, W) and how to read them; `padding` is the inclusive range of values that mean none.

    Padding is background (PS3.3 C.7.5.1.1.2): no percentile counts it, and it is always darkest.
    """

    stored: Samples
    modality: ModalityTransform
    padding: tuple[float, float] | None = None
    inverted: bool = False


def show(frame: GrayFrame, choose: Choose) -> tuple[NDArray[np.uint8], Voi]:
    """The frame as (H, W) uint8, and the VOI that `choose` took; it may ask for the frame's population."""
    if frame.stored.dtype.kind in "iu" and frame.stored.dtype.itemsize <= 2:
        return _show_by_table(frame, choose)
    values = frame.modality.apply(frame.stored.astype(np.float64))
    shown = _meaningful(frame.stored, frame.padding) & np.isfinite(values)
    voi = choose(lambda: Population(*np.unique(values[shown], return_counts=True)))
    return _brightness(np.where(shown, values, 0.0), shown, voi, frame.inverted), voi


def _show_by_table(frame: GrayFrame, choose: Choose) -> tuple[NDArray[np.uint8], Voi]:
    stored = frame.stored
    bits = 8 * stored.dtype.itemsize
    unsigned = stored.view(f"u{stored.dtype.itemsize}")
    codes = np.arange(int(stored.min()), int(stored.max()) + 1)
    slots = codes & (2**bits - 1)
    values = frame.modality.apply(codes.astype(np.float64))
    shown = _meaningful(codes, frame.padding)

    def count() -> Population:
        counts = np.bincount(unsigned.ravel(), minlength=2**bits)[slots]
        present = shown & (counts > 0)
        order = np.argsort(values[present], kind="stable")
        return Population(values[present][order], counts[present][order])

    voi = choose(count)
    table = np.zeros(2**bits, np.uint8)
    table[slots] = _brightness(values, shown, voi, frame.inverted)
    return np.take(table, unsigned), voi


def _meaningful(stored: Samples, padding: tuple[float, float] | None) -> NDArray[np.bool_]:
    if padding is None:
        return np.ones(stored.shape, np.bool_)
    low, high = padding
    return np.asarray((stored < low) | (stored > high))


def _brightness(
    values: NDArray[np.float64], shown: NDArray[np.bool_], voi: Voi, inverted: bool
) -> NDArray[np.uint8]:
    brightness = voi.brightness(values)
    if inverted:
        brightness = 1.0 - brightness
    return np.where(shown, to_bytes(brightness), np.uint8(0))
