"""Bootstrap intervals that resample images, not questions: the questions of one image are not independent.

Cluster bootstrap, percentile interval (Efron and Tibshirani, 1993; Field and Welsh, 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_CHUNK = 250
_LEVEL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval, which is None where there is one image only; in per cent if so called."""

    value: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        """Rounded to four places."""
        return {
            name: None if number is None else round(number, 4)
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} ({self.low:.1f}–{self.high:.1f})"


def estimate_percent(
    values: Sequence[float], images: Sequence[str], seed: int, resamples: int = RESAMPLES
) -> Estimate | None:
    """Mean of `values` in per cent; `images` names each value's cluster. None where there are none."""
    if not values:
        return None
    places = {image: place for place, image in enumerate(dict.fromkeys(images))}
    rows = np.array([places[image] for image in images])
    totals = np.bincount(rows, np.asarray(values, float)).astype(np.float64)
    counts = np.bincount(rows).astype(np.float64)
    value = 100 * float(totals.sum() / counts.sum())
    if len(places) < 2:
        return Estimate(value, None, None)
    means = 100 * _resampled_means(totals, counts, seed, resamples)
    low, high = np.percentile(means, _LEVEL)
    return Estimate(value, float(low), float(high))


def _resampled_means(
    totals: NDArray[np.float64], counts: NDArray[np.float64], seed: int, resamples: int
) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    means = []
    for first in range(0, resamples, _CHUNK):
        drawn = rng.integers(len(totals), size=(min(_CHUNK, resamples - first), len(totals)))
        means.append(totals[drawn].sum(1) / counts[drawn].sum(1))
    return np.concatenate(means)
