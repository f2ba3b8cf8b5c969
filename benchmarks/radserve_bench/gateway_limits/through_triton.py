"""What a streamed token costs the gateway behind the real engine: over Triton's gRPC, which the fake one leaves out.

The demonstration engine runs on the same cores, so nothing is held to a core here: CPU time of the gateway's own
process is counted, whatever else runs. The gateway joins tokens that wait to one event, so the cost is a token's.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp

from radserve_bench.errors import BenchError
from radserve_bench.gateway_limits.cpu import CpuClock
from radserve_bench.gateway_limits.streams import Tally, count_events, open_session
from radserve_bench.targets.locality import listeners
from radserve_bench.targets.server import ServerTarget
from radserve_client.errors import RadserveError
from radserve_client.running import running_server

STREAMS, TOKENS = 8, 96


@dataclass(frozen=True, slots=True)
class TritonRow:
    """So many answers at once, of so many tokens each; all their tokens, the events they came in, and CPU times."""

    streams: int
    tokens: int
    events: int
    cpu_us_per_token: float
    cpu_us_per_event: float


async def measure_through_triton(answers: int) -> TritonRow:
    """So many answers by the demonstration engine, STREAMS of them at once. Raises BenchError."""
    try:
        async with running_server() as server:
            target = ServerTarget("demo", server.url)
            try:
                return await _measure(server.url, (await target.open()).model, answers)
            finally:
                await target.close()
    except RadserveError as error:
        raise BenchError(str(error)) from error


async def _measure(url: str, model: str, answers: int) -> TritonRow:
    pids = listeners(url)
    if not pids:
        raise BenchError("the gateway's process was not found")
    clock, tally = CpuClock(*pids), Tally()
    async with open_session(url) as session:
        await count_events(session, model, TOKENS, Tally())
        before = clock.read()
        left = iter(range(answers))
        async with asyncio.TaskGroup() as group:
            for _ in range(STREAMS):
                group.create_task(_keep_asking(session, model, left, tally))
        seconds = (clock.read() - before).gateway
    tokens = answers * TOKENS
    return TritonRow(
        STREAMS,
        tokens,
        tally.events,
        round(1e6 * seconds / tokens, 1),
        round(1e6 * seconds / max(tally.events, 1), 1),
    )


async def _keep_asking(session: aiohttp.ClientSession, model: str, left: Iterator[int], tally: Tally) -> None:
    for _ in left:
        await count_events(session, model, TOKENS, tally)
