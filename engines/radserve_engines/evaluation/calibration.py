"""Whether a confidence is worth its name: expected calibration error, and the risk at each coverage.

ECE after Naeini et al. (AAAI 2015) in bins of equal width, and in bins of equal mass, which an overconfident model
cannot hide in; risk–coverage and AURC after Geifman and El-Yaniv (2017). All of it is in fractions, 0…1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability diagram."""

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`risk[k]` is the share of wrong answers among the k + 1 that the model is surest of."""

    count: int
    mean_confidence: float
    accuracy: float
    ece: float
    ece_equal_mass: float
    aurc: float
    accuracy_at_80: float
    bins: tuple[Bin, ...]
    risk: Numbers

    def to_json(self) -> dict[str, Any]:
        """As JSON values: the bins, and the risk at each twentieth of the coverage."""
        names = ("count", "mean_confidence", "accuracy", "ece", "ece_equal_mass", "aurc", "accuracy_at_80")
        plain = {name: round(getattr(self, name), 4) for name in names}
        bars = [
            {"count": b.count, "confidence": round(b.confidence, 4), "accuracy": round(b.accuracy, 4)}
            for b in self.bins
        ]
        curve = [
            {"coverage": twentieth / 20, "risk": round(risk_at(self.risk, twentieth / 20), 4)}
            for twentieth in range(1, 21)
        ]
        return {**plain, "bins": bars, "risk_coverage": curve}


def calibrate(confidence: Numbers, correct: Numbers) -> Calibration | None:
    """Both of shape (answers,); None where there are none."""
    if not len(confidence):
        return None
    bins = equal_width_bins(confidence, correct)
    risk = risk_by_coverage(confidence, correct)
    return Calibration(
        count=len(confidence),
        mean_confidence=float(confidence.mean()),
        accuracy=float(correct.mean()),
        ece=expected_error(bins),
        ece_equal_mass=expected_error(equal_mass_bins(confidence, correct)),
        aurc=float(risk.mean()),
        accuracy_at_80=1 - risk_at(risk, 0.8),
        bins=bins,
        risk=risk,
    )


def equal_width_bins(confidence: Numbers, correct: Numbers, count: int = BINS) -> tuple[Bin, ...]:
    """(0, 1/count], …; an empty bin is left out."""
    place = np.clip(np.ceil(confidence * count).astype(int) - 1, 0, count - 1)
    return tuple(
        _bin(confidence[place == index], correct[place == index])
        for index in range(count)
        if (place == index).any()
    )


def equal_mass_bins(confidence: Numbers, correct: Numbers, count: int = BINS) -> tuple[Bin, ...]:
    """As many answers in each, as far as that goes; equals that fall into several bins are as right in each."""
    order = np.argsort(confidence, kind="stable")
    expected = _expected(confidence, correct)
    return tuple(_bin(confidence[part], expected[part]) for part in np.array_split(order, count) if len(part))


def expected_error(bins: tuple[Bin, ...]) -> float:
    """The mean distance of confidence from accuracy, weighted by the bins' counts."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / total


def risk_by_coverage(confidence: Numbers, correct: Numbers) -> Numbers:
    """Shape (answers,), the surest first; among equals the risk is what a random order would give on average."""
    order = np.argsort(-confidence, kind="stable")
    wrong = 1 - _expected(confidence, correct)[order]
    risk: Numbers = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    return risk


def risk_at(risk: Numbers, coverage: float) -> float:
    """At the least number of answers that is this share of them."""
    return float(risk[max(int(np.ceil(round(coverage * len(risk), 9))), 1) - 1])


def _expected(confidence: Numbers, correct: Numbers) -> Numbers:
    """For each answer the share of right ones among those of its very confidence: free of the file's order."""
    _, tie = np.unique(confidence, return_inverse=True)
    shares: Numbers = np.bincount(tie, correct) / np.bincount(tie)
    return shares[tie]


def _bin(confidence: Numbers, correct: Numbers) -> Bin:
    return Bin(len(confidence), float(confidence.mean()), float(correct.mean()))
