"""`curves.png`: reliability, risk–coverage, and accuracy by what the questions are about."""

from pathlib import Path
from typing import Any

from radserve_engines.evaluation.calibration import BINS
from radserve_engines.evaluation.confidences import Confidences
from radserve_engines.evaluation.report import Report
from radserve_engines.evaluation.scores import NOT_STATED, Score

_BLUE, _RED, _GREY, _INK = "#2f6db3", "#c0504d", "#9aa3ad", "#22272e"
_PARTS = (("all", _INK, 2.2), ("closed", _BLUE, 1.5), ("open", _RED, 1.5))
_MOST_GROUPS, _LEAST_QUESTIONS, _LEAST_IN_BIN = 8, 10, 5


def draw_curves(report: Report, path: Path) -> None:
    """Three pictures side by side. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    style = {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11}
    style["text.parse_math"] = False  # a set may write $ in its fields
    with plt.rc_context({**style, "axes.titlelocation": "left", "axes.edgecolor": _GREY}):
        figure = plt.figure(figsize=(14.5, 5.2), layout="constrained")
        grid = figure.add_gridspec(2, 3, height_ratios=(3.2, 1), width_ratios=(1, 1, 1.25))
        reliability = figure.add_subplot(grid[0, 0])
        counts = figure.add_subplot(grid[1, 0], sharex=reliability)
        risk = figure.add_subplot(grid[:, 1])
        if report.confidences:
            _draw_reliability(reliability, counts, report.confidences[0])
            _draw_risk(risk, report.confidences[0])
        else:
            _say_nothing(reliability, counts, risk)
        _draw_groups(figure.add_subplot(grid[:, 2]), report)
        identity = report.answers.identity
        names = ", ".join(one.name for one in report.answers.sets)
        digest = f" · {identity.digest[:19]}…" if identity.digest else ""
        figure.suptitle(f"{identity.name}{digest} · {names}", x=0.01, ha="left", fontsize=12, weight="bold")
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _draw_reliability(axes: Any, counts: Any, one: Confidences) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    bins = one.all.bins
    middles = [(int(min(max(b.confidence, 1e-9), 1) * BINS - 1e-9) + 0.5) / BINS for b in bins]
    axes.bar(middles, [b.accuracy for b in bins], 0.92 / BINS, color=_BLUE, alpha=0.35)
    for one_bin in bins:
        face = _BLUE if one_bin.count >= _LEAST_IN_BIN else "white"
        axes.plot(
            one_bin.confidence, one_bin.accuracy, "o", color=_BLUE, mfc=face, markersize=5, clip_on=False
        )
    title = f"Reliability: ECE {one.all.ece:.3f} ({one.all.ece_equal_mass:.3f} equal mass)"
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share of right answers", title=title)
    axes.tick_params(labelbottom=False)
    counts.bar(middles, [b.count for b in bins], 0.92 / BINS, color=_GREY)
    counts.set(
        xlabel=f"confidence: {one.source}\n(hollow: fewer than {_LEAST_IN_BIN} answers)", ylabel="answers"
    )


def _draw_risk(axes: Any, one: Confidences) -> None:
    top = 0.0
    for name, colour, width in _PARTS:
        part = getattr(one, name)
        if part is None:
            continue
        coverage = [(index + 1) / part.count for index in range(part.count)]
        axes.plot(coverage, part.risk, color=colour, linewidth=width, label=f"{name}, AURC {part.aurc:.3f}")
        axes.plot(0.8, 1 - part.accuracy_at_80, "o", color=colour, markersize=5)
        top = max(top, float(part.risk[len(part.risk) // 10 :].max()))
    axes.axvline(0.8, color=_GREY, linestyle=":", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, min(1.15 * top + 0.02, 1.02)), title="Risk at each coverage")
    axes.set(xlabel="coverage: share answered, the surest first", ylabel="share of wrong answers")
    axes.legend(frameon=False, loc="upper left")


def _draw_groups(axes: Any, report: Report) -> None:
    rows: list[tuple[str, Score, str]] = [("all", report.overall, _INK)]
    for facet, colour in (("set", _INK), ("answer_type", _INK), ("modality", _BLUE), ("content_type", _RED)):
        values = [
            (value, one)
            for value, one in report.facets[facet].items()
            if value != NOT_STATED and one.questions >= _LEAST_QUESTIONS
        ]
        if len(values) > 1:
            rows += [(value, one, colour) for value, one in values[:_MOST_GROUPS]]
    for place, (_, one, colour) in enumerate(reversed(rows)):
        if one.accuracy is None:
            continue
        axes.barh(place, one.accuracy.value, 0.7, color=colour, alpha=0.35)
        if one.accuracy.low is not None:
            axes.plot([one.accuracy.low, one.accuracy.high], [place, place], color=colour, linewidth=1.6)
        axes.plot(one.accuracy.value, place, "o", color=colour, markersize=4, clip_on=False)
    names = [f"{value}  ({one.questions})" for value, one, _ in reversed(rows)]
    axes.set_yticks(range(len(rows)), names)
    axes.set(xlim=(0, 100), ylim=(-0.6, len(rows) - 0.4), title="Exact match, and its 95 % interval")
    axes.set_xlabel("per cent; blue: modality, red: content type; (questions)")
    axes.tick_params(axis="y", length=0)


def _say_nothing(*pictures: Any) -> None:
    for axes in pictures:
        axes.set_axis_off()
    pictures[0].text(0, 0.6, "No confidence was given:\nthere is nothing to draw here.", color=_INK)
