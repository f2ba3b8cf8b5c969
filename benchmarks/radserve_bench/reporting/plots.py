"""All plots of a document."""

from collections.abc import Callable
from pathlib import Path

from radserve_bench.reporting.latency_plot import draw_latency
from radserve_bench.reporting.places import Entry
from radserve_bench.reporting.scale_plot import draw_scale, grown
from radserve_bench.reporting.split_plot import draw_split
from radserve_bench.reporting.ttft_plot import draw_ttft

SCALE = "scale.png"
_PLOTS: dict[str, Callable[[Entry, Path], None]] = {
    "latency-throughput.png": draw_latency,
    "ttft.png": draw_ttft,
    "split.png": draw_split,
}
PLOTS = (*_PLOTS, SCALE)


def draw_plots(document: Entry, folder: Path) -> list[Path]:
    """Writes those that there are points for. Raises ImportError without matplotlib, OSError for the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    answered = [point for point in document["points"] if point["answered"]]
    drawn = []
    for name, draw in _PLOTS.items():
        if answered and (draw is not draw_split or any(point["split_ms"] for point in answered)):
            draw(document, folder / name)
            drawn.append(folder / name)
    if grown(document):
        draw_scale(document, folder / SCALE)
        drawn.append(folder / SCALE)
    return drawn
