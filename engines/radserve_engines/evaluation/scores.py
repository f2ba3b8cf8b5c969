"""Accuracy over all questions and by what they are about, each with its interval."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radserve_engines.evaluation.bootstrap import Estimate, estimate_percent
from radserve_engines.evaluation.judging import Judged

NOT_STATED = "not stated"
FACETS: Mapping[str, Callable[[Judged], str | None]] = {
    "set": lambda one: one.ask.set,
    "answer_type": lambda one: "closed" if one.ask.item.closed else "open",
    "modality": lambda one: one.ask.item.modality,
    "body_part": lambda one: one.ask.item.body_part,
    "content_type": lambda one: one.ask.item.content_type,
}


@dataclass(frozen=True, slots=True)
class Score:
    """Exact match over all, closed and open questions, and token F1 over open ones, in per cent."""

    questions: int
    images: int
    errors: int
    accuracy: Estimate | None
    closed: Estimate | None
    open: Estimate | None
    open_f1: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        counts = {"questions": self.questions, "images": self.images, "errors": self.errors}
        estimates = {
            "accuracy": self.accuracy,
            "closed": self.closed,
            "open": self.open,
            "open_f1": self.open_f1,
        }
        return {**counts, **{name: one and one.to_json() for name, one in estimates.items()}}


def score(judged: Sequence[Judged], seed: int) -> Score:
    """Over all of them."""
    closed = [one for one in judged if one.ask.item.closed]
    free = [one for one in judged if not one.ask.item.closed]
    return Score(
        questions=len(judged),
        images=len({one.ask.item.image for one in judged}),
        errors=sum(one.outcome.error is not None for one in judged),
        accuracy=estimate(judged, [one.correct for one in judged], seed),
        closed=estimate(closed, [one.correct for one in closed], seed),
        open=estimate(free, [one.correct for one in free], seed),
        open_f1=estimate(free, [one.f1 for one in free], seed),
    )


def score_facets(judged: Sequence[Judged], seed: int) -> dict[str, dict[str, Score]]:
    """For each facet, each of its values with its score, the most frequent value first."""
    return {
        facet: {value: score(group, seed) for value, group in group_by_facet(judged, facet).items()}
        for facet in FACETS
    }


def group_by_facet(judged: Iterable[Judged], facet: str) -> dict[str, list[Judged]]:
    """By the facet's values, the most frequent first; values that differ in case only, as sets write them, are one."""
    groups: dict[str, tuple[str, list[Judged]]] = {}
    for one in judged:
        value = FACETS[facet](one) or NOT_STATED
        groups.setdefault(value.casefold(), (value, []))[1].append(one)
    return dict(sorted(groups.values(), key=lambda group: -len(group[1])))


def estimate(judged: Sequence[Judged], values: Sequence[float], seed: int) -> Estimate | None:
    """The mean of one value an answer, in per cent, clustered by the question's own image."""
    return estimate_percent(values, [one.ask.item.image for one in judged], seed)
