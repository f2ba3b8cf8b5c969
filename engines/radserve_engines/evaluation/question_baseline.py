"""The question-only baseline: what a guesser scores that never sees an image."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from radserve_engines.vqa_data import Question, normalise


def guess_from_questions(training: Iterable[Question], questions: Sequence[Question]) -> list[str]:
    """The most frequent training answer to the same question text, ignoring the image.

    Within the question's own source, where that was trained on, else over all. An unseen text gets the most
    frequent answer to closed or open questions.
    """
    by_text: dict[tuple[str | None, str], Counter[str]] = defaultdict(Counter)
    by_type: dict[tuple[str | None, bool], Counter[str]] = defaultdict(Counter)
    for item in training:
        for source in (item.source, None):
            by_text[source, normalise(item.question)][item.answer] += 1
            by_type[source, item.closed][item.answer] += 1
    sources = {source for source, _ in by_type}
    guesses = []
    for item in questions:
        source = item.source if item.source in sources else None
        seen = by_text.get((source, normalise(item.question))) or by_type[source, item.closed]
        guesses.append(seen.most_common(1)[0][0] if seen else "")
    return guesses
