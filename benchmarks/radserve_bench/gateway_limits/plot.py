"""`gateway-limits.png`: a core under streams, what a question costs it, and how two gateways add up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radserve_bench.gateway_limits.tables import alone, rows_by_cost, with_full_cores
from radserve_bench.reporting.look import AMBER, BLUE, GREY, INK, PALE, picture

Entry = Mapping[str, Any]
_SMALL = 8.5


def draw(document: Entry, path: Path) -> None:
    """Three panels. Raises ImportError without matplotlib."""
    with picture(path, (12.5, 4.6), "What one core of the gateway carries") as figure:
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.0, 1.35, 0.75))
        _draw_streams(left, document)
        _draw_questions(middle, document)
        _draw_replicas(right, document)


def _draw_streams(axes: Any, document: Entry) -> None:
    """How full the core is, by how many tokens a second are due."""
    rows = document["streams"]
    due = [row["due_per_s"] for row in rows]
    axes.plot(due, [100 * row["cores"] for row in rows], "o-", color=BLUE, linewidth=1.8)
    for row, at in zip(rows, due, strict=True):
        place = (at, 100 * row["cores"])
        told = f"{row['cpu_us_per_event']['median']:.0f} µs"
        axes.annotate(told, place, (5, -12), textcoords="offset points", fontsize=_SMALL)
    axes.axhline(100, color=GREY, linewidth=1)
    axes.text(0, 101, "the core is full", color=INK, fontsize=_SMALL, va="bottom")
    axes.set(xlim=(0, max(due) * 1.14), ylim=(0, 112))
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set(xlabel="tokens due a second, all streams", ylabel="per cent of the core")
    _dress(axes, "Streaming, and CPU time of an event", "both")


def _draw_questions(axes: Any, document: Entry) -> None:
    """A bar a kind of study; what decodes wavelets stands out."""
    from matplotlib.patches import Patch

    rows = rows_by_cost(document)
    places = range(len(rows))
    costs = [row["cpu_ms"]["median"] for row in rows]
    colours = [AMBER if "j2k" in row["key"] else BLUE for row in rows]
    axes.barh(places, costs, color=colours, height=0.62)
    for place, row, cost in zip(places, rows, costs, strict=True):
        told = f" {_plain(cost)} ms, {_plain(row['questions_per_s']['median'])}/s"
        axes.text(cost, place, told, va="center", fontsize=_SMALL, color=INK)
    axes.set_yticks(places, [row["name"] for row in rows])
    axes.set_xscale("log")
    axes.set_xlim(min(costs) / 1.5, max(costs) * 9)
    axes.set_xticks((1, 10, 100, 1000), ("1", "10", "100", "1,000"))
    axes.minorticks_off()
    axes.legend(
        handles=[Patch(color=AMBER, label="JPEG 2000"), Patch(color=BLUE, label="others")],
        frameon=False,
        fontsize=_SMALL,
        loc="lower right",
    )
    axes.set_xlabel("CPU ms a question (logarithmic), and questions a second")
    _dress(axes, "A question, by what the study is made of", "x")


def _draw_replicas(axes: Any, document: Entry) -> None:
    """Questions a second of two gateways, in multiples of one, and what it would be with full cores."""
    rows = document["replicas"]
    if not rows:
        axes.set_axis_off()
        return
    for place, row in enumerate(rows):
        one = alone(document, row["key"])["questions_per_s"]["median"]
        times = row["questions_per_s"]["median"] / one
        axes.bar((place - 0.19, place + 0.19), (1.0, times), width=0.34, color=(GREY, BLUE))
        for at, many in ((place - 0.19, 1.0), (place + 0.19, times)):
            told = f"{many:.2f} ×\n{_plain(many * one)}/s"
            axes.text(at, many - 0.03, told, ha="center", va="top", fontsize=_SMALL, color="white")
        full = with_full_cores(alone(document, row["key"]), row)
        axes.plot((place + 0.02, place + 0.36), (full, full), color=INK, linewidth=1.4)
        axes.text(place + 0.38, full, f"{full:.2f} ×,\ncores full", va="center", fontsize=_SMALL, color=INK)
    axes.axhline(2, color=GREY, linewidth=1)
    axes.set_xticks(range(len(rows)), [row["name"].replace(", ", ",\n") for row in rows])
    axes.set(ylim=(0, 2.4), xlim=(-0.6, len(rows) - 0.2), ylabel="questions a second, one gateway = 1")
    _dress(axes, "One gateway, and two", "y")


def _dress(axes: Any, title: str, grid: str) -> None:
    axes.set_title(title)
    axes.grid(axis=grid, color=PALE, linewidth=1)
    axes.set_axisbelow(True)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"
