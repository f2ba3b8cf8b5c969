"""What the generators found, side by side."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from radserve_bench.agreement.generators import OWN
from radserve_bench.agreement.rounds import Found, Outcome
from radserve_bench.reporting.numbers import estimated, number, ranged
from radserve_bench.reporting.samples import itl_ms, ttft_ms
from radserve_bench.reporting.spread import ratio, rounded, spread
from radserve_bench.reporting.table import Table

FIGURES = {"ttft_ms": ttft_ms, "itl_ms": itl_ms}
_HEAD = (
    *(
        "at once",
        "generator",
        "requests",
        "failed",
        "TTFT p50, ms",
        "ITL p50, ms",
        "TTFT, ratio",
        "ITL, ratio",
    ),
    "TTFT mean, ms",
    "the server's own, ms",
    "over it",
)
_NOTES = (
    "p50: the median of each round; here is the median of these, and in brackets the least and the most. Ratios are "
    "to `radserve bench` in the same round: their geometric mean, and in brackets its 95 % interval.",
    "The server's own is the mean by the gateway's metrics, from a request's arrival to its first token, in the same "
    "runs. Where it differs between generators the server was slower under one of them; by how much a generator's mean "
    "is over it tells how its clock differs.",
)


def rows_of(found: Found) -> list[dict[str, Any]]:
    """JSON values: medians over rounds with their range, and their ratios to our own generator's of the same round."""
    return [_row(many, name, outcomes, found[many, OWN]) for (many, name), outcomes in found.items()]


def _row(concurrency: int, name: str, runs: Sequence[Outcome], own: Sequence[Outcome]) -> dict[str, Any]:
    records = [record for run in runs for record in run.point.records]
    server = [run.server_ttft_ms for run in runs if run.server_ttft_ms is not None]
    mean = fmean(value for run in runs for value in ttft_ms(run.point))
    row: dict[str, Any] = {
        "concurrency": concurrency,
        "generator": name,
        "requests": len(records),
        "failed": sum(not record.answered for record in records),
        "ttft_mean_ms": rounded(mean),
        "server_ttft_mean_ms": rounded(fmean(server)) if server else None,
        "ttft_over_server": rounded(mean / fmean(server)) if server else None,
    }
    for figure in FIGURES:
        values = _medians(runs, figure)
        row[figure] = spread(values)
        compared = ratio(zip(values, _medians(own, figure), strict=True))
        row[f"{figure}_ratio"] = compared.to_json() if compared and name != OWN else None
    return row


def _medians(runs: Sequence[Outcome], figure: str) -> list[float]:
    """One of each round. Raises statistics.StatisticsError for a round without an answer."""
    return [median(FIGURES[figure](run.point)) for run in runs]


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """For people."""
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
            number(row["ttft_mean_ms"]),
            number(row["server_ttft_mean_ms"]),
            number(row["ttft_over_server"]),
        )
        for row in rows
    )
    return Table("Three load generators on one server", _HEAD, lines, names=2, notes=_NOTES)
