"""`roofline.png`: what was computed a second against what memory and arithmetic allow (Williams et al. 2009)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from radserve_bench.reporting.labels import LabelledLine, write_labels
from radserve_bench.reporting.look import AMBER, BLUE, INK, PALE, picture, plain_numbers

_ROOM_BELOW = 0.2
"""Of the height from the lowest point to the top, for labels below points."""

_ABOVE = "\nAbove 100 %: in narrower numbers than the limit's, or the limit was measured on a busy machine"
_WORD = 6.0
"""The name of the arithmetic roof stands over so-many-fold of the intensities from the ridge on."""


class Limited(Protocol):
    """A measured phase, as `radserve_bench.metering.roofline` gives it."""

    @property
    def name(self) -> str: ...

    @property
    def intensity_flop_per_byte(self) -> float: ...

    @property
    def achieved_flops(self) -> float: ...

    @property
    def limit_flops(self) -> float: ...

    @property
    def share(self) -> float: ...


def draw_roofline(
    points: Sequence[Limited], bytes_per_s: float, flops: float, machine: str, path: Path
) -> None:
    """`bytes_per_s` and `flops` are the machine's limits; each point is labelled with its share of what it may reach.

    Points whose name begins with "prefill" or "vision" are drawn in another colour than those of decode.
    """
    unit, name = (1e12, "TFLOP/s") if flops >= 1e13 else (1e9, "GFLOP/s")
    with picture(path, (8.2, 5.0), f"Measured against the limits of {machine}") as drawing:
        axes = drawing.add_subplot()
        ridge = flops / bytes_per_s
        intensities = [one.intensity_flop_per_byte for one in points] or [ridge]
        low, high = min(*intensities, ridge) / 6, max(*intensities, ridge) * 4
        roof = [low * bytes_per_s / unit, flops / unit, flops / unit]
        axes.plot([low, ridge, high], roof, color=INK, linewidth=1.6, zorder=2)
        for point in points:
            colour = _colour(point)
            x, y = point.intensity_flop_per_byte, point.achieved_flops / unit
            axes.vlines(x, y, point.limit_flops / unit, color=colour, linewidth=1, alpha=0.4)
            axes.plot(x, y, "o", color=colour, markersize=6, zorder=3)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low, high)
        heights = [one.achieved_flops for one in points] or [flops]
        lowest, top = min(*heights, flops), 2.2 * max(*heights, flops)
        axes.set_ylim(lowest * (lowest / top) ** _ROOM_BELOW / unit, top / unit)
        axes.grid(color=PALE, linewidth=1)
        axes.set_axisbelow(True)
        plain_numbers(axes.xaxis, axes.yaxis)
        above = _ABOVE if any(one.share > 1 for one in points) else ""
        axes.set(xlabel=f"FLOP for each byte read from memory{above}", ylabel=name)
        memory, arithmetic = (
            f"memory: {bytes_per_s / 1e9:,.0f} GB/s",
            f"arithmetic: {flops / unit:,.0f} {name}",
        )
        _write(axes, memory, (ridge, flops / unit), INK, (-6, 5), ha="right", va="bottom")
        _write(axes, arithmetic, (ridge, flops / unit), INK, (6, 5), ha="left", va="bottom")
        drawing.draw_without_rendering()  # the axes are where they stay
        corners = list(zip([low, ridge, high], roof, strict=True))
        word = [(ridge, 1.15 * flops / unit), (_WORD * ridge, 1.15 * flops / unit)]
        obstacles = [LabelledLine(line, [""] * len(line), INK) for line in (corners, word)]
        write_labels(axes, [*obstacles, *(_labelled(point, unit) for point in points)])


def _labelled(point: Limited, unit: float) -> LabelledLine:
    """From its limit down to what was reached, with the share that this is."""
    x = point.intensity_flop_per_byte
    ends = [(x, point.limit_flops / unit), (x, point.achieved_flops / unit)]
    return LabelledLine(ends, ["", f"{point.name}: {100 * point.share:.0f} %"], _colour(point))


def _colour(point: Limited) -> str:
    return AMBER if point.name.startswith(("prefill", "vision")) else BLUE


def _write(
    axes: Any, told: str, where: tuple[float, float], colour: str, shift: tuple[int, int], **more: Any
) -> None:
    axes.annotate(told, where, xytext=shift, textcoords="offset points", fontsize=8.5, color=colour, **more)
