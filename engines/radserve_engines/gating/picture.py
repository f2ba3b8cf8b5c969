"""`gate.png`: what the engine lost where, how often it says something else, and whether it still looks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BLUE, _RED, _GREY, _GREEN, _INK = "#2f6db3", "#c0504d", "#9aa3ad", "#3f8f5b", "#22272e"
_STATUS = {"passed": _GREEN, "simulated": _BLUE, "failed": _RED}
_MOST_MODALITIES = 8


def draw_gate(gate: Mapping[str, Any], path: Path) -> None:
    """Three pictures side by side, from the manifest's gate block. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    style = {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11}
    style["text.parse_math"] = False
    with plt.rc_context({**style, "axes.titlelocation": "left", "axes.edgecolor": _GREY}):
        figure, (accuracy, loss, sight) = plt.subplots(
            1, 3, figsize=(14.5, 4.6), layout="constrained", width_ratios=(1.3, 1.1, 1)
        )
        rows = _rows(gate)
        _draw_accuracy(accuracy, rows)
        _draw_loss(loss, rows, gate["thresholds"])
        _draw_sight(sight, gate)
        judged, status = gate["judged"], gate["status"]
        figure.suptitle(
            f"{judged['name']} · {judged['target']} {judged['precision']} · gate: {status}",
            x=0.01,
            ha="left",
            fontsize=12,
            weight="bold",
            color=_STATUS.get(status, _INK),
        )
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _rows(gate: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    named = [("all", gate["overall"]), *list(gate["modalities"].items())[:_MOST_MODALITIES]]
    return [(f"{name}  ({one['questions']})", one) for name, one in reversed(named)]


def _draw_accuracy(axes: Any, rows: list[tuple[str, Mapping[str, Any]]]) -> None:
    for place, (_, one) in enumerate(rows):
        for shift, name, colour in ((0.17, "other_accuracy", _GREY), (-0.17, "accuracy", _BLUE)):
            _draw_estimate(axes, place + shift, one[name], colour, bar=0.32)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(xlim=(0, 100), title="Accuracy: checkpoint (grey) and engine (blue)", xlabel="per cent")
    axes.tick_params(axis="y", length=0)


def _draw_loss(axes: Any, rows: list[tuple[str, Mapping[str, Any]]], thresholds: Mapping[str, float]) -> None:
    last = len(rows) - 1
    for place, (_, one) in enumerate(rows):
        judged = place == last or one["questions"] >= thresholds["modality_questions"]
        most = thresholds["overall_points" if place == last else "modality_points"]
        _draw_estimate(axes, place, one["difference"], _BLUE if judged else _GREY)
        if judged:
            axes.plot([-most, -most], [place - 0.35, place + 0.35], color=_RED, linewidth=2)
    axes.axvline(0, color=_GREY, linewidth=1)
    axes.set_yticks(range(len(rows)), [""] * len(rows))
    axes.set(title="Gained or lost; red: the most that may be", xlabel="points, and their 95 % interval")
    axes.tick_params(axis="y", length=0)


def _draw_sight(axes: Any, gate: Mapping[str, Any]) -> None:
    least = gate["thresholds"]["sensitivity_share"]
    bars: list[tuple[str, Any, str, float | None]] = []
    for condition, sight in gate["sensitivity"].items():
        theirs = sight["reference"]["changed"]
        bars.append((f"{condition}: checkpoint", theirs, _GREY, None))
        bars.append(
            (f"{condition}: engine", sight["engine"]["changed"], _BLUE, theirs and least * theirs["value"])
        )
    bars.append(("flips", gate["overall"]["flipped"], _INK, gate["thresholds"]["flips_percent"]))
    for place, (_, one, colour, bound) in enumerate(reversed(bars)):
        _draw_estimate(axes, place, one, colour, bar=0.6)
        if bound is not None:
            axes.plot([bound, bound], [place - 0.4, place + 0.4], color=_RED, linewidth=2)
    axes.set_yticks(range(len(bars)), [name for name, *_ in reversed(bars)])
    axes.set(xlim=(0, 100), title="Answers that change", xlabel="per cent; red: the bounds")
    axes.tick_params(axis="y", length=0)


def _draw_estimate(
    axes: Any, place: float, one: Mapping[str, float | None] | None, colour: str, *, bar: float = 0.0
) -> None:
    if one is None:
        return
    if bar:
        axes.barh(place, one["value"], bar, color=colour, alpha=0.35)
    if one["low"] is not None:
        axes.plot([one["low"], one["high"]], [place, place], color=colour, linewidth=1.6)
    axes.plot(one["value"], place, "o", color=colour, markersize=4, clip_on=False)
