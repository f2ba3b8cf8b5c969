"""The verdict on an engine: every figure that the gate looks at, and each reason to fail it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from radserve_engines.evaluation.asking import CONDITIONS, Key, Outcome
from radserve_engines.evaluation.comparison import Comparison, compare
from radserve_engines.evaluation.evaluating import Answers
from radserve_engines.evaluation.judging import Judged
from radserve_engines.evaluation.scores import group_by_facet
from radserve_engines.evaluation.sensitivity import Sensitivity, measure_sensitivity
from radserve_engines.gating.thresholds import Thresholds

_CHANGED_CONDITIONS = CONDITIONS[1:]
# More per cent of questions than this that the checkpoint alone could not answer, and it is no measure.
_MOST_UNMEASURED = 1.0
# Below this share of changed answers the checkpoint itself does not look, and nothing can be held against it.
_LEAST_REFERENCE_CHANGE = 5.0


@dataclass(frozen=True, slots=True)
class Sight:
    """How much the image matters, under one condition: to the unquantized checkpoint, and to the engine."""

    reference: Sensitivity
    engine: Sensitivity

    @property
    def share(self) -> float | None:
        """The engine's changed answers as a share of the checkpoint's; None where there is nothing to divide."""
        if self.reference.changed is None or self.engine.changed is None or not self.reference.changed.value:
            return None
        return self.engine.changed.value / self.reference.changed.value

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        share = self.share
        return {
            "reference": self.reference.to_json(),
            "engine": self.engine.to_json(),
            "share": None if share is None else round(share, 4),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons` is empty for an engine that passes. Repetitions and errors are counts over all that was asked.

    `images` are those of questions that both answered; `unmeasured`: questions that the checkpoint alone could not
    answer; `silent`: no answer of the engine came with log-probabilities.
    """

    thresholds: Thresholds
    images: int
    overall: Comparison
    modalities: Mapping[str, Comparison]
    sight: Mapping[str, Sight]
    repetitions: tuple[int, int]
    not_finite: int
    silent: bool
    errors: tuple[str, ...]
    unmeasured: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the engine."""
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `repetitions` are the engine's and the checkpoint's."""
        ours, theirs = self.repetitions
        return {
            "thresholds": self.thresholds.to_json(),
            "images": self.images,
            "overall": self.overall.to_json(),
            "modalities": {name: one.to_json() for name, one in self.modalities.items()},
            "sensitivity": {name: one.to_json() for name, one in self.sight.items()},
            "repetitions": {"engine": ours, "reference": theirs},
            "not_finite": self.not_finite,
            "errors": len(self.errors),
            "reference_errors": len(self.unmeasured),
            "reasons": list(self.reasons),
        }


def judge_engine(engine: Answers, reference: Answers, thresholds: Thresholds) -> Verdict:
    """Hold the engine's answers against the unquantized checkpoint's, to the same questions."""
    seed = engine.settings.seed
    original = engine.under("original")
    theirs = {one.ask.key: one.outcome for one in reference.judged}
    identity = reference.identity.to_json()
    verdict = Verdict(
        thresholds=thresholds,
        images=len({one.ask.item.image for one in original if _both_answered(one, theirs)}),
        overall=compare(original, theirs, identity, seed),
        modalities=_compare_modalities(original, theirs, identity, seed),
        sight={name: _see(engine, reference, name) for name in _CHANGED_CONDITIONS},
        repetitions=(_count_repetitions(engine), _count_repetitions(reference)),
        not_finite=sum(_is_not_finite(one.outcome) for one in engine.judged),
        silent=all(one.outcome.logprob is None for one in engine.judged),
        errors=_errors_alone(engine, reference),
        unmeasured=_errors_alone(reference, engine),
        reasons=(),
    )
    reasons = [*_tell_faults(verdict, len(engine.judged)), *_tell_losses(verdict), *_tell_blindness(verdict)]
    return replace(verdict, reasons=tuple(reasons))


def _compare_modalities(
    original: Sequence[Judged], theirs: Mapping[Key, Outcome], identity: Mapping[str, Any], seed: int
) -> dict[str, Comparison]:
    groups = group_by_facet(original, "modality")
    answered = {name: [one for one in group if _both_answered(one, theirs)] for name, group in groups.items()}
    return {name: compare(group, theirs, identity, seed) for name, group in answered.items() if group}


def _both_answered(one: Judged, theirs: Mapping[Key, Outcome]) -> bool:
    other = theirs.get(one.ask.key)
    return other is not None and other.error is None and one.outcome.error is None


def _see(engine: Answers, reference: Answers, condition: str) -> Sight:
    ours, other = (
        measure_sensitivity(one.under("original"), one.under(condition), one.settings.seed)
        for one in (engine, reference)
    )
    return Sight(other, ours)


def _count_repetitions(answers: Answers) -> int:
    return sum(one.outcome.finish_reason == "repetition" for one in answers.judged)


def _is_not_finite(outcome: Outcome) -> bool:
    return outcome.logprob is not None and not math.isfinite(outcome.logprob)


def _errors_alone(answers: Answers, other: Answers) -> tuple[str, ...]:
    """What one could not answer though the other could: an image that neither can read is nobody's fault."""
    answered = {one.ask.key for one in other.judged if one.outcome.error is None}
    return tuple(
        one.outcome.error
        for one in answers.judged
        if one.outcome.error is not None and one.ask.key in answered
    )


def _tell_faults(verdict: Verdict, asked: int) -> Iterator[str]:
    bars = verdict.thresholds
    if verdict.overall.questions < bars.least_questions or verdict.images < bars.least_images:
        yield (
            f"{verdict.overall.questions} questions on {verdict.images} images are too few to tell; the least are "
            f"{bars.least_questions} on {bars.least_images}"
        )
    if verdict.not_finite:
        yield f"{verdict.not_finite} of {asked} answers have log-probabilities that are not finite"
    if verdict.silent:
        yield "no answer came with log-probabilities: nothing says that the logits are finite"
    if 100 * len(verdict.unmeasured) > _MOST_UNMEASURED * asked:
        yield (
            f"the unquantized checkpoint could not answer {len(verdict.unmeasured)} of {asked} questions that the "
            f"engine answers, and is no measure; the first error says: {verdict.unmeasured[0]}"
        )
    if verdict.errors:
        yield (
            f"{len(verdict.errors)} questions that the checkpoint answers end in an error; the first says: "
            f"{verdict.errors[0]}"
        )
    ours, theirs = verdict.repetitions
    if 100 * (ours - theirs) > bars.repetition_points * asked:
        yield f"{ours} of {asked} answers repeat themselves without end; the checkpoint's: {theirs}"


def _tell_losses(verdict: Verdict) -> Iterator[str]:
    bars = verdict.thresholds
    yield from _tell_loss("over all", verdict.overall, bars.overall_points)
    for name, one in verdict.modalities.items():
        if one.questions >= bars.modality_questions:
            yield from _tell_loss(f"on {name}", one, bars.modality_points)
    flipped = verdict.overall.flipped
    if flipped is not None and flipped.value > bars.flips_percent:
        yield f"{flipped} % of the answers differ from the checkpoint's; at most {bars.flips_percent:g} % may"


def _tell_loss(where: str, one: Comparison, most: float) -> Iterator[str]:
    if one.difference is None or one.accuracy is None or one.other_accuracy is None:
        yield f"there is no accuracy {where} to compare"
    elif round(-one.difference.value, 6) > most:
        yield (
            f"accuracy {where} falls by {-one.difference.value:.1f} points, from {one.other_accuracy.value:.1f} to "
            f"{one.accuracy.value:.1f} ({one.questions} questions); at most {most:g} may be lost"
        )


def _tell_blindness(verdict: Verdict) -> Iterator[str]:
    least = verdict.thresholds.sensitivity_share
    for condition, sight in verdict.sight.items():
        theirs, ours = sight.reference.changed, sight.engine.changed
        if theirs is None or ours is None or sight.share is None:
            yield f"sensitivity to {condition} images was not measured"
        elif theirs.value < _LEAST_REFERENCE_CHANGE:
            yield (
                f"the unquantized checkpoint itself changes only {theirs.value:.1f} % of its answers with "
                f"{condition} images: it does not look, so the engine cannot be judged"
            )
        elif sight.share < least:
            yield (
                f"with {condition} images only {ours.value:.1f} % of the answers change, the checkpoint's "
                f"{theirs.value:.1f} %: {100 * sight.share:.0f} % of its sensitivity; the least is {100 * least:g} %"
            )
