"""`python -m radserve_bench.agreement`: on the demo server, which it starts, or on a gateway of known schedule."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from radserve_bench.agreement.generators import AIPERF, OWN, Order
from radserve_bench.agreement.rounds import Found, on_cores, run_rounds
from radserve_bench.agreement.sheet import rows_of, table_of
from radserve_bench.aiperf import find_aiperf
from radserve_bench.aiperf.exporting import name_and_policy
from radserve_bench.errors import BenchError
from radserve_bench.fake_gateway import running_fake_gateway
from radserve_bench.metering.machine import describe
from radserve_client.errors import RadserveError
from radserve_client.numbers import positive
from radserve_client.running import running_server
from radserve_engines.assets import demo_engine
from radserve_engines.errors import EngineError
from radserve_imaging import ImagePolicy

_SIDE = 224


def make_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="radserve_bench.agreement", description=__doc__)
    add = parser.add_argument
    fake = "instead of the demo server a gateway before an engine of known schedule, in ms (80:10)"
    add("--fake", nargs="?", const="80:10", metavar="FIRST:TOKEN", help=fake)
    add("--shared", action="store_true", help="server and generators on the same cores, not each on its half")
    add("--concurrency", type=positive, nargs="+", default=[1, 4], metavar="N", help="default: 1 4")
    add(
        "--requests",
        type=positive,
        default=48,
        metavar="N",
        help="of each generator in a round (default: 48)",
    )
    add("--tokens", type=positive, default=64, metavar="N", help="length of every answer (default: 64)")
    add("--rounds", type=positive, default=3, metavar="N", help="default: 3")
    add("--out", type=Path, metavar="FILE", help="this file with .json and with .md")
    return parser


async def measure(given: argparse.Namespace) -> Found:
    """All rounds on one server, which is up for as long. Raises BenchError or RadserveError."""
    theirs, ours = _halves(given.shared)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with on_cores(theirs):
            if given.fake:
                url = await stack.enter_async_context(_on_schedule(given.fake))
                model, policy = "fake-vqa", ImagePolicy(width=_SIDE, height=_SIDE)
            else:
                url = (await stack.enter_async_context(running_server())).url
                model, policy = name_and_policy(demo_engine())
        order = partial(Order, url, model, policy, demo_engine(), folder)
        with on_cores(ours):
            orders = [order(many, given.requests, given.tokens, 0) for many in given.concurrency]
            return await run_rounds(orders, given.rounds, partial(print, flush=True))


def _halves(shared: bool) -> tuple[list[int], list[int]]:
    """The server's cores and the generators'."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    return (cores, cores) if shared or not half else (cores[:half], cores[half:])


def _on_schedule(schedule: str) -> AbstractAsyncContextManager[str]:
    first_ms, _, token_ms = schedule.partition(":")
    return running_fake_gateway("--first-ms", first_ms, "--token-ms", token_ms, "--image-side", str(_SIDE))


def main(words: Sequence[str] | None = None) -> int:
    """Measure and tell; the last line of stdout is one JSON document."""
    given = make_parser().parse_args(words)
    try:
        if find_aiperf() is None:
            raise BenchError(f"there is no {AIPERF}: `make .venv-aiperf/ready`")
        rows = rows_of(asyncio.run(measure(given)))
    except (BenchError, EngineError, RadserveError) as error:
        print(error, file=sys.stderr)
        return 1
    document = _describe(given) | {"rows": rows}
    table = table_of(rows)
    print(table.text())
    if given.out:
        written = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        given.out.with_suffix(".json").write_text(written, encoding="utf-8")
        given.out.with_suffix(".md").write_text(_page(document, table.markdown()), encoding="utf-8")
    print(json.dumps(document))
    return 0


def _describe(given: argparse.Namespace) -> dict[str, Any]:
    server = f"a gateway on the schedule {given.fake} ms" if given.fake else "the demo server (`radserve up`)"
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "server": server,
        "cores": "shared" if given.shared else "half for the server, half for the generators",
        "tokens": given.tokens,
        "rounds": given.rounds,
        "compared_with": OWN,
        **describe(),
    }


def _page(document: dict[str, Any], table: str) -> str:
    machine = document["machine"]
    told = (
        f"On {document['server']}; {machine['processor']}, {machine['cores']} cores ({document['cores']}); answers of "
        f"{document['tokens']} tokens, {document['rounds']} rounds, {document['measured']}."
    )
    return f"# Do the load generators agree?\n\n{told}\n\n{table}\n"


if __name__ == "__main__":
    sys.exit(main())
