"""Resuming, refusing, shuffled labels: with engines in this process."""

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radserve_engines.assets import demo_engine
from radserve_engines.errors import EvaluationError, ManifestError
from radserve_engines.evaluation import Identity, Outcome, Settings, build_report, collect_answers, load_sets
from radserve_engines.evaluation.asking import plan_asks
from radserve_engines.evaluation.engine_answerer import open_engine
from radserve_engines.evaluation.judging import judge_one
from radserve_engines.evaluation.pictures import MID_GREY, RenderedImages, read_image
from radserve_engines.evaluation.question_sets import QuestionSet
from radserve_imaging import ImagePolicy, render

SLAKE = Path(__file__).resolve().parents[4] / "shared" / "data" / "slake" / "validate.jsonl"
PLAIN = Settings(sensitivity=False)


class Script:
    """Answers `words` in turn; None is an error. Remembers what it was asked."""

    def __init__(self, *words: str | None, name: str = "script") -> None:
        self.words, self.name, self.asked = list(words), name, []

    async def identify(self):
        return Identity("here", self.name, f"sha256:{self.name}")

    async def answer(self, ask):
        self.asked.append(ask)
        word = self.words[(len(self.asked) - 1) % len(self.words)]
        if word == "stop":
            raise EvaluationError("the server is gone")
        return Outcome(word or "", error=None if word else "HTTP 500: boom")

    async def close(self):
        self.closed = True


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]


def test_an_engine_is_asked_under_three_conditions_and_its_answers_are_kept(
    write_set, copied_engine, tmp_path
):
    """The fake engine echoes the question."""
    sets = load_sets(
        [write_set({"question": "yes"}, {"question": "no"}, {"question": "lung", "answer": "lung"})]
    )
    out = tmp_path / "out"
    answers = collect_answers(open_engine(copied_engine, "fake"), sets, out, Settings())
    report = build_report(answers)
    assert report.overall.accuracy.value == pytest.approx(200 / 3)
    assert sorted(report.sensitivity) == ["blank", "swapped"]
    assert report.sensitivity["swapped"].fall.value == 0  # it does not look
    assert {(row["condition"], row["id"], row["answer"]) for row in lines(out)} == {
        (condition, identity, answer)
        for condition in ("original", "swapped", "blank")
        for identity, answer in (("q0", "yes"), ("q1", "no"), ("q2", "lung"))
    }
    assert all(row["raw_confidence"] == 1 and row["tokens"] >= 1 for row in lines(out))


def test_going_on_asks_only_what_is_missing_and_what_failed(write_set, tmp_path):
    sets = load_sets([write_set(*[{}] * 8)])
    out, settings = tmp_path / "out", Settings(sensitivity=False, concurrency=1)
    first = Script("yes", None, "yes", "stop")
    with pytest.raises(EvaluationError, match="gone"):
        collect_answers(first, sets, out, settings)
    assert first.closed
    assert [row["id"] for row in lines(out)] == ["q0", "q1", "q2"]
    with (out / "answers.jsonl").open("a") as file:
        file.write('{"id": "q3", "set": "made/valid')  # killed in the middle of a line
    second = Script("yes")
    answers = collect_answers(second, sets, out, settings)
    assert [ask.item.id for ask in second.asked] == ["q1", *(f"q{place}" for place in range(3, 8))]
    assert len(answers.judged) == 8
    assert all(one.correct for one in answers.judged)
    third = Script("no")
    collect_answers(third, sets, out, settings)
    assert third.asked == []


def test_each_answer_is_in_the_file_before_the_next_question_is_asked(write_set, tmp_path):
    """So that a process that is killed loses none."""
    out, seen = tmp_path / "out", []

    class Watching(Script):
        async def answer(self, ask):
            seen.append(len(lines(out)))
            return await super().answer(ask)

    settings = Settings(sensitivity=False, concurrency=1)
    collect_answers(Watching("yes"), load_sets([write_set(*[{}] * 5)]), out, settings)
    assert seen == [0, 1, 2, 3, 4]


def test_another_target_set_or_limit_is_refused_unless_fresh(write_set, tmp_path):
    path, out = write_set({}, {}), tmp_path / "out"
    collect_answers(Script("yes"), load_sets([path]), out, PLAIN)
    with pytest.raises(EvaluationError, match=r"target was 'sha256:script'.*--fresh"):
        collect_answers(Script("yes", name="other"), load_sets([path]), out, PLAIN)
    with pytest.raises(EvaluationError, match="its limit was None, now it is 1"):
        collect_answers(Script("yes"), load_sets([path], 1), out, Settings(limit=1, sensitivity=False))
    path.write_text(path.read_text() + "\n")
    with pytest.raises(EvaluationError, match="its sets was"):
        collect_answers(Script("yes"), load_sets([path]), out, PLAIN)
    again = Script("no")
    collect_answers(again, load_sets([path]), out, PLAIN, fresh=True)
    assert [row["answer"] for row in lines(out)] == ["no", "no"]


def test_an_error_to_one_question_counts_as_wrong_and_is_told(write_set, tmp_path):
    sets = load_sets([write_set(*[{}] * 4)])
    answers = collect_answers(Script("yes", None, "yes", "yes"), sets, tmp_path / "out", PLAIN)
    report = build_report(answers)
    assert report.overall.accuracy.value == 75
    assert report.overall.errors == 1
    assert any("1 of 4 questions ended in an error" in note and "boom (1)" in note for note in report.notes)


def test_every_error_is_counted_though_each_says_another_thing(write_set, tmp_path):
    class Counting(Script):
        async def answer(self, ask):
            outcome = await super().answer(ask)
            return replace(outcome, error=outcome.error and f"boom {len(self.asked)}")

    sets = load_sets([write_set(*[{}] * 16)])
    answers = collect_answers(Counting("yes", None), sets, tmp_path / "out", PLAIN)
    (note,) = [note for note in build_report(answers).notes if "error" in note]
    assert note.startswith("8 of 16 questions") and "boom 2 (1)" in note and note.endswith("3 other messages")


def test_errors_from_the_start_end_the_run(write_set, tmp_path):
    script = Script(None)
    with pytest.raises(EvaluationError, match=r"first questions all failed; the last said: HTTP 500: boom"):
        collect_answers(script, load_sets([write_set(*[{}] * 40)]), tmp_path / "out", PLAIN)
    assert len(script.asked) < 20


def test_an_image_that_cannot_be_read_does_not_end_the_run(write_set, copied_engine, tmp_path):
    """Though all its questions, and they are many, come first."""
    path = write_set(*[{"image": "bad.png"}] * 12, *[{}] * 4)
    (path.parent / "bad.png").write_bytes(b"no picture")
    sets, settings = load_sets([path]), Settings(sensitivity=False, concurrency=1)
    answers = collect_answers(open_engine(copied_engine, "fake"), sets, tmp_path / "out", settings)
    assert [one.correct for one in answers.judged] == [False] * 12 + [True] * 4


def test_a_set_of_one_image_has_none_to_swap_with(write_set, copied_engine, tmp_path):
    """Its own image in its place would say that the model does not look."""
    sets = load_sets([write_set({}, {})])
    report = build_report(
        collect_answers(open_engine(copied_engine, "fake"), sets, tmp_path / "out", Settings())
    )
    assert list(report.sensitivity) == ["blank"]
    assert "of one image only, so there is none to swap with: made/validate" in report.notes


def test_two_evaluations_do_not_write_to_one_folder(write_set, tmp_path):
    sets, out = load_sets([write_set({}, {})]), tmp_path / "out"

    class Meanwhile(Script):
        async def answer(self, ask):
            with pytest.raises(EvaluationError, match="another evaluation is writing to"):
                await asyncio.to_thread(collect_answers, Script("no"), sets, out, PLAIN, fresh=True)
            return await super().answer(ask)

    collect_answers(Meanwhile("yes"), sets, out, PLAIN)
    assert [row["answer"] for row in lines(out)] == ["yes", "yes"]


def test_half_of_a_surrogate_pair_in_an_answer_is_kept(write_set, tmp_path):
    """As an endpoint may send that cuts an answer in the middle of an emoji."""
    sets, out = load_sets([write_set({}, {})]), tmp_path / "out"
    collect_answers(Script("yes \ud83d", "naïve"), sets, out, PLAIN)
    again = Script("no")
    answers = collect_answers(again, sets, out, PLAIN)
    assert again.asked == []
    assert [one.outcome.text for one in answers.judged] == ["yes \ud83d", "naïve"]


def test_swapped_and_blank_images_are_what_they_say(write_set):
    (one,) = load_sets([write_set(*[{}] * 6)])
    asks = plan_asks([one], True)
    for original, swapped, blank in zip(asks[:6], asks[6:12], asks[12:], strict=True):
        assert original.item == swapped.item == blank.item
        assert read_image(original) != read_image(swapped)
        grey = render(read_image(blank), ImagePolicy(width=28, height=28, fit="stretch"))
        assert grey.record.size_in == render(read_image(original), ImagePolicy()).record.size_in
        assert np.all(grey.pixels == MID_GREY)


async def test_each_image_is_rendered_once_and_as_the_policy_says(write_set, monkeypatch):
    rendered = []
    real = RenderedImages._render
    monkeypatch.setattr(
        RenderedImages, "_render", lambda self, source: rendered.append(source) or real(self, source)
    )
    images = RenderedImages(policy := ImagePolicy(width=56, height=28))
    asks = plan_asks(load_sets([write_set(*[{}] * 6)]), True)
    shown = [await images.show(ask) for ask in asks]
    assert len(rendered) == 3 + 1  # three images, and one blank of their common size
    for ask, one in zip(asks, shown, strict=True):
        assert np.array_equal(one.pixels, render(read_image(ask), policy).pixels)


def test_a_checkpoint_without_a_manifest_says_how_to_write_one(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ManifestError, match=r"radserve engine build --checkpoint"):
        open_engine(tmp_path, str(tmp_path))


def chance(report) -> float:
    """Expected accuracy of these very answers if the truth were dealt out anew within each answer type."""
    judged = report.answers.under("original")
    total = 0.0
    for closed in (True, False):
        group = [one for one in judged if one.ask.item.closed == closed]
        true = [one.ask.item.answer for one in group]
        given = [judge_one(one.ask, one.outcome).outcome.text.lower().removesuffix(".") for one in group]
        total += sum(true.count(answer) / len(group) for answer in given)
    return 100 * total / len(judged)


def shuffled(path: Path, out: Path, count: int) -> Path:
    """A copy of the set's first questions whose answers are dealt out anew within each answer type."""
    rows = [json.loads(line) for line in path.read_text().splitlines()[:count]]
    deal = random.Random(3)
    for kind in ("closed", "open"):
        group = [row for row in rows if row["answer_type"] == kind]
        answers = [row["answer"] for row in group]
        deal.shuffle(answers)
        for row, answer in zip(group, answers, strict=True):
            row["answer"] = answer
    for row in rows:
        row["image"] = str(path.parent / row["image"])
    out.mkdir()
    copy = out / "shuffled.jsonl"
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return copy


def test_shuffled_labels_score_near_chance_on_made_questions(write_set, copied_engine, tmp_path):
    words = ("liver", "lung", "heart", "brain", "spleen")
    rows = [{"question": words[i % 5], "answer": words[i % 5], "answer_type": "open"} for i in range(200)]
    path = write_set(*rows)
    true = evaluate_engine(copied_engine, load_sets([path]), tmp_path / "true")
    dealt = evaluate_engine(
        copied_engine, load_sets([shuffled(path, tmp_path / "s", 200)]), tmp_path / "dealt"
    )
    assert true.overall.accuracy.value == 100
    assert chance(dealt) == pytest.approx(20)
    assert abs(dealt.overall.accuracy.value - 20) < 8


@pytest.mark.skipif(
    not SLAKE.is_file(), reason="the shared medical question sets are not beside this checkout"
)
def test_shuffled_labels_score_near_chance_on_slake(tmp_path):
    """The demo engine must be well above chance on the true labels, or this would pass by saying nothing."""
    true = evaluate_engine(demo_engine(), load_sets([SLAKE], 240), tmp_path / "true")
    copy = shuffled(SLAKE, tmp_path / "s", 240)
    dealt = evaluate_engine(demo_engine(), load_sets([copy]), tmp_path / "dealt")
    assert true.overall.accuracy.value > chance(true) + 15
    assert abs(dealt.overall.accuracy.value - chance(dealt)) < 6


def evaluate_engine(folder: Path, sets: list[QuestionSet], out: Path):
    return build_report(collect_answers(open_engine(folder, str(folder)), sets, out, PLAIN))
