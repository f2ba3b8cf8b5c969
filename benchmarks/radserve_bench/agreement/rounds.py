"""All rounds on one server, and what the server itself saw of each run."""

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.error import URLError
from urllib.request import urlopen

from radserve_bench.agreement.generators import GENERATORS, Order, ask_ourselves
from radserve_bench.errors import BenchError
from radserve_bench.record import Point

_SEEDS = 1_000
_SERVER_TTFT = re.compile(r"^radserve_time_to_first_token_seconds_(sum|count) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. `server_ttft_ms`: the mean by the gateway's own metrics, from a request's arrival; with the warm-up."""

    point: Point
    server_ttft_ms: float | None


Found = dict[tuple[int, str], list[Outcome]]
"""The runs of all rounds, in their order, by concurrency and generator."""


async def run_rounds(orders: Sequence[Order], rounds: int, tell: Callable[[str], None]) -> Found:
    """Each round begins with another generator; no two runs have the same seed. Raises BenchError."""
    timed = [order.timed((await ask_ourselves(order)).wall_s) for order in orders]
    names = list(GENERATORS)
    found: Found = {(one.concurrency, name): [] for one in timed for name in names}
    run = 1
    for number in range(rounds):
        in_turn = names[number % len(names) :] + names[: number % len(names)]
        for order in timed:
            for name in in_turn:
                outcome = await _watched(name, order.renewed(order.folder / str(run), _SEEDS * run))
                found[order.concurrency, name].append(outcome)
                run += 1
                tell(f"round {number + 1}, {order.concurrency} at once, {name}: {len(outcome.point.records)}")
    return found


async def _watched(name: str, order: Order) -> Outcome:
    before = await asyncio.to_thread(_server_ttft, order.url)
    point = await GENERATORS[name](order)
    after = await asyncio.to_thread(_server_ttft, order.url)
    seconds, answers = after[0] - before[0], after[1] - before[1]
    return Outcome(point, 1e3 * seconds / answers if answers else None)


def _server_ttft(url: str) -> tuple[float, float]:
    """Sum in seconds, and count."""
    try:
        with urlopen(f"{url}/metrics", timeout=10) as response:
            found = dict(_SERVER_TTFT.findall(response.read().decode()))
    except (URLError, TimeoutError) as error:
        raise BenchError(f"{url} tells no metrics: {error}") from error
    return float(found.get("sum", 0)), float(found.get("count", 0))


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """What is started inside runs on these cores only, and so does this thread."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
