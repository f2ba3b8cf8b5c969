"""The command that calibrates an engine on an evaluation's answers."""

import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radserve_engines import confidence
from radserve_engines.evaluation.asking import Outcome, plan_asks
from radserve_engines.evaluation.journal import ANSWERS, RUN, Journal
from radserve_engines.evaluation.question_sets import load_set
from radserve_engines.manifest import EngineManifest, read_manifest, write_manifest

Fit = Callable[..., int | str | None]


@pytest.fixture
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 closed and 400 open questions on 80 images; "yes" and "liver" are right."""
    path = tmp_path_factory.mktemp("made-up") / "validate.jsonl"
    rows = []
    for number in range(800):
        closed = number % 2 == 0
        question, answer = ("Is it large?", "Yes") if closed else ("Which organ is shown?", "Liver")
        kind = "closed" if closed else "open"
        row = {"id": f"{number}", "image": f"{number // 10}.png", "question": question, "answer": answer}
        rows.append(json.dumps({**row, "answer_type": kind}))
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def results(questions: Path, manifest: EngineManifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers of an overconfident engine: right half as far from chance, on the logit, as it holds them to be."""
    out = tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(11)
    one = load_set(questions, images=False)
    run = {
        "engine": {"answering_digest": manifest.answering_digest},
        "sets": {one.name: one.sha256},
        "limit": None,
    }
    with Journal(out, run) as journal:
        for ask in plan_asks([one], sensitivity=False):
            logit = rng.normal(1.5, 2.0)
            right = rng.random() < 1 / (1 + np.exp(-0.5 * logit))
            text = ask.item.answer if right else "something else"
            logprob = float(-np.logaddexp(0, -logit))
            journal.write(ask, Outcome(text=text, logprob=logprob, tokens=2, finish_reason="stop"))
    return out


@pytest.fixture
def fit(
    questions: Path, results: Path, copied_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int | str | None]:
    """Runs the command; None is success."""

    def run(*more: str) -> int | str | None:
        given = ["--answers", str(results / ANSWERS), "--set", str(questions), "--engine", str(copied_engine)]
        monkeypatch.setattr(sys, "argv", ["confidence", *given, *more])
        try:
            confidence.main()
        except SystemExit as ended:
            return ended.code
        return None

    return run


def rewrite(results: Path, change: Callable[[dict[str, object]], dict[str, object] | None]) -> None:
    path = results / ANSWERS
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row is not None))


def test_the_block_is_written_and_the_table_printed(
    fit: Fit, copied_engine: Path, manifest: EngineManifest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--risk", "0.3", "--open-risk", "0.28") is None
    sealed = read_manifest(copied_engine)
    assert sealed.confidence is not None
    assert replace(sealed, confidence=None) == manifest
    for kind, risk in (("closed", 0.3), ("open", 0.28)):
        one = sealed.confidence.types[kind]
        assert (one.risk, one.answers, one.images) == (risk, 400, 80)
        assert one.threshold is not None and 0.2 <= one.coverage < 1
        assert one.error is not None and one.error_bound is not None
        assert one.error < one.error_bound <= risk
        assert one.slope == pytest.approx(0.5, abs=0.15)
        assert one.ece_after < 0.08 < one.ece_before
    fitted = sealed.confidence.fitted
    assert fitted["engine"] == manifest.answering_digest
    assert fitted["sets"][0]["answers"] == 800 and len(fitted["sets"][0]["sha256"]) == 64
    said = capsys.readouterr().out
    assert "closed" in said and "made-up" in said and sealed.digest in said


def test_it_can_be_fitted_again_to_another_risk(fit: Fit, copied_engine: Path) -> None:
    assert fit("--risk", "0.3") is None
    first = read_manifest(copied_engine)
    assert fit("--risk", "0.25") is None
    second = read_manifest(copied_engine)
    assert first.confidence is not None and second.confidence is not None
    assert second.confidence.types["closed"].coverage < first.confidence.types["closed"].coverage
    assert second.confidence.types["closed"].slope == first.confidence.types["closed"].slope


def test_answers_of_an_engine_that_was_calibrated_can_be_fitted_again_and_again(
    fit: Fit, results: Path, copied_engine: Path
) -> None:
    """Each fit changes the digest, but no answer."""
    assert fit("--risk", "0.3") is None
    calibrated = read_manifest(copied_engine)
    run = json.loads((results / RUN).read_text())
    names = {"digest": calibrated.digest, "answering_digest": calibrated.answering_digest}
    (results / RUN).write_text(json.dumps({**run, "engine": names}))
    assert fit("--risk", "0.25") is None
    assert fit("--risk", "0.2") is None
    assert read_manifest(copied_engine).digest != calibrated.digest


def test_a_dry_run_writes_nothing_and_a_risk_out_of_reach_is_told(
    fit: Fit, copied_engine: Path, manifest: EngineManifest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--risk", "0.01", "--dry-run") is None
    assert read_manifest(copied_engine) == manifest
    assert "No threshold keeps the error rate of closed answers within 1%" in capsys.readouterr().out


def test_cut_answers_are_left_out(fit: Fit, results: Path, copied_engine: Path) -> None:
    rewrite(results, lambda row: {**row, "finish_reason": "length"} if row["id"] in ("0", "2", "5") else row)
    assert fit() is None
    block = read_manifest(copied_engine).confidence
    assert block is not None
    assert (block.types["closed"].answers, block.types["open"].answers) == (398, 399)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: None if row["id"] == "7" else row, "no answer to 7 of made-up"),
        (lambda row: {**row, "error": "lost"} if row["id"] == "7" else row, "no answer to 7"),
        (lambda row: {**row, "logprob": None} if row["id"] == "7" else row, "no log-probability"),
        (lambda row: {**row, "logprob": math.nan} if row["id"] == "7" else row, "no log-probability"),
        (
            lambda row: {**row, "finish_reason": "length"} if int(row["id"]) > 60 else row,
            "31 answers to closed questions on 7 images are too few",
        ),
        (lambda row: {**row, "finish_reason": "length"}, "no answer is whole"),
    ],
)
def test_answers_that_do_not_do_are_refused(
    fit: Fit, results: Path, copied_engine: Path, manifest: EngineManifest, change: object, words: str
) -> None:
    rewrite(results, change)  # type: ignore[arg-type]
    assert words in str(fit()).replace("made-up0", "made-up")
    assert read_manifest(copied_engine) == manifest


def test_another_engine_s_answers_and_other_questions_are_refused(
    fit: Fit, questions: Path, copied_engine: Path, manifest: EngineManifest
) -> None:
    write_manifest(copied_engine, replace(manifest, precision="other"))
    assert "are those of engine" in str(fit())
    write_manifest(copied_engine, manifest)
    questions.write_text(questions.read_text().replace("large", "small"))
    assert "not those to this file" in str(fit())


def test_images_of_one_name_in_several_folders_are_several(
    fit: Fit, questions: Path, results: Path, copied_engine: Path
) -> None:
    """As SLAKE is published: xmlab0/source.jpg, xmlab1/source.jpg, …"""
    questions.write_text(re.sub(r'"(\d+)\.png"', r'"\1/source.png"', questions.read_text()))
    one = load_set(questions, images=False)
    run = json.loads((results / RUN).read_text())
    (results / RUN).write_text(json.dumps({**run, "sets": {one.name: one.sha256}}))
    assert fit() is None
    block = read_manifest(copied_engine).confidence
    assert block is not None and block.types["open"].images == 80


@pytest.mark.parametrize("risk", ["0", "1", "30"])
def test_a_risk_is_a_share(fit: Fit, risk: str) -> None:
    assert fit("--risk", risk) == 2
