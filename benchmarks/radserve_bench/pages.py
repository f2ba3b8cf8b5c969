"""Pages hold tables between marks, out of declarations and kept results: `python -m radserve_bench.pages` renews them.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from radserve_bench.agreement.sheet import table_of
from radserve_bench.errors import BenchError
from radserve_bench.reporting.metrics import METRICS
from radserve_bench.reporting.places import families
from radserve_bench.reporting.tables import figure_table, heading, ratio_table
from radserve_bench.sizing.reckoning import read_limits
from radserve_bench.sizing.tables import sizing_tables

_RESULTS = Path("benchmarks/results")
_MARKED = re.compile(r"(<!-- table: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Tables = Mapping[str, str]


def renewed(page: Path) -> str:
    """The page's text with today's tables. Raises BenchError for a mark that names no table, or is missing."""
    text, tables = page.read_text("utf-8"), PAGES[page]()
    named = [match["name"] for match in _MARKED.finditer(text)]
    if sorted(named) != sorted(tables):
        raise BenchError(f"{page} must have these tables: {', '.join(tables)}; it has {', '.join(named)}")
    return _MARKED.sub(lambda match: f"{match[1]}\n{tables[match['name']]}\n\n{match[3]}", text)


def _readme() -> Tables:
    """What `radserve bench --quick` said when it was kept, with machine and versions."""
    document = _kept("quick/report.json")
    machine, versions, *_ = heading(document).split("\n\n")
    figures = [figure_table(name, points) for name, points in families(document).items()]
    tables = [table.markdown() for table in (ratio_table(document), *figures)]
    return {"quick": "\n\n".join([f"{machine} {versions}", *tables])}


def _benchmark() -> Tables:
    """One row a figure: its key in report.json, its unit and its formula; and what `radserve bench --scale` said."""
    rows = [f"| `{metric.key}` | {metric.unit} | {metric.formula} |" for metric in METRICS]
    metrics = "\n".join(["| figure | unit | formula |", "| --- | --- | --- |", *rows])
    document = _kept("scale/report.json")
    grown = [figure_table(name, points).markdown() for name, points in families(document).items()]
    return {"metrics": metrics, "scale": "\n\n".join([heading(document).split("\n\n")[0], *grown])}


def _load_tests() -> Tables:
    return {"agreement": table_of(_kept("agreement.json")["rows"]).markdown()}


def _sizing() -> Tables:
    return {name: table.markdown() for name, table in sizing_tables(read_limits()).items()}


def _kept(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((_RESULTS / name).read_text("utf-8"))
    return document


PAGES: Mapping[Path, Callable[[], Tables]] = {
    Path("README.md"): _readme,
    Path("docs/benchmark.md"): _benchmark,
    Path("docs/load-tests.md"): _load_tests,
    Path("docs/sizing.md"): _sizing,
}

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(renewed(page), "utf-8")
