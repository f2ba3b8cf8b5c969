"""One grey frame from stored values to 8-bit brightness.

Up to 16 bits, a frame holds at most 65,536 distinct values: modality, VOI and inversion run once over those
in float64 and become one table of bytes, so a pixel costs one lookup. Wider and float
frames go pixel by pixel.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.lut import look_up
from radserve_imaging.modality import ModalityTransform
from radserve_imaging.population import Population
from radserve_imaging.samples import Samples
from radserve_imaging.voi import Voi
from radserve_imaging.windowing import to_bytes


class GrayFrame:
    """Stored values (H, W) and how to read them; `padding` is the inclusive range of values that mean none.

    Padding is background (PS3.3 C.7.5.1.1.2): no percentile counts it, and it is always darkest.
    """

    def __init__(
        self,
        stored: Samples,
        modality: ModalityTransform,
        padding: tuple[float, float] | None = None,
        inverted: bool = False,
    ) -> None:
        self.stored = stored
        self.inverted = inverted
        self._modality = modality
        self._padding = padding
        self._tabled = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2

    @cached_property
    def population(self) -> Population:
        """The distinct modality values without padding, and how many pixels have each."""
        if not self._tabled:
            return Population.of(self._values[self._meaningful])
        bits = 8 * self.stored.dtype.itemsize
        counts = np.bincount(self._codes.ravel(), minlength=2**bits)[self._slots]
        present = self._meaningful & (counts > 0)
        order = np.argsort(self._values[present], kind="stable")
        return Population(self._values[present][order], counts[present][order])

    @cached_property
    def contrast(self) -> bool:
        """Whether the frame holds more than one value."""
        return bool(self._span[0] != self._span[1])

    def show(self, vois: Sequence[Voi]) -> NDArray[np.uint8]:
        """(H, W) through one VOI, or (H, W, 3) with each of three VOIs as one of red, green and blue."""
        if not self._tabled:
            return _stack([self._brightness(voi) for voi in vois])
        table = np.zeros((2 ** (8 * self.stored.dtype.itemsize), len(vois)), np.uint8)
        for channel, voi in enumerate(vois):
            table[self._slots, channel] = self._brightness(voi)
        return look_up(np.ascontiguousarray(table[:, 0]) if len(vois) == 1 else table, self._codes)

    @cached_property
    def _span(self) -> tuple[float, float]:
        return self.stored.min(), self.stored.max()

    @property
    def _codes(self) -> Samples:
        """The stored bits as unsigned numbers: where a value's brightness stands in the table."""
        return self.stored.view(f"u{self.stored.dtype.itemsize}")

    @cached_property
    def _slots(self) -> NDArray[np.intp]:
        """The codes of all stored values between the least and the greatest."""
        slots: NDArray[np.intp] = self._distinct & (2 ** (8 * self.stored.dtype.itemsize) - 1)
        return slots

    @cached_property
    def _distinct(self) -> NDArray[np.intp]:
        low, high = self._span
        return np.arange(int(low), int(high) + 1)

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        """Modality values: of every pixel, or of every code."""
        return self._modality.apply((self._distinct if self._tabled else self.stored).astype(np.float64))

    @cached_property
    def _meaningful(self) -> NDArray[np.bool_]:
        """Which of `_values` are neither padding nor NaN nor infinite."""
        stored = self._distinct if self._tabled else self.stored
        finite = np.isfinite(self._values)
        if self._padding is None:
            return finite
        low, high = self._padding
        return np.asarray(finite & ((stored < low) | (stored > high)))

    def _brightness(self, voi: Voi) -> NDArray[np.uint8]:
        brightness = voi.brightness(np.where(self._meaningful, self._values, 0.0))
        if self.inverted:
            brightness = 1.0 - brightness
        return np.where(self._meaningful, to_bytes(brightness), np.uint8(0))


def _stack(channels: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return channels[0] if len(channels) == 1 else np.dstack(channels)
