"""`scale.png`: how time to first token and throughput grow with load, images, their size and the answer's length."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_bench.reporting.look import PALE, colours_of, picture
from radserve_bench.reporting.places import Entry, family, figure, kind, load

_ROWS = (
    ("ttft_p50_ms", "TTFT p50, ms"),
    ("tokens_per_s", "tokens/s"),
    ("cpu_s_per_answer", "CPU an answer, s"),
)


@dataclass(frozen=True, slots=True)
class Growth:
    """One thing that grows: what its axis is called, the pattern of the kinds that say it, and what plain ones have."""

    label: str
    pattern: str
    plain: float


GROWTHS = (
    Growth("images a question", r"images=(\d+)", 1),
    Growth("pixels along a side", r"side=(\d+)", 512),
    Growth("tokens an answer", r"(\d+) tokens", 32),
)
_AT_ONCE = Growth("questions at once", "", 1)
_FEWEST = 3


def grown(document: Entry) -> dict[Growth, list[tuple[float, Entry]]]:
    """For each thing that has three values or more: they and their points, of the first family of workloads.

    Nothing where only the load grows: `latency-throughput.png` shows that.
    """
    points = document["points"]
    first = family(points[0]) if points else ""
    mine = [one for one in points if family(one) == first and load(one).kind == "closed"]
    found = {_AT_ONCE: [(load(one).amount, one) for one in mine if not kind(one)]}
    alone = [one for one in mine if load(one).amount == 1]
    for growth in GROWTHS:
        told = [(re.fullmatch(growth.pattern, kind(one)), one) for one in alone]
        values = [(float(match[1]), one) for match, one in told if match]
        found[growth] = values + [(growth.plain, one) for one in alone if not kind(one)] * bool(values)
    drawn = {
        growth: pairs for growth, pairs in found.items() if len({value for value, _ in pairs}) >= _FEWEST
    }
    return drawn if drawn.keys() - {_AT_ONCE} else {}


def draw_scale(document: Entry, path: Path) -> None:
    """A column for each thing that grows, a row for each figure, a line a target."""
    columns = grown(document)
    size = (3.1 * max(2, len(columns)) + 0.6, 7.4)
    with picture(path, size, "What grows with load, images, their size and the length of answers") as drawing:
        grid = drawing.subplots(len(_ROWS), max(1, len(columns)), sharex="col", squeeze=False)
        colours = colours_of(document)
        for column, (growth, pairs) in enumerate(columns.items()):
            for row, (key, label) in enumerate(_ROWS):
                axes = grid[row][column]
                _draw(axes, pairs, key, colours)
                axes.set_ylabel(label if column == 0 else "")
            grid[-1][column].set_xlabel(growth.label)
        handles, labels = grid[0][0].get_legend_handles_labels()
        if len(labels) > 1:
            drawing.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9)


def _draw(axes: Any, pairs: Sequence[tuple[float, Entry]], key: str, colours: Mapping[str, str]) -> None:
    top = 0.0
    for target, colour in colours.items():
        known = [(value, figure(one, key)) for value, one in pairs if one["target"] == target]
        own = sorted((value, found) for value, found in known if found is not None)
        if own:
            top = max(top, *(found for _, found in own))
            axes.plot(
                *zip(*own, strict=True), "-o", color=colour, linewidth=1.8, markersize=4.5, label=target
            )
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, 1.12 * top or 1.0)
    axes.grid(color=PALE, linewidth=1)
    axes.set_axisbelow(True)
    values = sorted({value for value, _ in pairs})
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
