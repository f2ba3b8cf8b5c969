"""From stored values to values with a meaning (HU for CT): rescale or modality LUT, PS3.3 C.11.1."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.header import PixelHeader
from radserve_imaging.lut import LookupTable
from radserve_imaging.record import Rescale


@dataclass(frozen=True, slots=True)
class ModalityTransform:
    """A linear rescale, or a `table` that replaces it; `given` is False where the file says neither."""

    slope: float = 1.0
    intercept: float = 0.0
    type: str | None = None
    table: LookupTable | None = None
    given: bool = False

    def apply(self, stored: NDArray[np.float64]) -> NDArray[np.float64]:
        """Stored values, already float64 so that nothing can wrap, as modality values."""
        if self.table is not None:
            return self.table.apply(stored)
        with np.errstate(over="ignore"):  # an absurd slope gives infinities, which are not shown
            return stored * self.slope + self.intercept

    def can_be_negative(self, header: PixelHeader) -> bool:
        """Whether modality values below 0 are possible."""
        if header.floating:
            return True
        bits = header.bits_stored
        ends = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if header.signed else (0.0, 2.0**bits - 1)
        return bool(self.apply(np.array(ends)).min() < 0)

    def record(self) -> Rescale | None:
        """What the rendering record says of it."""
        if not self.given:
            return None
        if self.table is not None:
            return Rescale(None, None, self.type)
        return Rescale(self.slope, self.intercept, self.type)
