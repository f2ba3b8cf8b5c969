"""Tables that pages hold between marks, out of declarations and results: `python -m radserve_bench.reporting.pages`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from radserve_bench.reporting.metrics import METRICS
from radserve_bench.reporting.tables import figure_table, heading, ratio_table

RESULTS = Path("benchmarks/results")


def metric_table() -> str:
    """One row a figure: its key in report.json, its unit and its formula."""
    rows = [f"| `{metric.key}` | {metric.unit} | {metric.formula} |" for metric in METRICS]
    return "\n".join(["| figure | unit | formula |", "| --- | --- | --- |", *rows])


def quick_tables() -> str:
    """The ratio table of `radserve bench --quick` as it was kept, with machine and versions, and its figures."""
    document: Mapping[str, Any] = json.loads((RESULTS / "quick" / "report.json").read_text("utf-8"))
    machine, versions, *_ = heading(document).split("\n\n")
    tables = [ratio_table(document).markdown(), figure_table("ct-slice", document["points"]).markdown()]
    return "\n\n".join([f"{machine} {versions}", *tables])


PAGES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    Path("docs/benchmark.md"): {"metrics": metric_table},
    Path("README.md"): {"quick": quick_tables},
}


def renewed(page: Path) -> str:
    """The page's text with today's tables between its marks. Raises ValueError for a page without them."""
    text = page.read_text("utf-8")
    for name, table in PAGES[page].items():
        opening, closing = (
            f"<!-- {name}: python -m radserve_bench.reporting.pages -->\n",
            f"<!-- end of {name} -->",
        )
        before, _, rest = text.partition(opening)
        _, mark, after = rest.partition(closing)
        if not mark:
            raise ValueError(f"{page} has lost the marks of {name}")
        text = f"{before}{opening}\n{table()}\n\n{closing}{after}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(renewed(page), "utf-8")
