"""`latency-throughput.png`: what more load buys in tokens a second, and what it costs in time to first token."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from radserve_bench.reporting.look import PALE, colours_of, picture, plain_numbers
from radserve_bench.reporting.places import Entry, families, figure, kind, load

_COLUMNS, _MOST_PANELS = 2, 6
_DRAWN = ("ttft_p50_ms", "tokens_per_s")


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
        lines: dict[str, Any] = {}
        for at, (name, points) in enumerate(shown):
            axes = drawing.add_subplot(rows, columns, at + 1)
            lines |= _draw_panel(axes, name, points, colours)
        if lines:
            drawing.legend(
                lines.values(), lines.keys(), loc="outside lower left", ncols=4, frameon=False, fontsize=9
            )


def _has_both(point: Entry) -> bool:
    return all((figure(point, key) or 0.0) > 0 for key in _DRAWN)


def _draw_panel(axes: Any, name: str, points: Sequence[Entry], colours: Mapping[str, str]) -> dict[str, Any]:
    """Returns the lines by what the legend calls them."""
    lines: dict[str, Any] = {}
    for at, (target, colour) in enumerate(colours.items()):
        for sort, style, face in (("closed", "-", colour), ("open", ":", "white")):
            own = [one for one in points if one["target"] == target and load(one).kind == sort]
            if own:
                label = target if sort == "closed" else f"{target}, open load"
                lines[label] = _draw_line(axes, own, colour, style, face, below=at % 2 == 0)
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


def _draw_line(axes: Any, points: Sequence[Entry], colour: str, style: str, face: str, *, below: bool) -> Any:
    rates = [figure(one, "tokens_per_s") or 0.0 for one in points]
    medians = [figure(one, "ttft_p50_ms") or 0.0 for one in points]
    tails = [
        max(figure(one, "ttft_p95_ms") or middle, middle) for one, middle in zip(points, medians, strict=True)
    ]
    axes.vlines(rates, medians, tails, color=colour, linewidth=4, alpha=0.25)
    (line,) = axes.plot(
        rates, medians, style, color=colour, linewidth=1.8, marker="o", markersize=5.5, mfc=face, zorder=3
    )
    for point, rate, middle in zip(points, rates, medians, strict=True):
        told = f"{load(point).amount:g}" + ("/s" if load(point).kind == "open" else "")
        axes.annotate(
            told,
            (rate, middle),
            xytext=(6, -6) if below else (-6, 6),
            textcoords="offset points",
            ha="left" if below else "right",
            va="top" if below else "bottom",
            fontsize=8.5,
            color=colour,
        )
    return line
