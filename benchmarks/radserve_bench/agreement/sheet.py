"""What the generators found, side by side."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from radserve_bench.agreement.generators import OWN
from radserve_bench.record import Point
from radserve_bench.reporting.numbers import estimated, ranged
from radserve_bench.reporting.samples import itl_ms, ttft_ms
from radserve_bench.reporting.spread import ratio, spread
from radserve_bench.reporting.table import Table

FIGURES = {"ttft_ms": ttft_ms, "itl_ms": itl_ms}
Found = Mapping[tuple[int, str], Sequence[Point]]
"""The points of all rounds, in their order, by concurrency and generator."""


def medians(points: Sequence[Point], figure: str) -> list[float]:
    """One of each round. Raises statistics.StatisticsError for a round without an answer."""
    return [median(FIGURES[figure](point)) for point in points]


def rows_of(found: Found) -> list[dict[str, Any]]:
    """JSON values: medians over rounds with their range, and their ratios to our own generator's of the same round."""
    return [
        _row(concurrency, name, points, found[concurrency, OWN])
        for (concurrency, name), points in found.items()
    ]


def _row(concurrency: int, name: str, points: Sequence[Point], own: Sequence[Point]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "concurrency": concurrency,
        "generator": name,
        "requests": sum(len(point.records) for point in points),
        "failed": sum(not record.answered for point in points for record in point.records),
    }
    for figure in FIGURES:
        values = medians(points, figure)
        row[figure] = spread(values)
        compared = ratio(zip(values, medians(own, figure), strict=True))
        row[f"{figure}_ratio"] = compared.to_json() if compared and name != OWN else None
    return row


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """For people."""
    head = (
        "at once",
        "generator",
        "requests",
        "failed",
        "TTFT p50, ms",
        "ITL p50, ms",
        "TTFT, ratio",
        "ITL, ratio",
    )
    lines = tuple(
        (
            str(row["concurrency"]),
            row["generator"],
            str(row["requests"]),
            str(row["failed"]),
            ranged(row["ttft_ms"]),
            ranged(row["itl_ms"]),
            estimated(row["ttft_ms_ratio"]),
            estimated(row["itl_ms_ratio"]),
        )
        for row in rows
    )
    note = (
        "Medians of each round: their median, and in brackets the least and the most. Ratios are to `radserve bench` "
        "in the same round: their geometric mean, and in brackets its 95 % interval."
    )
    return Table("Three load generators on one server", head, lines, names=2, notes=(note,))
