"""The whole run, in less than 90 s: streams, then questions of each kind, then two gateways side by side.

A gateway, decoding workers included, is held to one core; the load comes from the other. Two gateways take a core
each, and the load, at the lowest priority, what they leave. The engine is the fake one, so all CPU time is the
gateway's.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from radserve_bench.errors import BenchError
from radserve_bench.fake_gateway import FakeGateway, fake_gateway_process
from radserve_bench.gateway_limits.cpu import CpuClock, two_cores
from radserve_bench.gateway_limits.document import Limits, make_document, save
from radserve_bench.gateway_limits.kinds import KINDS
from radserve_bench.gateway_limits.questions import Asking, QuestionRow
from radserve_bench.gateway_limits.streams import FIRST_MS, LEVELS, TOKEN_MS, StreamRow, measure_streams
from radserve_bench.targets.server import ServerTarget

RESULTS = Path("benchmarks/results")
_SIDE_BY_SIDE = ("ct-j2k", "xray-j2k")
_SLICES = "20"
_LOAD_NICENESS = 15
_BUSY = 0.3


async def measure(cores: tuple[int, int], kinds: Sequence[str], levels: Sequence[int]) -> Limits:
    """All three; tells on stderr how far it is. Raises BenchError."""
    began = time.perf_counter()
    for key in kinds:
        KINDS[key].files(0)  # made before any clock runs
    os.sched_setaffinity(0, {cores[1]})
    streams, questions = await _one_gateway(cores[0], kinds, levels)
    os.sched_setaffinity(0, set(cores))
    os.nice(_LOAD_NICENESS)
    replicas = await _two_gateways(cores, [key for key in _SIDE_BY_SIDE if key in kinds])
    return Limits(streams, questions, replicas, round(time.perf_counter() - began, 1))


async def _one_gateway(
    core: int, kinds: Sequence[str], levels: Sequence[int]
) -> tuple[list[StreamRow], list[QuestionRow]]:
    async with _gateway(core, "--first-ms", f"{FIRST_MS:g}", "--token-ms", f"{TOKEN_MS:g}") as gateway:
        streams = await measure_streams(gateway.url, gateway.pid, levels)
    for row in streams:
        _say(f"{row.streams} streams: {row.cpu_us_per_event.median:g} µs an event, {row.cores:.0%} of a core")
    async with _gateways(core) as asking:
        questions = [_told(await asking.first_questions(KINDS[key])) for key in kinds]
        questions.append(_told(await asking.further_questions(KINDS["ct"])))
    return streams, questions


async def _two_gateways(cores: tuple[int, int], kinds: Sequence[str]) -> list[QuestionRow]:
    async with _gateways(*cores) as asking:
        return [_told(await asking.first_questions(KINDS[key])) for key in kinds]


@asynccontextmanager
async def _gateways(*cores: int) -> AsyncIterator[Asking]:
    """One on each core, whose engine answers at once."""
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(
                _gateway(core, "--first-ms", "0", "--token-ms", "0", "--slices", _SLICES)
            )
            for core in cores
        ]
        targets = [
            ServerTarget(f"gateway {core}", one.url) for core, one in zip(cores, gateways, strict=True)
        ]
        for target in targets:
            stack.push_async_callback(target.close)
            await target.open()
        yield Asking(targets, CpuClock(*(one.pid for one in gateways)))


@asynccontextmanager
async def _gateway(core: int, *options: str) -> AsyncIterator[FakeGateway]:
    """Writes its log, as it does in service, but to nowhere."""
    words = ("--core", str(core), "--max-running", "512", "--log-level", "info", *options)
    async with fake_gateway_process(*words, quiet=True) as gateway:
        yield gateway


def _told(row: QuestionRow) -> QuestionRow:
    _say(
        f"{row.name}: {row.cpu_ms.median:g} ms a question, {row.questions_per_s.median:g} questions/s, "
        f"{row.cores:.2f} cores, load {row.generator_cores:.2f}"
    )
    return row


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(words: Sequence[str] | None = None) -> None:
    """The last line of stdout is the JSON document, which with its tables and plot goes into the results too."""
    parser = argparse.ArgumentParser(
        prog="radserve_bench.gateway_limits", description="Where the gateway saturates."
    )
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of them (default: %(default)s)")
    parser.add_argument("--streams", default=",".join(map(str, LEVELS)), help="default: %(default)s")
    given = parser.parse_args(words)
    kinds = given.kinds.split(",")
    if unknown := [key for key in kinds if key not in KINDS]:
        parser.error(f"unknown kind {unknown[0]}; known: {', '.join(KINDS)}")
    cores = two_cores()
    if cores is None:
        parser.error("two cores are needed: one for the gateway and one for the load")
    if os.getloadavg()[0] > _BUSY:
        _say(f"the machine is busy (load average {os.getloadavg()[0]:.2f}): figures may suffer")
    try:
        limits = asyncio.run(measure(cores, kinds, [int(level) for level in given.streams.split(",")]))
    except* BenchError as failures:
        parser.exit(1, f"{parser.prog}: {failures.exceptions[0]}\n")
    document = make_document(limits)
    save(document, given.out)
    print(json.dumps(document, ensure_ascii=False))
