"""aiperf's export in our own terms."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from radserve_bench.errors import BenchError, Broken, Refused, RequestFailed
from radserve_bench.record import Load, Point, Record
from radserve_bench.reporting.samples import itl_ms, ttft_ms

_REQUESTS, _SUMMARY = "profile_export.jsonl", "profile_export_aiperf.json"


def read_export(folder: Path, target: str = "aiperf") -> Point:
    """The counted requests of one run, warm-up left out; `round` is 1. Raises BenchError for what is no export.

    A request's end is its last text. aiperf takes an error that comes after the answer's first byte, without an
    event name, for an answer that ended; here it counts as broken: no usage came.
    """
    try:
        summary = json.loads((folder / _SUMMARY).read_text(encoding="utf-8"))
        lines = (folder / _REQUESTS).read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if row["metadata"]["benchmark_phase"] == "profiling"]
        return _point(rows, summary, target)
    except OSError as error:
        raise BenchError(f"{folder} has no export of aiperf: {error.strerror}: {error.filename}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(f"the export in {folder} is not of an aiperf known here: {error!r}") from error


def _point(rows: list[dict[str, Any]], summary: dict[str, Any], target: str) -> Point:
    if not rows:
        raise ValueError("no request was counted")
    began_ns = min(row["metadata"]["request_start_ns"] for row in rows)
    records = [_record(row, number, began_ns) for number, row in enumerate(rows)]
    last_ns = max(row["metadata"]["request_end_ns"] for row in rows)
    return Point(
        target=target,
        workload="aiperf",
        load=Load("closed", _concurrency(summary)),
        round=1,
        planned=len(rows),
        records=records,
        wall_s=1e-9 * (last_ns - began_ns),
        complete=not any(row["metadata"].get("was_cancelled") for row in rows),
    )


def _record(row: dict[str, Any], number: int, began_ns: int) -> Record:
    metrics = {name: one["value"] for name, one in row["metrics"].items()}
    sent = 1e-9 * (row["metadata"]["request_start_ns"] - began_ns)
    record = Record("aiperf", stat=False, visit=number, question=0, due=sent, sent=sent)
    if error := row.get("error"):
        refused = error.get("code") in (429, 503)
        record.error = Refused.kind if refused else RequestFailed.kind
        record.message = str(error.get("message"))
        return record
    record.tokens = metrics.get("output_sequence_length") or 0
    if not record.tokens:
        record.error, record.message = Broken.kind, "the answer ended without usage"
        return record
    record.prompt_tokens = metrics.get("input_sequence_length") or 0
    record.first = sent + 1e-3 * metrics["time_to_first_token"]
    record.end = sent + 1e-3 * metrics["request_latency"]
    return record


def _concurrency(summary: dict[str, Any]) -> int:
    counted = [phase for phase in summary["input_config"]["phases"] if phase["kind"] == "profiling"]
    return int(counted[0]["concurrency"])


def figures(point: Point) -> dict[str, float | int | None]:
    """What a run comes to: counts, medians in milliseconds, and rates over its wall time."""
    answered = [record for record in point.records if record.answered]
    ttft, itl = ttft_ms(point), itl_ms(point)
    return {
        "requests": len(point.records),
        "failed": len(point.records) - len(answered),
        "ttft_p50_ms": round(median(ttft), 2) if ttft else None,
        "itl_p50_ms": round(median(itl), 3) if itl else None,
        "requests_per_s": round(len(answered) / point.wall_s, 3),
        "tokens_per_s": round(sum(record.tokens for record in answered) / point.wall_s, 1),
    }
