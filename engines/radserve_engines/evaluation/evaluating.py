"""Ask an answerer every question, several at once, keep what it says as it comes, and report.

The same call serves a baseline and an engine, an evaluation by hand and a gate.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation.asking import Answerer, Ask, Identity, Outcome, plan_asks
from radserve_engines.evaluation.comparison import Comparison, compare
from radserve_engines.evaluation.journal import Journal
from radserve_engines.evaluation.judging import Judged, judge, judge_one
from radserve_engines.evaluation.progress import EvaluationProgress
from radserve_engines.evaluation.question_sets import QuestionSet

_FIRST, _FIRST_IMAGES = 5, 3
Take = Callable[[Ask, Outcome], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to ask. `limit` is how many questions of each set were kept; `seed` is the bootstrap's."""

    limit: int | None = None
    max_tokens: int | None = None
    concurrency: int = 8
    sensitivity: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers of one target, judged."""

    identity: Identity
    sets: tuple[QuestionSet, ...]
    settings: Settings
    judged: tuple[Judged, ...]

    def under(self, condition: str) -> list[Judged]:
        """Those under one condition."""
        return [one for one in self.judged if one.ask.condition == condition]


def collect_answers(
    answerer: Answerer, sets: Sequence[QuestionSet], out: Path, settings: Settings, *, fresh: bool = False
) -> Answers:
    """Ask what `out` does not hold yet, and close the answerer.

    Raises EvaluationError when the target is gone or fails from the start; what was answered stays in `out`.
    """
    return asyncio.run(_collect(answerer, sets, out, settings, fresh))


def compare_answers(answers: Answers, other: Answers) -> Comparison:
    """Both targets' answers to the questions as they are, on those that both answered."""
    outcomes = {one.ask.key: one.outcome for one in other.judged}
    return compare(answers.under("original"), outcomes, other.identity.to_json(), answers.settings.seed)


async def _collect(
    answerer: Answerer, sets: Sequence[QuestionSet], out: Path, settings: Settings, fresh: bool
) -> Answers:
    try:
        identity = await answerer.identify()
        run = {
            "target": identity.fingerprint,
            "sets": {one.name: one.sha256 for one in sets},
            "limit": settings.limit,
            "max_tokens": settings.max_tokens,
            "engine": identity.to_json(),
        }
        asks = plan_asks(sets, settings.sensitivity)
        with Journal(out, run, fresh=fresh) as journal:
            await _ask_missing(answerer, asks, journal, settings.concurrency)
            judged = tuple(judge(asks, journal.outcomes))
    finally:
        await answerer.close()
    return Answers(identity, tuple(sets), settings, judged)


async def _ask_missing(answerer: Answerer, asks: Sequence[Ask], journal: Journal, concurrency: int) -> None:
    missing = [ask for ask in asks if journal.lacks(ask)]
    if not missing:
        return
    guard = _FirstFailures(missing, len(asks) - len(missing))
    with EvaluationProgress(len(asks), len(asks) - len(missing), str(journal.folder)) as progress:

        def take(ask: Ask, outcome: Outcome) -> None:
            journal.write(ask, outcome)
            progress.note(judge_one(ask, outcome))
            guard.check(ask, outcome)

        await ask_all(answerer, missing, concurrency, take)


async def ask_all(answerer: Answerer, asks: Sequence[Ask], concurrency: int, take: Take) -> None:
    """Hand each outcome to `take` as it comes; the first that raises ends the others."""
    waiting = iter(asks)

    async def work() -> None:
        for ask in waiting:
            take(ask, await answerer.answer(ask))

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(asks)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class _FirstFailures:
    """Raises when nothing but errors has come so far: the target or the way of asking is wrong.

    On several images, because one that cannot be read is not the target's fault.
    """

    def __init__(self, missing: Sequence[Ask], answered: int) -> None:
        self._most = min(_FIRST, len(missing))
        self._most_images = min(_FIRST_IMAGES, len({ask.image for ask in missing}))
        self._failed, self._images, self._answered = 0, set[str](), answered > 0

    def check(self, ask: Ask, outcome: Outcome) -> None:
        if outcome.error is None:
            self._answered = True
            return
        self._failed += 1
        self._images.add(ask.image)
        if not self._answered and self._failed >= self._most and len(self._images) >= self._most_images:
            raise EvaluationError(f"the first questions all failed; the last said: {outcome.error}")
