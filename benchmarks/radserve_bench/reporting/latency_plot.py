"""`latency-throughput.png`: what more load buys in tokens a second, and what it costs in time to first token."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from radserve_bench.reporting.labels import LabelledLine, write_labels
from radserve_bench.reporting.look import PALE, colours_of, picture, plain_numbers
from radserve_bench.reporting.places import Entry, families, figure, kind, load

_COLUMNS, _MOST_PANELS = 2, 6
Drawn = tuple[Any, LabelledLine]
_NEEDED = ("ttft_p50_ms", "tokens_per_s")


def draw_latency(document: Entry, path: Path) -> None:
    """A panel a workload, a line a target and kind of load; a whisker leads from the TTFT's p50 to its p95."""
    panels = {
        name: drawn
        for name, points in families(document).items()
        if (drawn := [one for one in points if not kind(one) and _has_both(one)])
    }
    shown = list(panels.items())[:_MOST_PANELS]
    columns = min(_COLUMNS, max(1, len(shown)))
    rows = -(-max(1, len(shown)) // columns)
    size = (5.0 * columns + 1.0 * (columns == 1), 0.7 + 3.6 * rows)
    with picture(path, size, "Time to first token against throughput, as the load grows") as drawing:
        colours = colours_of(document)
        legend: dict[str, Any] = {}
        done = []
        for at, (name, points) in enumerate(shown):
            axes = drawing.add_subplot(rows, columns, at + 1)
            lines = _draw_panel(axes, name, points, colours)
            legend |= {name: handle for name, (handle, _) in lines.items()}
            done.append((axes, [labelled for _, labelled in lines.values()]))
        names, handles = list(legend), list(legend.values())
        drawing.legend(handles, names, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
        drawing.draw_without_rendering()
        for axes, labelled in done:
            write_labels(axes, labelled)


def _has_both(point: Entry) -> bool:
    return all((figure(point, key) or 0.0) > 0 for key in _NEEDED)


def _draw_panel(
    axes: Any, name: str, points: Sequence[Entry], colours: Mapping[str, str]
) -> dict[str, Drawn]:
    """Returns the lines by what the legend calls them, with the labels that they are to have."""
    lines: dict[str, Drawn] = {}
    for target, colour in colours.items():
        for sort, style, face in (("closed", "-", colour), ("open", ":", "white")):
            own = [one for one in points if one["target"] == target and load(one).kind == sort]
            if own:
                label = target if sort == "closed" else f"{target}, open load"
                lines[label] = _draw_line(axes, own, colour, style, face)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.16, y=0.16)
    axes.grid(color=PALE, linewidth=1)
    axes.set_axisbelow(True)
    plain_numbers(axes.xaxis, axes.yaxis)
    axes.set(
        title=name,
        xlabel="tokens/s; labels: askers at once, or visits/s",
        ylabel="TTFT, ms: p50, whisker to p95",
    )
    return lines


def _draw_line(axes: Any, points: Sequence[Entry], colour: str, style: str, face: str) -> Drawn:
    rates = [figure(one, "tokens_per_s") or 0.0 for one in points]
    medians = [figure(one, "ttft_p50_ms") or 0.0 for one in points]
    told = [figure(one, "ttft_p95_ms") or 0.0 for one in points]
    tails = [max(tail, middle) for tail, middle in zip(told, medians, strict=True)]
    axes.vlines(rates, medians, tails, color=colour, linewidth=4, alpha=0.25)
    (line,) = axes.plot(
        rates, medians, style, color=colour, linewidth=1.8, marker="o", markersize=5.5, mfc=face, zorder=3
    )
    labels = [f"{load(one).amount:g}" + ("/s" if load(one).kind == "open" else "") for one in points]
    return line, LabelledLine(list(zip(rates, medians, strict=True)), labels, colour)
