"""`split.png`: where an answer's time goes, stage by stage."""

from pathlib import Path
from typing import Any

from radserve_bench.record import STAGES
from radserve_bench.reporting.look import INK, picture
from radserve_bench.reporting.places import Entry, families, load
from radserve_bench.reporting.samples import OTHER

_COLOURS = dict(
    zip(
        (*STAGES, OTHER),
        (
            "#173f6e",  # upload, fetch: what the network does
            "#2f6db3",
            "#8fb4de",
            "#57a5a1",  # image, render: what the gateway computes
            "#a8d0cd",
            "#d9cfe3",
            "#c0504d",  # queue
            "#c97a2b",  # vision, prefill, decode: what the engine computes
            "#e0a63f",
            "#f0d292",
            "#d5d9de",
        ),
        strict=True,
    )
)
_DARK = {"upload", "fetch", "image", "queue", "vision"}
_LEAST_SHARE = 0.03


def draw_split(document: Entry, path: Path) -> None:
    """A bar a load and target, under its workload; shares of the mean time, with milliseconds written in."""
    groups = {
        name: told
        for name, points in families(document).items()
        if (told := [one for one in points if one["split_ms"]])
    }
    bars = sum(len(points) for points in groups.values())
    height = 1.5 + 0.34 * bars + 0.5 * len(groups)
    with picture(
        path, (10.0, height), "Where an answer's time goes: stages as shares of its mean, written in ms"
    ) as drawing:
        axes = drawing.add_subplot()
        place, ticks = 0.0, []
        for name, points in groups.items():
            axes.text(0, place - 0.05, name, va="center", weight="bold", color=INK)
            place += 0.75
            for point in points:
                ticks.append((place, _named(point)))
                _draw_bar(axes, point["split_ms"], place)
                place += 1
            place += 0.35
        axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set(xlim=(0, 100), ylim=(place - 0.6, -0.6))
        axes.set_xticks([])
        seen = {stage for points in groups.values() for one in points for stage in one["split_ms"]}
        handles = [axes.barh(0, 0, color=_COLOURS[stage], label=stage) for stage in _COLOURS if stage in seen]
        drawing.legend(
            handles=handles,
            loc="outside lower left",
            ncols=11,
            frameon=False,
            fontsize=9,
            handlelength=1,
            columnspacing=1.2,
        )


def _named(point: Entry) -> str:
    return f"{point['workload'].partition(' ')[2]} {point['target']}, {load(point)}".strip()


def _draw_bar(axes: Any, split: Entry, place: float) -> None:
    total = sum(split.values())
    left = 0.0
    for stage, colour in _COLOURS.items():
        width = max(0.0, split.get(stage, 0.0) / total) if total > 0 else 0.0
        if not width:
            continue
        axes.barh(place, 100 * width, 0.78, left=left, color=colour, edgecolor="white", linewidth=0.5)
        if width >= _LEAST_SHARE:
            ink = "white" if stage in _DARK else INK
            told = f"{split[stage]:,.1f}" if split[stage] < 100 else f"{split[stage]:,.0f}"
            axes.text(left + 50 * width, place, told, ha="center", va="center", fontsize=8, color=ink)
        left += 100 * width
    axes.text(101, place, f"{total:,.0f} ms", va="center", fontsize=9, color=INK, clip_on=False)
