"""Two engines on the same questions: how often the answer flips, and what that does to the accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation.asking import Key, Outcome
from radserve_engines.evaluation.bootstrap import Estimate
from radserve_engines.evaluation.judging import Judged, judge_one
from radserve_engines.evaluation.scores import estimate
from radserve_engines.evaluation.sensitivity import differ


@dataclass(frozen=True, slots=True)
class Comparison:
    """`flipped` is the share of answers that differ, `difference` this accuracy less the other's, in per cent."""

    other: Mapping[str, Any]
    questions: int
    accuracy: Estimate | None
    other_accuracy: Estimate | None
    difference: Estimate | None
    flipped: Estimate | None
    right_to_wrong: int
    wrong_to_right: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        estimates = {
            "accuracy": self.accuracy,
            "other_accuracy": self.other_accuracy,
            "difference": self.difference,
            "flipped": self.flipped,
        }
        return {
            "other": dict(self.other),
            "questions": self.questions,
            **{name: one and one.to_json() for name, one in estimates.items()},
            "right_to_wrong": self.right_to_wrong,
            "wrong_to_right": self.wrong_to_right,
        }


def compare(
    judged: Sequence[Judged], other: Mapping[Key, Outcome], identity: Mapping[str, Any], seed: int
) -> Comparison:
    """Over the questions that both answered, not those that ended in an error, which says nothing of the engine.

    right_to_wrong: the other was right and this one is not.
    """
    asked = [(one, judge_one(one.ask, other[one.ask.key])) for one in judged if one.ask.key in other]
    pairs = [(one, them) for one, them in asked if one.outcome.error is None and them.outcome.error is None]
    if not pairs:
        raise EvaluationError(
            "the two evaluations answered no question in common: there is nothing to compare"
        )
    ours, theirs = [one for one, _ in pairs], [them for _, them in pairs]
    return Comparison(
        other=identity,
        questions=len(pairs),
        accuracy=estimate(ours, [one.correct for one in ours], seed),
        other_accuracy=estimate(ours, [one.correct for one in theirs], seed),
        difference=estimate(ours, [one.correct - them.correct for one, them in pairs], seed),
        flipped=estimate(ours, [differ(one, them) for one, them in pairs], seed),
        right_to_wrong=sum(them.correct and not one.correct for one, them in pairs),
        wrong_to_right=sum(one.correct and not them.correct for one, them in pairs),
    )
