"""A plan as a picture: how full each GPU gets, and decode tokens/s against the answers in flight."""

from pathlib import Path
from typing import Any

from radserve_engines.planning.fitting import Plan, Row
from radserve_engines.planning.gpus import GPUS
from radserve_engines.planning.memory import GIB
from radserve_engines.planning.roofline import EXPECTED, Roofline
from radserve_engines.planning.tables import billions

_GREY, _INK, _PALE, _RED = "#9aa3ad", "#22272e", "#f1f3f5", "#c0504d"
_STACK = (
    ("weights", "#2f6db3"),
    ("KV cache", "#57a5a1"),
    ("activations", "#e0a63f"),
    ("CUDA, graphs, reserve", "#b7bec6"),
)
_COLOURS = ("#7a9a3b", "#3f6b34", "#2f6db3", "#173f6e", "#e0a63f", "#c97a2b", "#7b4a94")
_BOUND, _GAP, _LABEL_STEP = 145.0, 0.7, 0.062
End = tuple[int, float, str, str]


def draw_plan(plan: Plan, path: Path) -> None:
    """Memory on the left, speed on the right. Raises ImportError without matplotlib, OSError for the path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    style = {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11}
    style["text.parse_math"] = False  # a folder may have $ in its name
    names = [name for name in dict.fromkeys(row.precision.name for row in plan.rows) if _running(plan, name)][
        :2
    ]
    height = max(5.0, 1.6 + 0.27 * len(plan.rows))
    with plt.rc_context({**style, "axes.titlelocation": "left", "axes.edgecolor": _GREY}):
        figure = plt.figure(figsize=(14.5, height), layout="constrained")
        grid = figure.add_gridspec(max(1, len(names)), 2, width_ratios=(1.35, 1))
        _draw_memory(figure.add_subplot(grid[:, 0]), plan)
        shared, drawn = None, []
        for at, name in enumerate(names):
            shared = figure.add_subplot(grid[at, 1], sharex=shared, sharey=shared)
            drawn.append((shared, _draw_speed(shared, plan, name, last=at == len(names) - 1)))
        for axes, ends in drawn:  # once the shared axes have their last limits
            _label_ends(axes, ends)
        question = plan.question
        asked = f"{question.batch} at once, {question.prompt:,} tokens in, {question.answer:,} out"
        title = (
            f"{plan.size.name}, {billions(plan.size.parameters)} parameters · {asked}, KV in {question.kv}"
        )
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold", color=_INK)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _draw_memory(axes: Any, plan: Plan) -> None:
    place, ticks, previous = 0.0, [], ""
    for row in plan.rows:
        if row.gpu.name != previous:
            place += _GAP if previous else 0.0
            count = sum(other.gpu.name == row.gpu.name for other in plan.rows)
            axes.barh(place + (count - 1) / 2, 100, count + 0.25, color=_PALE, zorder=0)
            title = f"{row.gpu.name}\n{row.gpu.memory / GIB:.1f} GiB"
            axes.text(-18, place + (count - 1) / 2, title, ha="right", va="center", weight="bold", color=_INK)
            previous = row.gpu.name
        ticks.append((place, row.precision.name))
        _draw_bar(axes, row, place)
        place += 1
    axes.plot([100, 100], [-0.6, place - 0.4], color=_INK, linewidth=0.8, linestyle=":", zorder=1)
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], color=_INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set(xlim=(0, _BOUND), ylim=(place - 0.3, -1.5), title="Memory on each GPU, by precision")
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("per cent of the GPU's memory", x=50 / _BOUND)
    axes.spines["bottom"].set_bounds(0, 100)
    handles = [axes.barh(0, 0, color=colour, label=name) for name, colour in _STACK]
    axes.legend(
        handles=handles, frameon=False, ncols=4, loc="upper left", borderaxespad=0.1, handlelength=1.2
    )


def _draw_bar(axes: Any, row: Row, place: float) -> None:
    """The stack, and beside it what it means: GPUs, memory and most at once, or in red what is missing."""
    memory = row.memory
    if memory is None:
        said = (row.reason or "").split(": ", 1)[-1]
        axes.text(1, place, said, va="center", fontsize=8.5, style="italic", color=_GREY)
        return
    parts = (memory.weights, memory.kv, memory.activations, memory.workspace + memory.reserve)
    left = 0.0
    for size, (_, colour) in zip(parts, _STACK, strict=True):
        width = min(100 * size / memory.capacity, 100 - left)
        axes.barh(place, width, 0.74, left=left, color=colour, zorder=2)
        left += width
    if row.reason:
        axes.barh(place, left, 0.74, color="none", edgecolor=_RED, linewidth=1.3, zorder=3)
        said = row.reason.split(";")[0].removeprefix("does not fit: ")
    else:
        gpus = f"{row.tensor_parallel} GPUs · " if (row.tensor_parallel or 1) > 1 else ""
        said = f"{gpus}{memory.needed / GIB:.1f} GiB · {row.most:,} at most"
    axes.text(102, place, said, va="center", fontsize=8.5, color=_RED if row.reason else _INK)


def _draw_speed(axes: Any, plan: Plan, precision: str, last: bool) -> list[End]:
    """Returns where each line ends, with its name and colour."""
    order = list(GPUS)
    ends = []
    for row in _running(plan, precision):
        roofline = Roofline(
            plan.size, row.gpu, row.precision, plan.question, row.tensor_parallel or 1, EXPECTED
        )
        batches = sorted({row.most, *(2**power for power in range(row.most.bit_length()))})
        speeds = [roofline.tokens_per_second(batch) for batch in batches]
        colour = _COLOURS[order.index(row.gpu.name) % len(_COLOURS)]
        axes.plot(batches, speeds, color=colour, linewidth=1.8)
        axes.plot(batches[-1], speeds[-1], "o", color=colour, markersize=4.5)
        gpus = f"{row.tensor_parallel} × " if (row.tensor_parallel or 1) > 1 else ""
        ends.append((batches[-1], speeds[-1], f"{gpus}{row.gpu.name}", colour))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.axvline(plan.question.batch, color=_GREY, linestyle=":", linewidth=1)
    axes.grid(axis="y", color=_PALE, linewidth=1)
    axes.set_axisbelow(True)
    from matplotlib.ticker import FuncFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set(title=f"Decoding to expect in {precision}", ylabel="tokens/s of one engine")
    if last:
        axes.set_xlabel("answers in flight (dot: the most that fit; dotted: as asked)")
    else:
        axes.tick_params(labelbottom=False)
    return ends


def _label_ends(axes: Any, ends: list[End]) -> None:
    """Names in a column right of the axes, each at its line's end or pushed clear of the one below."""
    axes.figure.canvas.draw()
    inverse = axes.transAxes.inverted()
    lowest = -1.0
    for batch, speed, name, colour in sorted(ends, key=lambda end: end[1]):
        at = max(inverse.transform(axes.transData.transform((batch, speed)))[1], lowest + _LABEL_STEP)
        axes.text(
            1.01, at, name, transform=axes.transAxes, color=colour, va="center", fontsize=9, weight="bold"
        )
        lowest = at


def _running(plan: Plan, precision: str) -> list[Row]:
    return [row for row in plan.rows if row.precision.name == precision and row.reason is None]
