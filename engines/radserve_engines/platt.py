"""Platt scaling and the abstention threshold: the arithmetic behind `radserve_engines.confidence`.

Platt's two numbers (Platt 1999) rather than isotonic regression: with a few hundred answers a type, isotonic's steps
fit the noise and give many answers the same confidence, so that a threshold can fall only between steps; and a line
on the logit cannot change the order of the answers, so the fit takes nothing from the threshold's guarantee.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

FOLDS = 5
LEVEL = 0.95
_Z = 1.6448536269514722  # one-sided, at LEVEL
_PRIOR = np.array([1.0, 0.0])
_RIDGE = (
    0.1  # pulls slope and intercept to the model's own probability; matters only when all are right or wrong
)
_FIRST_COVERAGE, _COVERAGE_STEP, _LEAST_KEPT = 0.20, 0.05, 30


@dataclass(frozen=True, slots=True)
class Threshold:
    """`value` None: none is low-risk enough. Shares of the answers it was chosen on."""

    value: float | None
    coverage: float
    error: float | None
    error_bound: float | None


def fit_platt(logits: Numbers, correct: Numbers) -> tuple[float, float]:
    """Slope (≥ 0) and intercept of the logit of being right, by Newton's method; both arrays (answers,)."""
    design = np.stack([logits, np.ones_like(logits)], 1)
    weights = _PRIOR
    for _ in range(100):
        gap = _predict(design, weights) - correct
        gradient = design.T @ gap + _RIDGE * (weights - _PRIOR)
        spread = (gap + correct) * (1 - gap - correct)
        curvature = (design * spread[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while _loss(design, correct, weights - step) > _loss(design, correct, weights) + 1e-9:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    slope, intercept = map(float, weights)
    if slope < 0:  # the score says nothing, or the contrary: everybody gets the mean
        share = (correct.sum() + 0.5) / (len(correct) + 1)
        return 0.0, math.log(share / (1 - share))
    return slope, intercept


def cross_validate(logits: Numbers, correct: Numbers, images: Sequence[str], seed: int = 0) -> Numbers:
    """Each answer's probability by a fit on the other folds; an image's questions are all in one fold."""
    names = sorted(set(images))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {name: int(place) % FOLDS for name, place in zip(names, order, strict=True)}
    fold = np.array([fold_of[image] for image in images])
    held_out = np.empty(len(logits))
    for number in np.unique(fold):
        rest = fold != number
        if not rest.any():
            raise ValueError("cross-validation by image needs two images at least")
        slope, intercept = fit_platt(logits[rest], correct[rest])
        held_out[~rest] = _sigmoid(slope * logits[~rest] + intercept)
    return held_out


def choose_threshold(confidence: Numbers, correct: Numbers, risk: float, clustering: float) -> Threshold:
    """The lowest threshold whose error rate is at most `risk`, with 95 % certainty.

    Thresholds are tried from the strictest, keeping a fifth of the answers and 30 at least, to the laxest in steps of
    a twentieth, up to the first whose upper bound exceeds `risk`: a fixed sequence of tests, so all steps together
    err with 5 % (learn then test: Angelopoulos et al. 2021). The bound is Wilson's, one-sided, with the count of
    answers divided by `clustering`, for the answers to one image are not independent.
    """
    chosen = Threshold(None, 0.0, None, None)
    count = len(confidence)
    ranked = np.sort(confidence)[::-1]
    for step in range(round((1 - _FIRST_COVERAGE) / _COVERAGE_STEP) + 1):
        share = min(_FIRST_COVERAGE + _COVERAGE_STEP * step, 1.0)
        place = math.ceil(round(share * count, 9))
        if place < min(_LEAST_KEPT, count):
            continue
        value = 0.0 if place >= count else float(ranked[place - 1])
        kept = confidence >= value
        error = float(1 - correct[kept].mean())
        bound = wilson_bound(error, kept.sum() / clustering)
        if bound > risk:
            break
        chosen = Threshold(value, float(kept.mean()), error, bound)
    return chosen


def wilson_bound(error: float, count: float) -> float:
    """Upper end of Wilson's one-sided 95 % interval of an error rate seen in `count` answers."""
    middle = error + _Z**2 / (2 * count)
    half = _Z * math.sqrt(error * (1 - error) / count + (_Z / (2 * count)) ** 2)
    return min((middle + half) / (1 + _Z**2 / count), 1.0)


def measure_clustering(held_out: Numbers, correct: Numbers, images: Sequence[str]) -> float:
    """The design effect, at least 1: how much more the images' sums of residuals vary than independent ones would."""
    residuals = correct - held_out
    _, image = np.unique(np.asarray(images), return_inverse=True)
    sums = np.bincount(image, residuals)
    return max(float((sums**2).sum() / max((residuals**2).sum(), 1e-12)), 1.0)


def _predict(design: Numbers, weights: Numbers) -> Numbers:
    return _sigmoid(design @ weights)


def _sigmoid(logits: Numbers) -> Numbers:
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)), np.float64)


def _loss(design: Numbers, correct: Numbers, weights: Numbers) -> float:
    logits = design @ weights
    fit = np.logaddexp(0, logits) - correct * logits
    return float(fit.sum() + _RIDGE / 2 * ((weights - _PRIOR) ** 2).sum())
