"""How the plots of a report look; matplotlib is loaded only to draw."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BLUE, RED, GREEN, AMBER, VIOLET, TEAL = "#2f6db3", "#c0504d", "#3f8f5b", "#c97a2b", "#7b4a94", "#57a5a1"
GREY, INK, PALE = "#9aa3ad", "#22272e", "#eef1f4"
_TARGETS = (BLUE, RED, GREEN, AMBER, VIOLET, TEAL)
_STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


@contextmanager
def picture(path: Path, size: tuple[float, float], title: str) -> Iterator[Any]:
    """A figure of so many inches, written to `path` at the end. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context(_STYLE):
        figure = plt.figure(figsize=size, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
        try:
            yield figure
            figure.savefig(path, dpi=130)
        finally:
            plt.close(figure)


def colours_of(document: Mapping[str, Any]) -> dict[str, str]:
    """One for each target, the same in every plot."""
    names = [target["name"] for target in document["targets"]]
    return {name: _TARGETS[at % len(_TARGETS)] for at, name in enumerate(names)}


def plain_numbers(*axes: Any) -> None:
    """Ticks of logarithmic axes as numbers, without exponents; at 1, 2 and 5 where there is room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(_told))
        axis.set_minor_formatter(NullFormatter())


def _told(value: float, _: int) -> str:
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-6 * value else f"{value:.4g}"
