"""`ttft.png`: how many answers have begun after how long."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from radserve_bench.record import Load
from radserve_bench.reporting.look import INK, PALE, colours_of, picture, plain_numbers
from radserve_bench.reporting.places import Entry, families, kind, load
from radserve_bench.reporting.slo import Slo

_COLUMNS, _MOST_PANELS = 2, 6
_STYLES = ("-", "--", "-.", ":")
"""As many loads are drawn in a panel: the least, the most, and those between them evenly."""

_PANEL_IN, _LETTER_IN, _HANDLE_IN = 5.0, 0.07, 0.5
"""Inches: a panel's width; a letter of its legend; the line before a name."""


def draw_ttft(document: Entry, path: Path) -> None:
    """A panel a workload; a curve a target (colour) and load (line), from the 1st to the 99th per cent."""
    panels = {
        name: drawn
        for name, points in families(document).items()
        if (drawn := [one for one in points if not kind(one) and one["ttft_quantiles_ms"]])
    }
    shown = list(panels.items())[:_MOST_PANELS]
    columns = min(_COLUMNS, max(1, len(shown)))
    rows = -(-max(1, len(shown)) // columns)
    size = (5.0 * columns + 1.0 * (columns == 1), 0.5 + 3.9 * rows)
    bound = Slo(**document["slo"]).ttft_ms
    with picture(path, size, "Answers that have begun, after how long") as drawing:
        for at, (name, points) in enumerate(shown):
            axes = drawing.add_subplot(rows, columns, at + 1)
            _draw_panel(axes, name, points, colours_of(document), bound)


def _draw_panel(
    axes: Any, name: str, points: Sequence[Entry], colours: Mapping[str, str], bound: float | None
) -> None:
    loads = _chosen(list(dict.fromkeys(load(one) for one in points)))
    for point in (one for one in points if load(one) in loads):
        style = _STYLES[loads.index(load(point))]
        label = f"{point['target']}, {load(point)}"
        shares = range(1, len(point["ttft_quantiles_ms"]) + 1)
        axes.plot(
            point["ttft_quantiles_ms"],
            shares,
            style,
            color=colours[point["target"]],
            linewidth=1.8,
            label=label,
        )
    if bound is not None:
        axes.axvline(bound, color=INK, linewidth=1)
        axes.text(bound, 101, f"SLO {bound:g} ms", color=INK, fontsize=8.5, ha="center", va="bottom")
    axes.set_xscale("log")
    axes.grid(color=PALE, linewidth=1)
    axes.set_axisbelow(True)
    plain_numbers(axes.xaxis)
    axes.set(ylim=(0, 100), xlabel="TTFT, ms", ylabel="per cent of answers")
    axes.set_title(name, pad=16 if bound is not None else 6)
    axes.legend(
        frameon=False,
        fontsize=8.5,
        handlelength=2.6,
        columnspacing=1.2,
        loc="upper left",
        bbox_to_anchor=(-0.08, -0.15),
        ncols=_legend_columns(axes, len(loads)),
    )


def _legend_columns(axes: Any, loads: int) -> int:
    """As many as fit under a panel: names of targets may be long."""
    longest = max((len(name) for name in axes.get_legend_handles_labels()[1]), default=0)
    return max(1, min(3, loads, int(_PANEL_IN / (_LETTER_IN * longest + _HANDLE_IN))))


def _chosen(loads: Sequence[Load]) -> list[Load]:
    last = len(loads) - 1
    if last < len(_STYLES):
        return list(loads)
    return [loads[round(at * last / (len(_STYLES) - 1))] for at in range(len(_STYLES))]
