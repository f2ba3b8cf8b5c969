"""How many streamed events a second one core carries, and what each of them costs.

Paced streams, as an engine paces them, are added until the core is full. Where a gateway cannot keep up, it joins the
tokens that wait to one event: then events a second stop growing, and the end of an answer, not the event rate, tells
whether its tokens came in time.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import aiohttp

from radserve_bench.errors import BenchError
from radserve_bench.gateway_limits.cpu import CpuClock
from radserve_bench.gateway_limits.pace import Pace
from radserve_bench.gateway_limits.spread import Spread

FIRST_MS, TOKEN_MS = 80.0, 10.0
LEVELS = (16, 64, 128, 192, 256)
_FULL = 0.97
_REST_S = 0.3
_MODEL = "fake-vqa"


@dataclass(frozen=True, slots=True)
class StreamRow:
    """So many streams at once. `due_per_s` tokens were to come each second; events carry one token or more.

    Cores are CPU seconds a second, of the gateway and of the load generator. `late_ms`: how long after its time the
    last token of an answer came, the median of all streams.
    """

    streams: int
    due_per_s: float
    events_per_s: Spread
    cpu_us_per_event: Spread
    cores: float
    generator_cores: float
    late_ms: float


@dataclass(slots=True)
class Tally:
    """Events that came from all streams."""

    events: int = 0


async def measure_streams(url: str, pid: int, levels: Sequence[int], pace: Pace) -> list[StreamRow]:
    """A row for each level until the gateway's core is full."""
    rows: list[StreamRow] = []
    clock = CpuClock(pid)
    async with open_session(url) as session:
        for streams in levels:
            rows.append(await _measure(session, clock, streams, pace))
            if rows[-1].cores > _FULL:
                break
    return rows


def open_session(url: str) -> aiohttp.ClientSession:
    """As many connections as streams."""
    return aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0))


async def count_events(session: aiohttp.ClientSession, model: str, tokens: int, tally: Tally) -> float:
    """One answer, its events counted, not parsed; when (time.perf_counter) the last came. Raises BenchError."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Well?"}],
        "stream": True,
        "max_tokens": tokens,
        "ignore_eos": True,
    }
    async with session.post("/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise BenchError(f"the gateway refused a stream: {await response.text()}")
        end = time.perf_counter()
        while data := await response.content.readany():
            tally.events += data.count(b"\n\n")
            end = time.perf_counter()
    return end


async def _measure(session: aiohttp.ClientSession, clock: CpuClock, streams: int, pace: Pace) -> StreamRow:
    tally, late_ms = Tally(), list[float]()
    length_s = pace.start_s + pace.settle_s + pace.window_s * pace.windows + _REST_S
    async with asyncio.TaskGroup() as group:
        for index in range(streams):
            after_s = index * pace.start_s / streams
            group.create_task(_stream(session, int(1000 * length_s / TOKEN_MS), after_s, tally, late_ms))
        await asyncio.sleep(pace.start_s + pace.settle_s)
        readings = [(clock.read(), tally.events)]
        for _ in range(pace.windows):
            await asyncio.sleep(pace.window_s)
            readings.append((clock.read(), tally.events))
    spans = [(later[0] - earlier[0], later[1] - earlier[1]) for earlier, later in pairwise(readings)]
    whole = readings[-1][0] - readings[0][0]
    return StreamRow(
        streams=streams,
        due_per_s=streams * 1000 / TOKEN_MS,
        events_per_s=Spread.of([events / used.at for used, events in spans]),
        cpu_us_per_event=Spread.of([1e6 * used.gateway / max(events, 1) for used, events in spans]),
        cores=round(whole.gateway / whole.at, 3),
        generator_cores=round(whole.generator / whole.at, 3),
        late_ms=round(statistics.median(late_ms), 2),
    )


async def _stream(
    session: aiohttp.ClientSession, tokens: int, after_s: float, tally: Tally, late_ms: list[float]
) -> None:
    """One paced answer, and how late it ended by the engine's schedule."""
    await asyncio.sleep(after_s)
    due = time.perf_counter() + (FIRST_MS + (tokens - 1) * TOKEN_MS) / 1000
    late_ms.append(1000 * (await count_events(session, _MODEL, tokens, tally) - due))
