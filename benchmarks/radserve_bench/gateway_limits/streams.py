"""How many streamed events a second one core carries, and what each of them costs.

Paced streams, as an engine paces them, are added until the core is full. Where a gateway cannot keep up, it joins the
tokens that wait to one event: then events a second stop growing, and the end of an answer, not the event rate, tells
whether its tokens came in time.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import aiohttp

from radserve_bench.errors import BenchError
from radserve_bench.gateway_limits.cpu import CpuClock
from radserve_bench.gateway_limits.spread import Spread

FIRST_MS, TOKEN_MS = 80.0, 10.0
LEVELS = (16, 64, 128, 192, 256)
_SPREAD_S, _WARM_S, _WINDOW_S, _WINDOWS, _REST_S = 0.5, 1.0, 0.8, 3, 0.3
_TOKENS = int((_SPREAD_S + _WARM_S + _WINDOW_S * _WINDOWS + _REST_S) * 1000 / TOKEN_MS)
_FULL = 0.97
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
class _Tally:
    """Events that came from all streams, and how late each stream ended."""

    events: int = 0
    late_ms: list[float] | None = None


async def measure_streams(url: str, pid: int, levels: Sequence[int] = LEVELS) -> list[StreamRow]:
    """A row for each level until the gateway's core is full."""
    rows: list[StreamRow] = []
    clock = CpuClock(pid)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as session:
        for streams in levels:
            rows.append(await _measure(session, clock, streams))
            if rows[-1].cores > _FULL:
                break
    return rows


async def _measure(session: aiohttp.ClientSession, clock: CpuClock, streams: int) -> StreamRow:
    tally = _Tally(late_ms=[])
    async with asyncio.TaskGroup() as group:
        for index in range(streams):
            group.create_task(_stream(session, tally, index * _SPREAD_S / streams))
        await asyncio.sleep(_SPREAD_S + _WARM_S)
        readings = [(clock.read(), tally.events)]
        for _ in range(_WINDOWS):
            await asyncio.sleep(_WINDOW_S)
            readings.append((clock.read(), tally.events))
    spans = [(later[0] - earlier[0], later[1] - earlier[1]) for earlier, later in pairwise(readings)]
    whole = readings[-1][0] - readings[0][0]
    late = sorted(tally.late_ms or [0.0])
    return StreamRow(
        streams=streams,
        due_per_s=streams * 1000 / TOKEN_MS,
        events_per_s=Spread.of([events / used.at for used, events in spans]),
        cpu_us_per_event=Spread.of([1e6 * used.gateway / max(events, 1) for used, events in spans]),
        cores=round(whole.gateway / whole.at, 3),
        generator_cores=round(whole.generator / whole.at, 3),
        late_ms=round(late[len(late) // 2], 2),
    )


async def _stream(session: aiohttp.ClientSession, tally: _Tally, after_s: float) -> None:
    """One answer, whose events are counted but not parsed: that would take the generator more than it costs."""
    await asyncio.sleep(after_s)
    body = {
        "model": _MODEL,
        "messages": [{"role": "user", "content": "Well?"}],
        "stream": True,
        "max_tokens": _TOKENS,
        "ignore_eos": True,
    }
    sent = last = time.perf_counter()
    async with session.post("/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise BenchError(f"the gateway refused a stream: {await response.text()}")
        while data := await response.content.readany():
            tally.events += data.count(b"\n\n")
            last = time.perf_counter()
    due = sent + (FIRST_MS + (_TOKENS - 1) * TOKEN_MS) / 1000
    if tally.late_ms is not None:
        tally.late_ms.append(1000 * (last - due))
