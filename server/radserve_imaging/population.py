"""How often each value occurs, in a frame or in a whole volume: what percentiles are taken of."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Population:
    """Modality values without padding: distinct `values` ascending (float64), and how many of each."""

    values: NDArray[np.float64]
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Population":
        """Counts values of any shape."""
        return cls(*np.unique(values, return_counts=True))

    @classmethod
    def merge(cls, parts: Iterable["Population"]) -> "Population":
        """All of several frames together; its size is that of their distinct values, not of their pixels."""
        merged = cls(np.empty(0), np.empty(0, np.intp))
        for part in parts:
            values, places = np.unique(np.concatenate((merged.values, part.values)), return_inverse=True)
            counts = np.bincount(places, np.concatenate((merged.counts, part.counts)), len(values))
            merged = cls(values, counts.astype(np.intp))
        return merged

    def percentile(self, percent: float) -> float:
        """The least value that at least `percent` of all pixels do not exceed."""
        below = np.cumsum(self.counts)
        return float(self.values[min(np.searchsorted(below, below[-1] * percent / 100), len(below) - 1)])

    def span(self) -> tuple[float, float]:
        """Least and greatest value; 0, 0 where all is padding."""
        return (float(self.values[0]), float(self.values[-1])) if len(self.values) else (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Census:
    """A population, and in words what it was counted `over`: a frame, a volume."""

    population: Population
    over: str
