"""What the gate lets through and what it does not, on answers whose losses are known."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radserve_engines.errors import BuildRefused
from radserve_engines.evaluation.asking import Ask, Identity, Outcome, plan_asks
from radserve_engines.evaluation.evaluating import Answers, Settings
from radserve_engines.evaluation.judging import judge_one
from radserve_engines.evaluation.question_sets import QuestionSet
from radserve_engines.gating import Thresholds, judge_engine
from radserve_engines.gating.picture import draw_gate
from radserve_engines.gating.verdict import Verdict
from radserve_engines.vqa_data import Question

QUESTIONS, PER_IMAGE = 1000, 4
Say = Callable[[Ask, int], Outcome]


def questions() -> QuestionSet:
    """Half CT, half MR; four to an image; the answer names the image, so who looks is right."""
    items = tuple(
        Question(
            id=str(number),
            source="made",
            image=f"{number // PER_IMAGE}.png",
            question="Which?",
            answer=f"image {number // PER_IMAGE}",
            closed=False,
            modality="CT" if number % 2 else "MR",
        )
        for number in range(QUESTIONS)
    )
    return QuestionSet("made/validate", Path(), "0" * 64, items)


def truth(ask: Ask, number: int) -> Outcome:
    """What a model says that sees everything: which image is shown, or that there is none."""
    text = "nothing" if ask.condition == "blank" else f"image {ask.image.removesuffix('.png')}"
    return Outcome(text, logprob=-0.1, tokens=2, finish_reason="stop")


def answers(say: Say = truth, *, name: str = "engine") -> Answers:
    one = questions()
    asks = plan_asks([one], sensitivity=True)
    judged = tuple(judge_one(ask, say(ask, int(ask.item.id))) for ask in asks)
    return Answers(Identity(name, name, f"sha256:{name}"), (one,), Settings(), judged)


def verdict(say: Say, thresholds: Thresholds | None = None) -> Verdict:
    return judge_engine(answers(say), answers(name="checkpoint"), thresholds or Thresholds())


def wrong_on(share: float, modality: str | None = None) -> Say:
    """Wrong on the first `share` of the questions (of a modality), true on all others."""

    def say(ask: Ask, number: int) -> Outcome:
        counted = number // 2 if modality else number
        of = QUESTIONS // 2 if modality else QUESTIONS
        hit = ask.condition == "original" and counted < share * of
        if hit and modality in (None, ask.item.modality):
            return replace(truth(ask, number), text="nonsense")
        return truth(ask, number)

    return say


def test_an_engine_that_answers_as_the_checkpoint_does_passes() -> None:
    found = verdict(truth)
    assert found.passed
    assert found.overall.questions == QUESTIONS
    assert [sight.share for sight in found.sight.values()] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("say", "reasons"),
    [
        (wrong_on(0.010), []),
        (wrong_on(0.012), ["accuracy over all falls by 1.2 points, from 100.0 to 98.8"]),
        (wrong_on(0.020, "CT"), []),
        (
            wrong_on(0.022, "CT"),
            ["accuracy over all falls by 1.1 points", "accuracy on CT falls by 2.2 points"],
        ),
    ],
)
def test_one_point_over_all_and_two_on_a_modality_may_be_lost_and_no_more(
    say: Say, reasons: list[str]
) -> None:
    found = verdict(say)
    assert len(found.reasons) == len(reasons), found.reasons
    for told, reason in zip(found.reasons, reasons, strict=True):
        assert told.startswith(reason)


def test_a_modality_of_few_questions_is_not_judged_alone() -> None:
    bars = Thresholds(overall_points=5, modality_questions=501)
    assert verdict(wrong_on(0.04, "CT"), bars).passed
    assert not verdict(wrong_on(0.04, "CT"), replace(bars, modality_questions=500)).passed


def test_flips_count_though_the_accuracy_stays() -> None:
    """Both are wrong, each in its own way: the accuracy cannot tell, but the engine is another model."""

    def astray(word: str) -> Say:
        def say(ask: Ask, number: int) -> Outcome:
            hit = ask.condition == "original" and number < 60
            return replace(truth(ask, number), text=word) if hit else truth(ask, number)

        return say

    found = judge_engine(answers(astray("left")), answers(astray("right")), Thresholds())
    assert found.overall.difference is not None and found.overall.difference.value == 0
    assert len(found.reasons) == 1 and "6.0 (" in found.reasons[0] and "differ" in found.reasons[0]


@pytest.mark.parametrize("condition", ["swapped", "blank"])
def test_an_engine_that_no_longer_looks_fails_though_it_is_right(condition: str) -> None:
    """It says the true answer whatever it is shown, as one that knows the questions by heart."""

    def by_heart(ask: Ask, number: int) -> Outcome:
        if ask.condition == condition and number % 4:
            return replace(truth(ask, number), text=ask.item.answer)
        return truth(ask, number)

    found = verdict(by_heart)
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(f"with {condition} images only 25.0 % of the answers change")


def test_one_answer_to_everything_fails_on_every_count() -> None:
    def constant(ask: Ask, number: int) -> Outcome:
        return Outcome("no", logprob=-0.1, tokens=1, finish_reason="stop")

    told = " ".join(verdict(constant).reasons)
    for part in ("over all", "on CT", "on MR", "differ", "swapped", "blank"):
        assert part in told


def test_a_checkpoint_that_does_not_look_itself_cannot_be_the_measure() -> None:
    def blind(ask: Ask, number: int) -> Outcome:
        return Outcome("no", logprob=-0.1, tokens=1, finish_reason="stop")

    found = judge_engine(answers(blind), answers(blind), Thresholds())
    assert len(found.reasons) == 2  # nothing changed, so there is nothing to divide by
    assert all("sensitivity" in reason or "does not look" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"logprob": float("nan")}, "1 of 3000 answers have log-probabilities that are not finite"),
        ({"logprob": float("-inf")}, "1 of 3000 answers have log-probabilities that are not finite"),
        ({"error": "non-finite logits"}, "1 questions that the checkpoint answers end in an error"),
    ],
)
def test_a_single_answer_that_is_no_number_fails_it(change: dict[str, object], reason: str) -> None:
    def say(ask: Ask, number: int) -> Outcome:
        hit = ask.condition == "original" and number == 7
        return replace(truth(ask, number), **change) if hit else truth(ask, number)  # type: ignore[arg-type]

    assert any(told.startswith(reason) for told in verdict(say).reasons)


def test_an_image_that_neither_can_read_is_not_the_engine_s_fault() -> None:
    def say(ask: Ask, number: int) -> Outcome:
        return Outcome(error="0.png: not an image") if number == 0 else truth(ask, number)

    assert judge_engine(answers(say), answers(say), Thresholds()).passed


def failing(which: Callable[[int], bool]) -> Say:
    def say(ask: Ask, number: int) -> Outcome:
        return Outcome(error="out of memory") if which(number) else truth(ask, number)

    return say


def test_a_checkpoint_that_could_not_answer_is_no_measure() -> None:
    """A few questions may be lost; with more, what is compared is only what the checkpoint could do."""
    few = judge_engine(answers(truth), answers(failing(lambda n: n < 10)), Thresholds())
    assert few.passed and few.to_json()["reference_errors"] == 30
    many = judge_engine(answers(truth), answers(failing(lambda n: n < 11)), Thresholds())
    assert [told.partition(" questions")[0] for told in many.reasons] == [
        "the unquantized checkpoint could not answer 33 of 3000"
    ]


def test_images_that_nobody_could_read_do_not_count_as_seen() -> None:
    say = failing(lambda number: number >= 29 * PER_IMAGE)
    bars = Thresholds(least_questions=100, modality_questions=1000)
    found = judge_engine(answers(say), answers(say), bars)
    assert found.images == 29
    assert found.reasons == ("116 questions on 29 images are too few to tell; the least are 100 on 30",)


def test_an_engine_without_any_log_probability_does_not_pass_as_finite() -> None:
    def silent(ask: Ask, number: int) -> Outcome:
        return replace(truth(ask, number), logprob=None)

    assert verdict(silent).reasons == (
        "no answer came with log-probabilities: nothing says that the logits are finite",
    )


def test_endless_repetitions_fail_it() -> None:
    def say(ask: Ask, number: int) -> Outcome:
        more = {"finish_reason": "repetition"} if number < 20 else {}
        return replace(truth(ask, number), **more)  # type: ignore[arg-type]

    assert [told.partition(";")[0] for told in verdict(say).reasons] == [
        "60 of 3000 answers repeat themselves without end"
    ]
    assert judge_engine(answers(say), answers(say), Thresholds()).passed  # the checkpoint's own habit


def test_too_few_questions_tell_nothing() -> None:
    assert "too few to tell" in verdict(truth, Thresholds(least_questions=1001)).reasons[0]
    assert "too few to tell" in verdict(truth, Thresholds(least_images=251)).reasons[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"overall_point": 1}, "threshold 'overall_point' is not known"),
        ({"flips_percent": -1}, "flips_percent must be a number of at least 0"),
        ({"flips_percent": "5"}, "flips_percent must be a number"),
        ({"sensitivity_share": 80}, "sensitivity_share is a share of 1"),
    ],
)
def test_an_ill_threshold_is_refused_by_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(BuildRefused, match=message):
        Thresholds.from_json(given)


@pytest.mark.parametrize("given", [3, None, "abc", [1]])
def test_thresholds_that_are_no_object_are_refused(given: Any) -> None:
    with pytest.raises(BuildRefused, match="must be a JSON object"):
        Thresholds.from_json(given)


def test_the_verdict_is_json_and_can_be_drawn(tmp_path: Path) -> None:
    block = json.loads(json.dumps(verdict(wrong_on(0.05)).to_json(), allow_nan=False))
    assert Thresholds.from_json(block["thresholds"]) == Thresholds()
    judged = {"name": "x", "target": "torch", "precision": "fp8", "simulated": False}
    draw_gate({**block, "status": "failed", "judged": judged}, tmp_path / "gate.png")
    assert (tmp_path / "gate.png").stat().st_size > 10_000
