"""How far rounds lie apart, and what two targets measured in the same rounds are to each other.

The machine's speed changes between rounds and falls on all targets of a round alike, so figures are paired by round
first: a ratio is the geometric mean of the rounds' ratios, with Student's interval on their logarithms; a difference
is the arithmetic mean of the rounds' differences. One round alone has no interval.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Student's t at 97.5 %, for 1 to 10 degrees of freedom; beyond, the expansion about the normal quantile is as exact.
_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_NORMAL = 1.959964

Pair = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over rounds, its 95 % interval (None after a single round), and each round's own value."""

    value: float
    low: float | None
    high: float | None
    values: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the document."""
        interval = {name: rounded(end) for name, end in (("low", self.low), ("high", self.high))}
        return {"value": rounded(self.value), **interval, "values": [rounded(one) for one in self.values]}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, most and all of one value or more, as they stand in the document."""
    ends = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {
        **{name: rounded(value) for name, value in ends.items()},
        "values": [rounded(one) for one in values],
    }


def ratio(pairs: Iterable[Pair]) -> Estimate | None:
    """The first over the second of each round; None where no round has both, or any is not above zero.

    A round in which nothing was answered is not left out: the ratio would be of the good rounds alone.
    """
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not both or any(a <= 0 or b <= 0 for a, b in both):
        return None
    return _estimate([math.log(a / b) for a, b in both], math.exp)


def difference(pairs: Iterable[Pair]) -> Estimate | None:
    """The first less the second of each round; None where no round has both."""
    values = [a - b for a, b in pairs if a is not None and b is not None]
    return _estimate(values, float) if values else None


def student(freedom: int) -> float:
    """The quantile of Student's t at 97.5 % for that many degrees of freedom (Abramowitz and Stegun 26.7.5)."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def _estimate(values: Sequence[float], back: Callable[[float], float]) -> Estimate:
    mean, own = statistics.fmean(values), tuple(back(value) for value in values)
    if len(values) < 2:
        return Estimate(back(mean), None, None, own)
    half = student(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(back(mean), back(mean - half), back(mean + half), own)


def rounded(value: float | None) -> float | None:
    """To six digits that count: more would be noise."""
    return None if value is None else float(f"{value:.6g}")
