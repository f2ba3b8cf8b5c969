"""A figure that was measured several times."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value at least, to four digits."""
        found = statistics.median(values), min(values), max(values)
        return cls(*(float(f"{value:.4g}") for value in found))
