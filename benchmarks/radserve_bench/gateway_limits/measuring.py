"""The whole run, in less than 90 s: the real engine, streams, questions of each kind, two gateways side by side.

A gateway, decoding workers included, is held to one core; the load comes from the other. Two gateways take a core
each, and the load, at the lowest priority, what they leave. The engine is the fake one, so all CPU time is the
gateway's; only Triton's part in a token is measured with the demonstration engine, on all cores.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from radserve_bench.errors import BenchError
from radserve_bench.fake_gateway import FakeGateway, fake_gateway_process
from radserve_bench.gateway_limits.cpu import CpuClock, OthersClock, two_cores
from radserve_bench.gateway_limits.document import IMAGE_SIDE, SMALL_SIDE, Limits, make_document, save
from radserve_bench.gateway_limits.kinds import KINDS
from radserve_bench.gateway_limits.pace import HASTY, THOROUGH, Pace
from radserve_bench.gateway_limits.questions import Asking, QuestionRow
from radserve_bench.gateway_limits.streams import FIRST_MS, LEVELS, TOKEN_MS, StreamRow, measure_streams
from radserve_bench.gateway_limits.through_triton import STREAMS, measure_through_triton
from radserve_bench.targets.server import ServerTarget

RESULTS = Path("benchmarks/results")
_SIDE_BY_SIDE = ("ct-j2k",)
_SMALL = "xray-j2k"  # for whose decoding it matters how much of it is shown
_SLICES = "20"
_LOAD_NICENESS = 15
_BUSY = 0.1
_ANSWERS = 6  # a stream, by the demonstration engine


@dataclass(frozen=True, slots=True)
class Plan:
    """On which cores, which kinds of study, how many streams, whether the real engine too, how long."""

    cores: tuple[int, int]
    kinds: Sequence[str]
    levels: Sequence[int]
    triton: bool
    pace: Pace


async def measure(plan: Plan) -> Limits:
    """Everything; tells on stderr how far it is. Raises BenchError."""
    began, others = time.perf_counter(), OthersClock()
    for key in plan.kinds:
        KINDS[key].files(0)  # made before any clock runs
    triton = [await measure_through_triton(_ANSWERS * STREAMS)] if plan.triton else []
    for row in triton:
        _say(f"through Triton: {row.cpu_us_per_token:g} µs a token, {row.cpu_us_per_event:g} µs an event")
    os.sched_setaffinity(0, {plan.cores[1]})
    streams, questions = await _one_gateway(plan)
    os.sched_setaffinity(0, set(plan.cores))
    os.nice(_LOAD_NICENESS)
    replicas = await _two_gateways(plan)
    took_s = round(time.perf_counter() - began, 1)
    return Limits(streams, triton, questions, replicas, took_s, round(others.cores(), 2))


async def _one_gateway(plan: Plan) -> tuple[list[StreamRow], list[QuestionRow]]:
    core = plan.cores[0]
    async with _gateway(core, "--first-ms", f"{FIRST_MS:g}", "--token-ms", f"{TOKEN_MS:g}") as gateway:
        streams = await measure_streams(gateway.url, gateway.pid, plan.levels, plan.pace)
    for row in streams:
        _say(f"{row.streams} streams: {row.cpu_us_per_event.median:g} µs an event, {row.cores:.0%} of a core")
    async with _gateways(plan.pace, core) as asking:
        questions = [_told(await asking.first_questions(KINDS[key])) for key in plan.kinds]
        questions.append(_told(await asking.further_questions(KINDS["ct"])))
    if _SMALL in plan.kinds:
        async with _gateways(plan.pace, core, side=SMALL_SIDE) as asking:
            small = _told(await asking.first_questions(KINDS[_SMALL]))
            questions.append(
                replace(small, key=f"{small.key}-small", name=f"{small.name}, shown at {SMALL_SIDE}²")
            )
    return streams, questions


async def _two_gateways(plan: Plan) -> list[QuestionRow]:
    async with _gateways(plan.pace, *plan.cores) as asking:
        return [_told(await asking.first_questions(KINDS[key])) for key in _SIDE_BY_SIDE if key in plan.kinds]


@asynccontextmanager
async def _gateways(pace: Pace, *cores: int, side: int = IMAGE_SIDE) -> AsyncIterator[Asking]:
    """One on each core, whose engine answers at once."""
    options = ("--first-ms", "0", "--token-ms", "0", "--slices", _SLICES, "--image-side", str(side))
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(_gateway(core, *options)) for core in cores]
        targets = [
            ServerTarget(f"gateway {core}", one.url) for core, one in zip(cores, gateways, strict=True)
        ]
        for target in targets:
            stack.push_async_callback(target.close)
            await target.open()
        yield Asking(targets, CpuClock(*(one.pid for one in gateways)), pace)


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
    parser.add_argument(
        "--streams", type=int, nargs="+", default=LEVELS, metavar="N", help=f"at once (default: {LEVELS})"
    )
    parser.add_argument("--without-triton", action="store_true", help="leave out the demonstration engine")
    parser.add_argument("--hasty", action="store_true", help="only to see that it works")
    given = parser.parse_args(words)
    kinds = given.kinds.split(",")
    if unknown := [key for key in kinds if key not in KINDS]:
        parser.error(f"unknown kind {unknown[0]}; known: {', '.join(KINDS)}")
    cores = two_cores()
    if cores is None:
        parser.error("two cores are needed: one for the gateway and one for the load")
    pace = HASTY if given.hasty else THOROUGH
    plan = Plan(cores, kinds, given.streams, not given.without_triton, pace)
    try:
        limits = asyncio.run(measure(plan))
    except* BenchError as failures:
        parser.exit(1, f"{parser.prog}: {failures.exceptions[0]}\n")
    if limits.others_cores > _BUSY:
        _say(f"other processes took {limits.others_cores:.2f} cores meanwhile: the figures suffer from that")
    document = make_document(limits)
    save(document, given.out)
    print(json.dumps(document, ensure_ascii=False))
