"""Which confidence is judged: the answer's own, where the server states one, and its raw probability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from radserve_engines.evaluation.calibration import Calibration, calibrate
from radserve_engines.evaluation.judging import Judged

STATED = "clinical.confidence"
RAW = "exp(sum of the token log-probabilities)"


@dataclass(frozen=True, slots=True)
class Confidences:
    """Calibration of one source of confidence over all, closed and open questions."""

    source: str
    all: Calibration
    closed: Calibration | None
    open: Calibration | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        parts = {"all": self.all, "closed": self.closed, "open": self.open}
        return {"source": self.source, **{name: part and part.to_json() for name, part in parts.items()}}


@dataclass(frozen=True, slots=True)
class Abstention:
    """Of those answers that say whether they abstain; accuracies are fractions."""

    count: int
    abstained: int
    accuracy_when_sure: float | None
    accuracy_when_abstained: float | None


def judge_confidences(judged: Sequence[Judged]) -> list[Confidences]:
    """The stated one first, where there is one; an answer without confidence is left out."""
    sources = (
        (STATED, [one.outcome.confidence for one in judged]),
        (RAW, [one.outcome.raw_confidence for one in judged]),
    )
    found = []
    for source, values in sources:
        rows = [(one, value) for one, value in zip(judged, values, strict=True) if value is not None]
        if whole := _calibrate(rows):
            closed = _calibrate([row for row in rows if row[0].ask.item.closed])
            free = _calibrate([row for row in rows if not row[0].ask.item.closed])
            found.append(Confidences(source, whole, closed, free))
    return found


def judge_abstention(judged: Sequence[Judged]) -> Abstention | None:
    """None where no answer says."""
    sure = [one.correct for one in judged if one.outcome.abstained is False]
    unsure = [one.correct for one in judged if one.outcome.abstained]
    if not sure and not unsure:
        return None
    return Abstention(
        count=len(sure) + len(unsure),
        abstained=len(unsure),
        accuracy_when_sure=_mean(sure),
        accuracy_when_abstained=_mean(unsure),
    )


def _calibrate(rows: Sequence[tuple[Judged, float]]) -> Calibration | None:
    confidence = np.array([value for _, value in rows], float)
    return calibrate(confidence, np.array([one.correct for one, _ in rows], float))


def _mean(hits: Sequence[bool]) -> float | None:
    return round(sum(hits) / len(hits), 4) if hits else None
