"""From the raw score of an answer to the probability that it is right, and when to say "not confident".

The manifest's `confidence` block. For each question type the probability is Platt's: a slope and an intercept on the
logit of the answer's own probability, exp(log-probability). `radserve_engines.confidence` fits and writes it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from radserve_engines.errors import ManifestError
from radserve_engines.generation import Score
from radserve_engines.question_type import question_type

TYPES = ("closed", "open")
METHOD = "platt"
DIGITS = 3
_LOGIT_LIMIT = 12.0  # a probability nearer to 0 or 1 than 6e-6 is taken for that
_SUREST = math.log(0.999 / 0.001)  # no answer is called certain
_SHARES = ("risk", "coverage", "error", "error_bound", "ece_before", "ece_after")


def answer_logit(logprob: float) -> float:
    """Logit of the answer's probability exp(`logprob`), within ±12; `logprob` ≤ 0 but for rounding."""
    if logprob >= -math.exp(-_LOGIT_LIMIT):
        return _LOGIT_LIMIT
    return max(logprob - math.log(-math.expm1(logprob)), -_LOGIT_LIMIT)


@dataclass(frozen=True, slots=True)
class TypeCalibration:
    """One question type. Raises ManifestError naming an ill field.

    `threshold` is the least confidence that is not abstained from; None: no threshold kept the error rate within
    `risk`, so every answer abstains. On the answers it was fitted to: `coverage` is the share kept, `error` the share
    of wrong answers among these, `error_bound` its upper bound; `ece_after` is cross-validated by image.
    """

    slope: float
    intercept: float
    threshold: float | None
    risk: float
    coverage: float
    error: float | None
    error_bound: float | None
    answers: int
    images: int
    ece_before: float
    ece_after: float

    def __post_init__(self) -> None:
        _check("slope", self.slope, 0.0, math.inf)
        _check("intercept", self.intercept, -math.inf, math.inf)
        if self.threshold is not None:
            _check("threshold", self.threshold, 0.0, 1.0)
        for name in _SHARES:
            if (value := getattr(self, name)) is not None or name in ("risk", "coverage"):
                _check(name, value, 0.0, 1.0)
        for name in ("answers", "images"):
            _check(name, getattr(self, name), 1, math.inf)

    def confidence(self, logprob: float) -> float:
        """The probability that the answer is right, 0.001 to 0.999 in steps of 0.001; rises with `logprob`."""
        logit = self.slope * answer_logit(logprob) + self.intercept
        return round(1 / (1 + math.exp(-min(max(logit, -_SUREST), _SUREST))), DIGITS)

    def abstains(self, confidence: float) -> bool:
        """Whether an answer of this confidence is one that the model should not be held to."""
        return self.threshold is None or confidence < self.threshold


@dataclass(frozen=True, slots=True)
class Calibration:
    """The manifest's block. `fitted` says on what: date, engine digest, sets with SHA-256 and counts, folds, level."""

    types: Mapping[str, TypeCalibration]
    fitted: Mapping[str, Any]
    method: str = METHOD

    def __post_init__(self) -> None:
        if self.method != METHOD:
            raise ManifestError(f"confidence.method must be {METHOD!r}, not {self.method!r}")
        if unknown := sorted(set(self.types) - set(TYPES)):
            raise ManifestError(f"confidence.types: {unknown[0]!r} is not one of {', '.join(TYPES)}")

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` gives the same back."""
        types = {name: asdict(one) for name, one in self.types.items()}
        return {"method": self.method, "types": types, "fitted": dict(self.fitted)}

    @classmethod
    def from_json(cls, value: Any) -> "Calibration":
        """Raises ManifestError naming a missing, unknown or ill field."""
        given = _fields_of(cls, value, "confidence")
        types = given["types"]
        if not isinstance(types, Mapping) or not isinstance(given["fitted"], Mapping):
            raise ManifestError("confidence.types and confidence.fitted must be JSON objects")
        read = {name: _read_type(name, one) for name, one in types.items()}
        return cls(read, dict(given["fitted"]), given.get("method", METHOD))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of an answer's confidence; without one, `reason` says why."""

    confidence: float | None
    abstained: bool | None
    question_type: str
    threshold: float | None
    stated_risk: float | None
    answer_logprob: float | None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def judge(calibration: Calibration | None, question: str, score: Score, temperature: float) -> Judgement:
    """The calibrated confidence of one answer to `question`, or why there is none."""
    kind = question_type(question)
    logprob = round(score.logprob, 6) if math.isfinite(score.logprob) else None
    known = calibration.types.get(kind) if calibration else None
    reason = _reason(calibration, kind, score, temperature)
    if reason is not None or known is None:
        return Judgement(None, None, kind, None, None, logprob, reason)
    confidence = known.confidence(score.logprob)
    abstained = known.abstains(confidence)
    return Judgement(confidence, abstained, kind, known.threshold, known.risk, logprob)


def _reason(calibration: Calibration | None, kind: str, score: Score, temperature: float) -> str | None:
    if calibration is None:
        return "this engine's confidence has not been calibrated"
    if kind not in calibration.types:
        return f"this engine's confidence has not been calibrated on {kind} questions"
    if temperature > 0:
        return (
            f"the answer was drawn at temperature {temperature:g}; confidence is known at temperature 0 only"
        )
    if not score.whole:
        return "the answer was cut off; confidence is known for whole answers only"
    if not math.isfinite(score.logprob):
        return "the engine gave no probability for this answer"
    return None


def _read_type(name: str, value: Any) -> TypeCalibration:
    where = f"confidence.types.{name}"
    try:
        return TypeCalibration(**_fields_of(TypeCalibration, value, where))
    except ManifestError as error:
        if str(error).startswith(where):
            raise
        raise ManifestError(f"{where}.{error}") from error


def _fields_of(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ManifestError(f"{where} must be a JSON object, not {value!r}")
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(value) - known):
        raise ManifestError(f"{where}.{unknown[0]} is not known")
    if missing := sorted(known - set(value) - {"method"}):
        raise ManifestError(f"{where}.{missing[0]} is missing")
    return dict(value)


def _check(name: str, value: Any, least: float, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not (number and least <= value <= most):
        span = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of at least {least:g}"
        raise ManifestError(f"{name} must be a number {span}, not {value!r}")
