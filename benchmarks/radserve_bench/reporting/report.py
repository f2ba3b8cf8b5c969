"""The files of a report."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radserve_bench.metering.roofline import RooflinePoint
from radserve_bench.reporting.plots import PLOTS, draw_plots
from radserve_bench.reporting.roofline_plot import draw_roofline
from radserve_bench.reporting.tables import markdown

DOCUMENT, TABLES = "report.json", "report.md"


def write_report(document: Mapping[str, Any], out: Path) -> None:
    """`report.json`, `report.md`, and plots where matplotlib is installed; says on stderr where they are."""
    out.mkdir(parents=True, exist_ok=True)
    (out / DOCUMENT).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (out / TABLES).write_text(markdown(document), "utf-8")
    for old in {*PLOTS, *(path.name for path in out.glob("roofline*.png"))}:
        (out / old).unlink(missing_ok=True)  # an earlier run's, which this one may not draw again
    try:
        draw_plots(document, out)
        _draw_rooflines(document, out)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print("no plots: pip install 'radserve[eval]'", file=sys.stderr)
    pictures = [*PLOTS, *sorted(path.name for path in out.glob("roofline*.png"))]
    with (out / TABLES).open("a", encoding="utf-8") as tables:
        tables.writelines(f"\n![{name}]({name})\n" for name in pictures if (out / name).exists())
    if cut := document["interrupted"]:
        told = f"{cut['done']} of {cut['planned']} points are finished, and kept"
        print(f"interrupted in {cut['at']}: {told}", file=sys.stderr)
    print(f"written: {out}", file=sys.stderr)


def _draw_rooflines(document: Mapping[str, Any], out: Path) -> None:
    """`roofline.png` of the first target that has one, `roofline-NAME.png` of the others."""
    for number, one in enumerate(document.get("rooflines") or ()):
        limits = one["limits"]
        name = re.sub(r"[^\w.-]+", "-", f"roofline-{one['target']}" if number else "roofline")
        points = [RooflinePoint(**point) for point in one["points"]]
        machine = f"the machine ({limits['source']}): {one['target']}"
        draw_roofline(points, limits["bandwidth"], limits["flops"], machine, out / f"{name}.png")
