"""Each answer held against the true one: exact match, and token F1 (Rajpurkar et al., 2016), articles counted."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from radserve_engines.evaluation.asking import Ask, Key, Outcome
from radserve_engines.vqa_data import Question, normalise

_TOKEN = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer; an error is wrong. `f1` is 0…1."""

    ask: Ask
    outcome: Outcome
    correct: bool
    f1: float


def judge(asks: Iterable[Ask], outcomes: Mapping[Key, Outcome]) -> list[Judged]:
    """Those asks that have an outcome."""
    return [judge_one(ask, outcomes[ask.key]) for ask in asks if ask.key in outcomes]


def judge_one(ask: Ask, outcome: Outcome) -> Judged:
    """An error, and no answer at all, are wrong."""
    if outcome.error is not None or not normalise(outcome.text):
        return Judged(ask, outcome, False, 0.0)
    return Judged(ask, outcome, is_right(outcome.text, ask.item), token_f1(outcome.text, ask.item.answer))


def is_right(text: str, item: Question) -> bool:
    """Exact match after `normalise`; nothing said is never right, even where a set's true answer is empty."""
    return normalise(text) == item.answer != ""


def token_f1(given: str, true: str) -> float:
    """Harmonic mean of precision and recall over the bags of words; 1 for equal answers even if they have none."""
    given, true = normalise(given), normalise(true)
    if given == true:
        return 1.0
    ours, theirs = Counter(_TOKEN.findall(given)), Counter(_TOKEN.findall(true))
    shared = sum((ours & theirs).values())
    return 2 * shared / (ours.total() + theirs.total()) if shared else 0.0
