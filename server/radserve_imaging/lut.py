"""Lookup tables as DICOM stores them, PS3.3 C.11.1.1 (modality), C.11.2.1.1 (VOI), C.7.6.3.1.5 (palette)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LookupTable:
    """`entries[i]`, of `bits` bits each, belongs to input `first + i`; inputs beyond take the end entries."""

    first: int
    bits: int
    entries: NDArray[np.uint16]

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Look up each of `values`, rounded to integers; float64 of the same shape."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        found: NDArray[np.float64] = self.entries[index.astype(np.intp)].astype(np.float64)
        return found

    def brightness(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Look up `values` and scale the entries to 0…1."""
        return np.minimum(self.apply(values) / (2.0**self.bits - 1.0), 1.0)

    def signed_first(self) -> "LookupTable":
        """The same table with its first input read as a signed number, for inputs that can be negative."""
        return replace(self, first=self.first - 2**16) if self.first >= 2**15 else self
