"""`roofline.png`: what was computed a second against what memory and arithmetic allow (Williams et al. 2009)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from radserve_bench.reporting.look import AMBER, BLUE, GREY, INK, PALE, picture


class Limited(Protocol):
    """A measured phase, as `radserve_bench.metering.roofline` gives it."""

    @property
    def name(self) -> str: ...

    @property
    def intensity_flop_per_byte(self) -> float: ...

    @property
    def achieved_flops(self) -> float: ...

    @property
    def share(self) -> float: ...


def draw_roofline(
    points: Sequence[Limited], bytes_per_s: float, flops: float, machine: str, path: Path
) -> None:
    """`bytes_per_s` and `flops` are the machine's limits; each point is labelled with its share of what it may reach.

    Points whose name begins with "prefill" or "vision" are drawn in another colour than those of decode.
    """
    with picture(path, (7.6, 4.9), f"Roofline of {machine}") as drawing:
        axes = drawing.add_subplot()
        ridge = flops / bytes_per_s
        intensities = [one.intensity_flop_per_byte for one in points] or [ridge]
        low, high = min(*intensities, ridge) / 3, max(*intensities, ridge) * 5
        axes.plot([low, ridge, high], [low * bytes_per_s, flops, flops], color=INK, linewidth=1.6)
        axes.axvline(ridge, color=GREY, linestyle=":", linewidth=1)
        for at, point in enumerate(points):
            _draw_point(axes, point, at)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low, high)
        axes.grid(color=PALE, linewidth=1)
        axes.set_axisbelow(True)
        axes.set(xlabel="FLOP for each byte read from memory", ylabel="FLOP/s")
        _label_limits(axes, low, ridge, high, bytes_per_s, flops)


def _draw_point(axes: Any, point: Limited, at: int) -> None:
    colour = AMBER if point.name.startswith(("prefill", "vision")) else BLUE
    where = (point.intensity_flop_per_byte, point.achieved_flops)
    axes.plot(*where, "o", color=colour, markersize=6, zorder=3)
    axes.annotate(
        f"{point.name}: {100 * point.share:.0f} %",
        where,
        xytext=(8, -3),
        textcoords="offset points",
        va="top",
        fontsize=8.5,
        color=colour,
    )


def _label_limits(axes: Any, low: float, ridge: float, high: float, bytes_per_s: float, flops: float) -> None:
    axes.annotate(
        f"{flops / 1e9:,.0f} GFLOP/s", (high, flops), xytext=(-4, 5), textcoords="offset points", ha="right"
    )
    middle = (low * ridge) ** 0.5
    axes.annotate(
        f"{bytes_per_s / 1e9:,.0f} GB/s",
        (middle, middle * bytes_per_s),
        xytext=(-6, 6),
        textcoords="offset points",
        ha="right",
    )
