"""A report as Markdown, and the short form of it for a terminal."""

from collections.abc import Iterable, Sequence

from radserve_engines.evaluation.bootstrap import Estimate
from radserve_engines.evaluation.calibration import Calibration
from radserve_engines.evaluation.comparison import Comparison
from radserve_engines.evaluation.report import UNITS, Report
from radserve_engines.evaluation.scores import Score

Row = Sequence[str]
_SCORES: Row = ("", "questions", "images", "accuracy", "closed", "open", "open, token F1")
_FACETS = {
    "set": "set",
    "answer_type": "answer type",
    "modality": "modality",
    "body_part": "body part",
    "content_type": "content type",
}


def terminal_table(report: Report) -> str:
    """All, each set, the question-only guess, and what comes of other images: aligned columns."""
    rows = [_SCORES, _score_row("all", report.overall)]
    if len(report.facets["set"]) > 1:
        rows += [_score_row(name, one) for name, one in report.facets["set"].items()]
    if report.question_only:
        rows.append(_score_row("question only", report.question_only.overall))
    blocks = [_aligned(rows)]
    if report.sensitivity:
        blocks.append(_aligned(_sensitivity_rows(report)))
    if report.confidences:
        blocks.append(_aligned(_calibration_rows(report)[:2]))
    if report.comparison:
        blocks.append(_aligned(_comparison_rows(report.comparison)))
    blocks += [f"note: {note}" for note in report.notes]
    return "\n\n".join(blocks)


def markdown(report: Report) -> str:
    """The whole report as tables."""
    identity = report.answers.identity
    parts = [
        f"# Evaluation of {identity.name}",
        f"`{identity.location}`, {identity.digest or 'no digest'}, {report.date}. {UNITS}",
        _table([("set", "questions", "images", "sha256"), *_set_rows(report)]),
    ]
    if report.notes:
        parts.append("\n".join(f"- {note}" for note in report.notes))
    parts += ["## Scores", _table([_SCORES, *_overall_rows(report)])]
    for facet, title in _FACETS.items():
        values = report.facets[facet]
        parts += [
            f"### By {title}",
            _table([_SCORES, *(_score_row(value, one) for value, one in values.items())]),
        ]
    if report.sensitivity:
        parts += ["## Does it look at the image", _table(_sensitivity_rows(report))]
    if report.comparison:
        parts += ["## Beside another", _table(_comparison_rows(report.comparison))]
    if report.confidences:
        parts += ["## Confidence", _table(_calibration_rows(report)), "![curves](curves.png)"]
    if report.abstention:
        parts.append(_abstention(report))
    return "\n\n".join(parts) + "\n"


def _overall_rows(report: Report) -> list[Row]:
    rows = [_score_row("all", report.overall)]
    if guess := report.question_only:
        rows.append(_score_row("question only", guess.overall))
        rows.append(("gain over question only", "", "", _percent(guess.gain), "", "", ""))
        if len(guess.sets) > 1:
            rows += [_score_row(f"question only, {name}", one) for name, one in guess.sets.items()]
    return rows


def _score_row(name: str, one: Score) -> Row:
    estimates = (one.accuracy, one.closed, one.open, one.open_f1)
    return name, str(one.questions), str(one.images), *map(_percent, estimates)


def _set_rows(report: Report) -> list[Row]:
    return [
        (str(row["name"]), str(row["questions"]), str(row["images"]), f"`{row['sha256'][:16]}…`")
        for row in (one.to_json() for one in report.answers.sets)
    ]


def _sensitivity_rows(report: Report) -> list[Row]:
    rows: list[Row] = [("images", "questions", "accuracy", "falls by", "answers changed")]
    for condition, whole in report.sensitivity.items():
        for name, one in (
            (condition, whole),
            *((f"{condition}, {name}", one) for name, one in whole.sets.items()),
        ):
            estimates = map(_percent, (one.accuracy, one.fall, one.changed))
            rows.append((name, str(one.questions), *estimates))
    return rows


def _comparison_rows(one: Comparison) -> list[Row]:
    heads = ("other", "questions", "accuracy", "other's", "difference", "flipped")
    flips = f"{one.right_to_wrong} right → wrong, {one.wrong_to_right} wrong → right"
    estimates = map(_percent, (one.accuracy, one.other_accuracy, one.difference, one.flipped))
    name = str(one.other.get("name") or one.other.get("location"))
    return [(*heads, "of them"), (name, str(one.questions), *estimates, flips)]


def _calibration_rows(report: Report) -> list[Row]:
    rows: list[Row] = [
        (
            *("confidence", "answers", "mean", "accuracy", "ECE", "ECE, equal mass", "AURC"),
            "accuracy at 80 % coverage",
        )
    ]
    for one in report.confidences:
        parts = {"all": one.all, "closed": one.closed, "open": one.open}
        rows += [_calibration_row(f"{one.source}, {name}", part) for name, part in parts.items() if part]
    return rows


def _calibration_row(name: str, one: Calibration) -> Row:
    values = (one.mean_confidence, one.accuracy, one.ece, one.ece_equal_mass, one.aurc, one.accuracy_at_80)
    return name, str(one.count), *(f"{value:.3f}" for value in values)


def _abstention(report: Report) -> str:
    one = report.abstention
    if one is None:
        return ""
    accuracies = [
        f"{name} {value:.3f}"
        for name, value in (
            ("when sure", one.accuracy_when_sure),
            ("when abstaining", one.accuracy_when_abstained),
        )
        if value is not None
    ]
    return f"It abstained on {one.abstained} of {one.count} answers; accuracy {', '.join(accuracies)}."


def _percent(one: Estimate | None) -> str:
    return "–" if one is None else str(one)


def _table(rows: Iterable[Row]) -> str:
    head, *body = [
        "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |" for row in rows
    ]
    return "\n".join([head, "|" + " --- |" * head.count(" | ") + " --- |", *body])


def _aligned(rows: Sequence[Row]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
