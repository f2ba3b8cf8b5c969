"""Whether the model looks at the image: what it says, and how well, when the image is another one or blank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from radserve_engines.evaluation.bootstrap import Estimate
from radserve_engines.evaluation.judging import Judged
from radserve_engines.evaluation.scores import estimate
from radserve_engines.vqa_data import normalise


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """In per cent; `fall` is the accuracy with the true image less that without it, question by question.

    `sets` has the same for each set, where there are several.
    """

    questions: int
    accuracy: Estimate | None
    fall: Estimate | None
    changed: Estimate | None
    sets: Mapping[str, "Sensitivity"] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        estimates = {"accuracy": self.accuracy, "fall": self.fall, "changed": self.changed}
        sets = {name: one.to_json() for name, one in self.sets.items()}
        return {
            "questions": self.questions,
            **{name: one and one.to_json() for name, one in estimates.items()},
            **({"set": sets} if sets else {}),
        }


def measure_sensitivity(original: Sequence[Judged], other: Sequence[Judged], seed: int) -> Sensitivity:
    """Over the questions that were asked both ways and ended in no error."""
    answered = {_question(one): one for one in original if one.outcome.error is None}
    pairs = [
        (answered[_question(one)], one)
        for one in other
        if one.outcome.error is None and _question(one) in answered
    ]
    names = list(dict.fromkeys(one.ask.set for one, _ in pairs))
    sets = {name: _measure([pair for pair in pairs if pair[0].ask.set == name], seed) for name in names}
    return replace(_measure(pairs, seed), sets=sets if len(sets) > 1 else {})


def _measure(pairs: Sequence[tuple[Judged, Judged]], seed: int) -> Sensitivity:
    seen = [one for one, _ in pairs]
    return Sensitivity(
        questions=len(pairs),
        accuracy=estimate(seen, [without.correct for _, without in pairs], seed),
        fall=estimate(seen, [one.correct - without.correct for one, without in pairs], seed),
        changed=estimate(seen, [differ(one, without) for one, without in pairs], seed),
    )


def differ(one: Judged, other: Judged) -> bool:
    """Whether two answers are not the same after `normalise`."""
    return normalise(one.outcome.text) != normalise(other.outcome.text)


def _question(one: Judged) -> tuple[str, str]:
    return one.ask.set, one.ask.item.id
