"""`radserve engine eval`: from what the user asked for to answers, report, tables and curves in one folder."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation.asking import Key, Outcome
from radserve_engines.evaluation.comparison import Comparison, compare
from radserve_engines.evaluation.curves import draw_curves
from radserve_engines.evaluation.evaluating import Answers, Settings, collect_answers, compare_answers
from radserve_engines.evaluation.journal import ANSWERS, read_results
from radserve_engines.evaluation.question_sets import QuestionSet, load_set, load_sets
from radserve_engines.evaluation.report import Report, build_report
from radserve_engines.evaluation.tables import markdown
from radserve_engines.evaluation.targets import is_address, open_target
from radserve_engines.manifest import FILE_NAME as MANIFEST
from radserve_engines.vqa_data import Question

REPORT, TABLES, CURVES, COMPARED = "report.json", "report.md", "curves.png", "compared"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says."""

    target: str
    sets: tuple[Path, ...]
    out: Path
    settings: Settings = field(default_factory=Settings)
    training: tuple[Path, ...] = ()
    compare: str | None = None
    model: str | None = None
    fresh: bool = False


def run_evaluation(wanted: Wanted) -> Report:
    """Check everything, ask, and write the report. Raises EngineError, with what was answered kept in `out`."""
    settings = wanted.settings
    sets = load_sets(wanted.sets, settings.limit)
    training = read_training(wanted.training)
    earlier = _read_earlier(wanted, sets)
    answerer = open_target(wanted.target, model=wanted.model, max_tokens=settings.max_tokens)
    answers = collect_answers(answerer, sets, wanted.out, settings, fresh=wanted.fresh)
    if earlier:
        comparison: Comparison | None = compare(answers.under("original"), *earlier, settings.seed)
    elif wanted.compare:
        write_report(build_report(answers, training=training), wanted.out)  # there, should the other fail
        comparison = _ask_other(wanted, sets, answers)
    else:
        comparison = None
    report = build_report(answers, training=training, comparison=comparison)
    write_report(report, wanted.out)
    return report


def write_report(report: Report, out: Path) -> None:
    """`report.json`, `report.md`, and `curves.png` where matplotlib is installed."""
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
    (out / REPORT).write_text(text + "\n", "utf-8")
    (out / TABLES).write_text(markdown(report), "utf-8")
    try:
        draw_curves(report, out / CURVES)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        (out / CURVES).unlink(missing_ok=True)


def read_training(paths: Sequence[Path]) -> list[Question]:
    """All questions of some training files; their images need not be there."""
    return [item for path in paths for item in load_set(path, images=False).questions]


def _ask_other(wanted: Wanted, sets: Sequence[QuestionSet], answers: Answers) -> Comparison:
    settings = Settings(
        limit=wanted.settings.limit,
        max_tokens=wanted.settings.max_tokens,
        concurrency=wanted.settings.concurrency,
        sensitivity=False,
    )
    place = str(wanted.compare)
    other = open_target(place, max_tokens=settings.max_tokens)
    out = wanted.out / COMPARED / re.sub(r"[^\w.-]+", "-", place).strip("-")[-100:]  # each other has its own
    theirs = collect_answers(other, sets, out, settings, fresh=wanted.fresh)
    return compare_answers(answers, theirs)


def _read_earlier(
    wanted: Wanted, sets: Sequence[QuestionSet]
) -> tuple[dict[Key, Outcome], dict[str, Any]] | None:
    """An earlier evaluation's answers to the same sets; None when there is none, but a target to be asked."""
    place = wanted.compare
    if place is None or is_address(place):
        return None
    folder = Path(place)
    if folder.resolve() == wanted.out.resolve():
        raise EvaluationError(
            f"--compare {place} is the --out of this evaluation: it would be compared with itself"
        )
    if not (folder / ANSWERS).is_file():
        if (folder / MANIFEST).is_file():
            return None
        raise EvaluationError(
            f"--compare {place} is neither an earlier --out, which has {ANSWERS}, nor an engine folder, which has "
            f"{MANIFEST}, nor an address"
        )
    run, outcomes = read_results(folder)
    for one in sets:
        digest = run.get("sets", {}).get(one.name)
        if digest not in (None, one.sha256):
            raise EvaluationError(f"{folder} holds answers to another {one.name}: the file is not the same")
    return outcomes, {**run.get("engine", {}), "location": place}
