"""Each answer held against the true one: exact match, and token F1 as SQuAD has it (Rajpurkar et al., 2016)."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from radserve_engines.evaluation.asking import Ask, Key, Outcome
from radserve_engines.vqa_data import normalise

_TOKEN = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer; an error is wrong. `f1` is 0…1."""

    ask: Ask
    outcome: Outcome
    correct: bool
    f1: float

    @property
    def raw_confidence(self) -> float | None:
        """The probability of the whole answer, None where no log-probabilities were given."""
        return None if self.outcome.logprob is None else math.exp(min(self.outcome.logprob, 0.0))


def judge(asks: Iterable[Ask], outcomes: Mapping[Key, Outcome]) -> list[Judged]:
    """Those asks that have an outcome."""
    return [judge_one(ask, outcomes[ask.key]) for ask in asks if ask.key in outcomes]


def judge_one(ask: Ask, outcome: Outcome) -> Judged:
    """Exact match after `normalise`."""
    if outcome.error is not None:
        return Judged(ask, outcome, False, 0.0)
    correct = normalise(outcome.text) == ask.item.answer
    return Judged(ask, outcome, correct, token_f1(outcome.text, ask.item.answer))


def token_f1(given: str, true: str) -> float:
    """Harmonic mean of precision and recall over the bags of words; 1 for equal answers even if they have none."""
    given, true = normalise(given), normalise(true)
    if given == true:
        return 1.0
    ours, theirs = Counter(_TOKEN.findall(given)), Counter(_TOKEN.findall(true))
    shared = sum((ours & theirs).values())
    return 2 * shared / (ours.total() + theirs.total()) if shared else 0.0
