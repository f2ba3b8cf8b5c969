"""Exact-match scores of answers, and the question-only baseline that they must be read against."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from radserve_engines.vqa_data import Question, normalise


@dataclass(frozen=True, slots=True)
class Score:
    """Exact match in per cent over closed, open and all questions; None where there are none."""

    closed: float | None
    open: float | None
    all: float | None
    count: int


def score_answers(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, Score]:
    """Exact match after `normalise`, for each source and under `all` over every question."""
    hits: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for item, answer in zip(questions, answers, strict=True):
        outcome = (item.closed, normalise(answer) == item.answer)
        hits[item.source].append(outcome)
        hits["all"].append(outcome)
    return {source: _score(outcomes) for source, outcomes in hits.items()}


def guess_from_questions(training: Iterable[Question], questions: Sequence[Question]) -> list[str]:
    """The most frequent training answer to the same question text in the same set, ignoring the image.

    An unseen text gets the set's most frequent answer to closed or open questions.
    """
    by_text: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    by_type: dict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
    for item in training:
        by_text[item.source, normalise(item.question)][item.answer] += 1
        by_type[item.source, item.closed][item.answer] += 1
    guesses = []
    for item in questions:
        seen = by_text.get((item.source, normalise(item.question))) or by_type[item.source, item.closed]
        guesses.append(seen.most_common(1)[0][0] if seen else "")
    return guesses


def swap_images(questions: Sequence[Question]) -> list[Question]:
    """Give every question the image half the set further on: a model that looks must lose by it."""
    images: dict[str, list[str]] = defaultdict(list)
    for item in questions:
        if item.image not in images[item.source]:
            images[item.source].append(item.image)
    other = {
        image: group[(place + max(len(group) // 2, 1)) % len(group)]
        for group in images.values()
        for place, image in enumerate(group)
    }
    return [replace(item, image=other[item.image]) for item in questions]


def measure_agreement(one: Sequence[str], other: Sequence[str]) -> float:
    """Share of identical answers, in per cent."""
    return 100 * sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def _score(outcomes: Sequence[tuple[bool, bool]]) -> Score:
    closed = [hit for is_closed, hit in outcomes if is_closed]
    free = [hit for is_closed, hit in outcomes if not is_closed]
    return Score(_percent(closed), _percent(free), _percent([*closed, *free]), len(outcomes))


def _percent(hits: Sequence[bool]) -> float | None:
    return round(100 * sum(hits) / len(hits), 1) if hits else None
