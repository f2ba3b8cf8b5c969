"""The table of figures in docs/benchmark.md, from their declarations: `python -m radserve_bench.reporting.definitions`."""

from pathlib import Path

from radserve_bench.reporting.metrics import METRICS

PAGE = Path("docs/benchmark.md")
OPENING, CLOSING = "<!-- metrics: python -m radserve_bench.reporting.definitions -->\n", "<!-- end -->"


def metric_table() -> str:
    """One row a figure: its key in report.json, its unit and its formula."""
    rows = [f"| `{metric.key}` | {metric.unit} | {metric.formula} |" for metric in METRICS]
    return "\n".join(["| figure | unit | formula |", "| --- | --- | --- |", *rows]) + "\n"


def with_table(page: str) -> str:
    """The page with today's table between its marks. Raises ValueError for a page without them."""
    before, _, rest = page.partition(OPENING)
    _, mark, after = rest.partition(CLOSING)
    if not mark:
        raise ValueError(f"{PAGE} has lost its marks")
    return f"{before}{OPENING}\n{metric_table()}\n{CLOSING}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
