"""Calibrate an engine's confidence on its own answers, and write it into its manifest.

That makes it another engine, to be signed again (`--key`).

    radserve engine eval ENGINE --set FILE.jsonl … --out RESULTS
    python -m radserve_engines.confidence --answers RESULTS --set FILE.jsonl … --engine ENGINE --risk 0.3

Each question type gets a Platt line, and the lowest threshold at which no more than the risk of the answers kept
are wrong, with 95 % certainty (`radserve_engines.platt`). The sets must not be those that the model was trained on.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from radserve_engines import platt
from radserve_engines.calibration import DIGITS, TYPES, Calibration, TypeCalibration, answer_logit
from radserve_engines.errors import EngineError, EvaluationError
from radserve_engines.evaluation.asking import Key, Outcome
from radserve_engines.evaluation.calibration import equal_width_bins, expected_error
from radserve_engines.evaluation.journal import read_results
from radserve_engines.evaluation.judging import is_right
from radserve_engines.evaluation.question_sets import QuestionSet, load_set
from radserve_engines.manifest import SIGNATURE_NAME, EngineManifest, read_manifest, write_manifest
from radserve_engines.question_type import question_type
from radserve_engines.signing import read_private_key, sign_engine

_LEAST_ANSWERS = 50


@dataclass(frozen=True, slots=True)
class Scored:
    """One whole answer to a question: its raw score, and whether it is right.

    `image` is the path below its set's folder, so two sets that hold the same file by one name share it.
    """

    set: str
    image: str
    kind: str
    logprob: float
    correct: bool


def score_answers(outcomes: Mapping[Key, Outcome], sets: Sequence[QuestionSet]) -> list[Scored]:
    """The whole answers to the questions as they are. Raises EvaluationError for a question without answer."""
    scored = []
    for one in sets:
        for item in one.questions:
            outcome = outcomes.get(("original", one.name, item.id))
            if outcome is None or outcome.error is not None:
                raise EvaluationError(f"there is no answer to {item.id} of {one.name}: evaluate it first")
            if outcome.finish_reason != "stop":
                continue  # cut off: when served, it gets no confidence either
            if outcome.logprob is None or outcome.raw_confidence is None:
                raise EvaluationError(f"the answer to {item.id} of {one.name} has no log-probability")
            kind, correct = question_type(item.question), is_right(outcome.text, item)
            image = os.path.relpath(item.image, one.folder)
            scored.append(Scored(one.name, image, kind, outcome.logprob, correct))
    return scored


def check_run(run: Mapping[str, Any], manifest: EngineManifest, sets: Sequence[QuestionSet]) -> None:
    """Raises EvaluationError when the answers are another engine's, or to other questions."""
    engine = run.get("engine") or {}
    if engine.get("answering_digest") != manifest.answering_digest:
        raise EvaluationError(
            f"the answers are those of engine {engine.get('digest')}, not of {manifest.name} ({manifest.digest}): "
            "evaluate this one"
        )
    for one in sets:
        if run.get("sets", {}).get(one.name) != one.sha256:
            raise EvaluationError(f"the answers are not those to this file of {one.name}: evaluate it first")


def fit_type(scored: Sequence[Scored], risk: float) -> TypeCalibration:
    """Line, threshold and figures for answers of one type. Raises EvaluationError for too few."""
    images = [one.image for one in scored]
    if len(scored) < _LEAST_ANSWERS or len(set(images)) < platt.FOLDS:
        raise EvaluationError(
            f"{len(scored)} answers to {scored[0].kind} questions on {len(set(images))} images are too few: "
            f"{_LEAST_ANSWERS} on {platt.FOLDS} are the least"
        )
    logprobs = np.array([one.logprob for one in scored])
    logits = np.array([answer_logit(one.logprob) for one in scored])
    correct = np.array([one.correct for one in scored], float)
    slope, intercept = platt.fit_platt(logits, correct)
    held_out = platt.cross_validate(logits, correct, images)
    line = TypeCalibration(
        slope=round(slope, 6),
        intercept=round(intercept, 6),
        threshold=None,
        risk=risk,
        coverage=0.0,
        error=None,
        error_bound=None,
        answers=len(scored),
        images=len(set(images)),
        ece_before=_ece(np.exp(np.minimum(logprobs, 0.0)), correct),
        ece_after=_ece(held_out, correct),
    )
    confidence = np.array([line.confidence(one.logprob) for one in scored])
    clustering = platt.measure_clustering(held_out, correct, images)
    chosen = platt.choose_threshold(confidence, correct, risk, clustering)
    return replace(
        line,
        threshold=None if chosen.value is None else round(chosen.value, DIGITS),
        coverage=round(chosen.coverage, 4),
        error=None if chosen.error is None else round(chosen.error, 4),
        error_bound=None if chosen.error_bound is None else round(chosen.error_bound, 4),
    )


def calibrate(
    manifest: EngineManifest,
    scored: Sequence[Scored],
    sets: Sequence[QuestionSet],
    risks: Mapping[str, float],
) -> Calibration:
    """The manifest's block. Raises EvaluationError for too few answers of a type."""
    if not scored:
        raise EvaluationError("no answer is whole: there is nothing to calibrate on")
    groups = {kind: [one for one in scored if one.kind == kind] for kind in TYPES}
    types = {kind: fit_type(group, risks[kind]) for kind, group in groups.items() if group}
    counts = [{**one.to_json(), "answers": sum(answer.set == one.name for answer in scored)} for one in sets]
    fitted = {
        "date": datetime.now(UTC).date().isoformat(),
        "engine": manifest.answering_digest,
        "sets": counts,
        "folds": platt.FOLDS,
        "level": platt.LEVEL,
    }
    return Calibration(types, fitted)


def tell(calibration: Calibration, scored: Sequence[Scored]) -> Iterator[str]:
    """A table: each type, and within it each set as it fares at the type's threshold."""
    heads = ("answers", 8), ("risk", 7), ("threshold", 11), ("coverage", 10), ("error", 8), ("bound", 8)
    yield " " * 24 + "".join(f"{name:>{width}}" for name, width in (*heads, ("ECE before", 12), ("after", 8)))
    for kind, one in calibration.types.items():
        figures = f"{one.answers:>8}{one.risk:>7.0%}{_plain(one.threshold):>11}{one.coverage:>10.1%}"
        bounds = f"{_percent(one.error):>8}{_percent(one.error_bound):>8}"
        yield f"{kind:<24}{figures}{bounds}{one.ece_before:>12.3f}{one.ece_after:>8.3f}"
        for name in dict.fromkeys(answer.set for answer in scored):
            group = [answer for answer in scored if answer.set == name and answer.kind == kind]
            kept = [answer for answer in group if not one.abstains(one.confidence(answer.logprob))]
            error = sum(not answer.correct for answer in kept) / len(kept) if kept else None
            if group:
                shares = f"{len(kept) / len(group):>10.1%}{_percent(error):>8}"
                yield f"  {name:<22}{len(group):>8}{'':>7}{'':>11}{shares}"
        if one.threshold is None:
            yield f"  No threshold keeps the error rate of {kind} answers within {one.risk:.0%}: all abstain."


def main() -> None:
    """Parse the command line, fit, write, print."""
    parser = argparse.ArgumentParser(
        prog="radserve_engines.confidence", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--answers", type=Path, required=True, help="answers.jsonl of an evaluation, or its folder"
    )
    parser.add_argument(
        "--set", type=Path, required=True, nargs="+", action="extend", help="its question sets"
    )
    parser.add_argument("--engine", type=Path, required=True, help="folder whose engine.json gets the block")
    parser.add_argument(
        "--risk", type=_share, default=0.3, help="greatest error rate of the answers kept (0.3)"
    )
    parser.add_argument("--closed-risk", type=_share, help="the same for closed questions only")
    parser.add_argument("--open-risk", type=_share, help="the same for open questions only")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="private key to sign the changed manifest with"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the table, write nothing")
    given = parser.parse_args()
    risks = {"closed": given.closed_risk or given.risk, "open": given.open_risk or given.risk}
    try:
        key = read_private_key(given.key) if given.key else None
        manifest = read_manifest(given.engine)
        run, outcomes = read_results(given.answers.parent if given.answers.is_file() else given.answers)
        sets = [load_set(path, run.get("limit"), images=False) for path in given.set]
        check_run(run, manifest, sets)
        scored = score_answers(outcomes, sets)
        calibration = calibrate(manifest, scored, sets, risks)
    except EngineError as error:
        sys.exit(f"{parser.prog}: {error}")
    print(*tell(calibration, scored), sep="\n")
    if not given.dry_run:
        sealed = replace(manifest, confidence=calibration)
        write_manifest(given.engine, sealed)
        print(f"{given.engine}: {manifest.digest} is now {sealed.digest}")
        if key is not None:
            sign_engine(given.engine, key)
        elif (given.engine / SIGNATURE_NAME).is_file():
            print(f"its signature no longer holds: radserve engine sign {given.engine} --key FILE")


def _ece(confidence: platt.Numbers, correct: platt.Numbers) -> float:
    return round(expected_error(equal_width_bins(confidence, correct)), 4)


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _plain(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


if __name__ == "__main__":
    main()
