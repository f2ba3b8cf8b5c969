"""Everything an evaluation found, as one value that tables, curves, gates and JSON are made from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from radserve_engines.evaluation.asking import CONDITIONS, Outcome
from radserve_engines.evaluation.bootstrap import RESAMPLES, Estimate
from radserve_engines.evaluation.comparison import Comparison
from radserve_engines.evaluation.confidences import (
    Abstention,
    Confidences,
    judge_abstention,
    judge_confidences,
)
from radserve_engines.evaluation.evaluating import Answers
from radserve_engines.evaluation.judging import Judged, judge_one
from radserve_engines.evaluation.question_baseline import guess_from_questions
from radserve_engines.evaluation.scores import Score, estimate, score, score_facets
from radserve_engines.evaluation.sensitivity import Sensitivity, measure_sensitivity
from radserve_engines.provenance import describe_machine, list_versions
from radserve_engines.vqa_data import Question

SCHEMA = 1
UNITS = (
    "Scores, falls, differences and shares in per cent with 95 % intervals (cluster bootstrap by image, "
    f"{RESAMPLES} resamples); confidences, calibration errors and risks in fractions."
)
_MOST_ERRORS = 5
_BLANK = "blank images are mid-grey (128), of the size of the question's image"


@dataclass(frozen=True, slots=True)
class QuestionOnly:
    """What guessing from the question alone scores, and how much better the target is, question by question."""

    overall: Score
    sets: Mapping[str, Score]
    gain: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        sets = {name: one.to_json() for name, one in self.sets.items()}
        return {"all": self.overall.to_json(), "set": sets, "gain": self.gain and self.gain.to_json()}


@dataclass(frozen=True, slots=True)
class Report:
    """One target's scores; `facets` has a score for each value of set, answer type, modality and so on."""

    answers: Answers
    date: str
    overall: Score
    facets: Mapping[str, Mapping[str, Score]]
    question_only: QuestionOnly | None
    sensitivity: Mapping[str, Sensitivity]
    comparison: Comparison | None
    confidences: tuple[Confidences, ...]
    abstention: Abstention | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        scores = {
            facet: {value: one.to_json() for value, one in values.items()}
            for facet, values in self.facets.items()
        }
        return {
            "schema": SCHEMA,
            "units": UNITS,
            "target": self.answers.identity.to_json(),
            "sets": [one.to_json() for one in self.answers.sets],
            "settings": asdict(self.answers.settings),
            "date": self.date,
            "machine": describe_machine(),
            "versions": list_versions(),
            "notes": list(self.notes),
            "scores": {"all": self.overall.to_json(), **scores},
            "question_only": self.question_only and self.question_only.to_json(),
            "sensitivity": {name: one.to_json() for name, one in self.sensitivity.items()},
            "comparison": self.comparison and self.comparison.to_json(),
            "calibration": [one.to_json() for one in self.confidences],
            "abstention": self.abstention and asdict(self.abstention),
        }


def build_report(
    answers: Answers, *, training: Sequence[Question] = (), comparison: Comparison | None = None
) -> Report:
    """Scores, intervals and curves of all answers; `training` gives the question-only baseline."""
    seed = answers.settings.seed
    original = answers.under("original")
    sensitivity: dict[str, Sensitivity] = {
        condition: measure_sensitivity(original, other, seed)
        for condition in CONDITIONS[1:]
        if (other := answers.under(condition))
    }
    return Report(
        answers=answers,
        date=datetime.now(UTC).date().isoformat(),
        overall=score(original, seed),
        facets=score_facets(original, seed),
        question_only=_score_guesses(training, original, seed) if training else None,
        sensitivity=sensitivity,
        comparison=comparison,
        confidences=tuple(judge_confidences(original)),
        abstention=judge_abstention(original),
        notes=tuple(_notes(answers, original)),
    )


def _score_guesses(training: Sequence[Question], original: Sequence[Judged], seed: int) -> QuestionOnly:
    guesses = guess_from_questions(training, [one.ask.item for one in original])
    judged = [judge_one(one.ask, Outcome(guess)) for one, guess in zip(original, guesses, strict=True)]
    gains = [one.correct - guess.correct for one, guess in zip(original, judged, strict=True)]
    sets = score_facets(judged, seed)["set"]
    return QuestionOnly(score(judged, seed), sets, estimate(original, gains, seed))


def _notes(answers: Answers, original: Sequence[Judged]) -> list[str]:
    notes = [_BLANK] if answers.under("blank") else []
    alone = [one.name for one in answers.sets if len({item.image for item in one.questions}) == 1]
    if alone and answers.settings.sensitivity:
        notes.append(f"of one image only, so there is none to swap with: {', '.join(alone)}")
    failed = Counter(one.outcome.error for one in answers.judged if one.outcome.error is not None)
    if failed:
        notes.append(_tell_errors(failed, len(answers.judged)))
    if cut := sum(one.outcome.finish_reason == "length" for one in original):
        notes.append(f"{cut} answers were cut at their greatest length")
    if repeated := sum(one.outcome.finish_reason == "repetition" for one in original):
        notes.append(f"{repeated} answers were ended because they repeated themselves")
    if same := [
        one.name for one in answers.sets if one.sha256 in answers.identity.details.get("calibrated_on", ())
    ]:
        notes.append(f"the stated confidence was calibrated on {', '.join(same)}: on these it looks too good")
    silent = sum(one.outcome.raw_confidence is None and one.outcome.error is None for one in original)
    if silent:
        notes.append(f"{silent} answers came without log-probabilities")
    return notes


def _tell_errors(failed: Counter[str], asked: int) -> str:
    told = [f"{message} ({count})" for message, count in failed.most_common(_MOST_ERRORS)]
    if len(failed) > _MOST_ERRORS:
        told.append(f"and {len(failed) - _MOST_ERRORS} other messages")
    return (
        f"{failed.total()} of {asked} questions ended in an error; they count as wrong in the scores, are left out of "
        f"all pairs and are asked again by the same command: {'; '.join(told)}"
    )
