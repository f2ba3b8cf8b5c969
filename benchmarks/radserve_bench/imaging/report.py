"""The imaging benchmark's figures, judged against its bars, as Markdown, JSON and a plot."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

WINDOW_ROW = "window + resize"

_VERSIONS = (
    "radserve",
    "pydicom",
    "numpy",
    "pillow",
    "imagecodecs",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "pyjpegls",
)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one side: median, least and greatest."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Times":
        """Of all repeats."""
        return cls(round(statistics.median(values), 2), round(min(values), 2), round(max(values), 2))


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; `size` in bytes, `apart` in grey levels: how far the two pictures are from each other."""

    picture: str
    measured: str
    size: int
    ours: Times
    theirs: Times
    apart: float

    @property
    def ratio(self) -> float:
        """How many times faster than the baseline, by the medians."""
        return round(self.theirs.median / self.ours.median, 2)

    def line(self) -> str:
        """For the terminal."""
        return (
            f"{self.picture:<16} {self.measured:<24} {self.ours.median:>8.2f} ms {self.theirs.median:>8.2f} ms "
            f"{self.ratio:>6.2f} ×"
        )


@dataclass(frozen=True, slots=True)
class Bar:
    """What was asked for, what was measured, and whether that is enough."""

    name: str
    asked: str
    measured: float
    met: bool


def judge(rows: Sequence[Row]) -> list[Bar]:
    """All bars that these rows can tell of."""
    whole = [row for row in rows if row.measured != WINDOW_ROW]
    bars = []
    if whole:
        mean = round(statistics.geometric_mean([row.ratio for row in whole]), 2)
        least = min(row.ratio for row in rows)
        bars.append(Bar("geometric mean of the ratios", "≥ 2", mean, mean >= 2))
        bars.append(Bar("least ratio", "≥ 0.9", least, least >= 0.9))
    for row in rows:
        if (row.picture, row.measured) == ("X-ray 15 bit", WINDOW_ROW):
            bars.append(Bar("window + resize of the 10 MB X-ray", "≥ 5", row.ratio, row.ratio >= 5))
        if row.measured == "explicit little endian" and row.picture in ("CT 16 bit", "X-ray 15 bit"):
            limit = 3.0 if row.picture == "CT 16 bit" else 20.0
            median = row.ours.median
            bars.append(Bar(f"{row.picture}, uncompressed, ms", f"< {limit:g}", median, median < limit))
    return bars


def make_document(rows: Sequence[Row], threads: float) -> dict[str, Any]:
    """The JSON document; `threads` is processor time over wall time, 1 where one thread worked."""
    return {
        "bars": [asdict(bar) for bar in judge(rows)],
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "processor time / wall time": round(threads, 2),
        "machine": {"processor": _processor(), "system": platform.system(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}},
    }


def save(document: dict[str, Any], rows: Sequence[Row], folder: Path) -> None:
    """Write imaging.json, imaging.md and imaging.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "imaging.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    (folder / "imaging.md").write_text(_markdown(document, rows))
    _plot(rows, folder / "imaging.png")


def _markdown(document: dict[str, Any], rows: Sequence[Row]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    lines = [
        "# From a DICOM file's bytes to what the model sees, against plain pydicom",
        "",
        f"One thread of {document['machine']['processor']}; medians in ms, least and greatest in brackets. {versions}.",
        "Made by `make imaging-bench`; how and why: `benchmarks/radserve_bench/imaging/comparing.py`.",
        "",
        "| picture | measured | MB | radserve | pydicom | times faster |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.picture} | {row.measured} | {row.size / 1e6:.2f} | {_cell(row.ours)} | {_cell(row.theirs)} "
        f"| {row.ratio:.2f} |"
        for row in rows
    ]
    lines += ["", "| bar | asked | measured | met |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {bar.name} | {bar.asked} | {bar.measured:g} | {'yes' if bar.met else '**no**'} |"
        for bar in judge(rows)
    ]
    return "\n".join([*lines, ""])


def _cell(times: Times) -> str:
    return f"{times.median:.2f} ({times.min:.2f}–{times.max:.2f})"


def _plot(rows: Sequence[Row], path: Path) -> None:
    """Two bars a row on a logarithmic axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    for times, shift, colour, name in (
        ([row.theirs.median for row in rows], -0.2, "#b8b8b8", "pydicom"),
        ([row.ours.median for row in rows], 0.2, "#1f6f8b", "radserve"),
    ):
        axes.barh([place + shift for place in places], times, height=0.4, color=colour, label=name)
    for place, row in zip(places, rows, strict=True):
        axes.annotate(
            f" {row.ratio:.1f} ×", (max(row.ours.median, row.theirs.median), place), va="center", fontsize=8
        )
    axes.set_yticks(list(places), [f"{row.picture}, {row.measured}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.08, y=0.01)
    axes.set_xlabel("ms from the file's bytes to 448 × 448 px RGB, one thread (logarithmic)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
