"""The three generators: each asks as many questions, and returns what it found as a point."""

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radserve_bench.aiperf import Call, export, read_export, run_aiperf
from radserve_bench.aiperf.exporting import DEFAULT_QUESTION, IMAGES, INPUT_FILE, question_on_slices
from radserve_bench.driving.asking import Terms
from radserve_bench.driving.load import Amount, Cell, prepare
from radserve_bench.errors import BenchError, RequestFailed
from radserve_bench.record import Load, Point, Record
from radserve_bench.targets.openai import OpenAITarget
from radserve_bench.workloads.catalogue import workload_named
from radserve_imaging import ImagePolicy

OWN, LOCUST, AIPERF = "radserve bench", "locust", "aiperf"
_LOCUSTFILE = Path(__file__).parents[2] / "locustfile.py"
_SPARE = 3
"""locust is told a time, not a number: it gets so many times the pictures that it should need."""


@dataclass(frozen=True, slots=True)
class Order:
    """What all are asked to do. `seed` chooses the pictures; `seconds` is how long locust asks."""

    url: str
    model: str
    policy: ImagePolicy
    tokenizer: Path
    folder: Path
    concurrency: int
    requests: int
    tokens: int
    seed: int
    seconds: int = 0

    def renewed(self, folder: Path, seed: int) -> "Order":
        """The same with other pictures."""
        return replace(self, folder=folder, seed=seed)

    def timed(self, wall_s: float) -> "Order":
        """The same, locust asking for that long."""
        return replace(self, seconds=max(math.ceil(wall_s), 2))


async def ask_ourselves(order: Order) -> Point:
    """As `radserve bench` does with an OpenAI-compatible endpoint."""
    target = OpenAITarget(OWN, f"{order.url}/v1", order.model, policy=order.policy)
    cell = Cell(
        workload_named("ct-slice"),
        Load("closed", order.concurrency),
        Amount(order.requests),
        Terms(order.tokens),
    )
    await target.open()
    try:
        await (await prepare(target, cell.warm_up(), 0, order.seed + 1)).drive()
        prepared = await prepare(target, cell, 1, order.seed)
        await prepared.drive()
        return prepared.point
    finally:
        await target.close()


async def ask_by_locust(order: Order) -> Point:
    """benchmarks/locustfile.py without a head; its first questions, with a connection to be made, do not count."""
    return await asyncio.to_thread(_locust, order)


async def ask_by_aiperf(order: Order) -> Point:
    """aiperf 0.13."""
    return await asyncio.to_thread(_aiperf, order)


GENERATORS: Mapping[str, Callable[[Order], Awaitable[Point]]] = {
    OWN: ask_ourselves,
    LOCUST: ask_by_locust,
    AIPERF: ask_by_aiperf,
}


def _export(order: Order, count: int) -> None:
    export(question_on_slices(count, DEFAULT_QUESTION, order.seed), order.policy, order.folder)


def _aiperf(order: Order) -> Point:
    warm_up = order.concurrency
    _export(order, order.requests + warm_up)
    call = Call(
        url=order.url,
        model=order.model,
        input_file=order.folder / INPUT_FILE,
        out=order.folder / "aiperf",
        tokenizer=order.tokenizer,
        concurrency=order.concurrency,
        requests=order.requests,
        warm_up=warm_up,
        tokens=order.tokens,
    )
    run_aiperf(call)
    return read_export(call.out, AIPERF)


def _locust(order: Order) -> Point:
    if not _LOCUSTFILE.exists():
        raise BenchError("benchmarks/locustfile.py is part of a checkout only: run from one")
    _export(order, _SPARE * order.requests)
    records, users = order.folder / "locust.jsonl", str(order.concurrency)
    words = [
        *(
            "--headless",
            "--only-summary",
            "-H",
            order.url,
            "-u",
            users,
            "-r",
            users,
            "-t",
            f"{order.seconds}s",
        ),
        *("--inline", "--questions", "1", "--tokens", str(order.tokens), "--model", order.model),
        *("--records", str(records)),
        *(word for image in (order.folder / IMAGES).iterdir() for word in ("--image", str(image))),
    ]
    command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=order.seconds + 60, check=False)
    if not records.exists():
        raise BenchError(f"locust asked nothing: {done.stderr[-1000:]}")
    rows = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
    return read_locust(rows[order.concurrency :], order)


def read_locust(rows: list[dict[str, Any]], order: Order) -> Point:
    """What --records kept, in our own terms. Raises BenchError if it is nothing."""
    if not rows:
        raise BenchError("locust had no answer in its time")
    start = min(row["began"] for row in rows)
    records = [_record(row, number, start) for number, row in enumerate(rows)]
    ends = [record.end for record in records if record.end is not None]
    return Point(
        LOCUST,
        "locust",
        Load("closed", order.concurrency),
        1,
        len(records),
        records,
        wall_s=max(ends, default=0.0),
    )


def _record(row: dict[str, Any], number: int, start: float) -> Record:
    sent = row["began"] - start
    record = Record("locust", stat=False, visit=number, question=0, due=sent, sent=sent)
    if row["error"]:
        record.error, record.message = RequestFailed.kind, row["error"]
        return record
    record.first, record.end = sent + 1e-3 * row["first_ms"], sent + 1e-3 * row["end_ms"]
    record.tokens, record.prompt_tokens = row["tokens"], row["prompt_tokens"]
    return record
