"""`python -m radserve_bench.agreement`: on the demo server, which it starts; or on a gateway of known schedule."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from radserve_bench.agreement.generators import AIPERF, GENERATORS, OWN, Order, ask_ourselves
from radserve_bench.agreement.sheet import rows_of, table_of
from radserve_bench.aiperf import find_aiperf
from radserve_bench.aiperf.exporting import name_and_policy
from radserve_bench.errors import BenchError
from radserve_bench.fake_gateway import running_fake_gateway
from radserve_bench.metering.machine import describe
from radserve_bench.record import Point
from radserve_client.errors import RadserveError
from radserve_client.numbers import positive
from radserve_client.running import running_server
from radserve_engines.assets import demo_engine
from radserve_engines.errors import EngineError
from radserve_imaging import ImagePolicy

_SIDE = 224
_SEEDS = 1_000


def make_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="radserve_bench.agreement", description=__doc__)
    add = parser.add_argument
    add(
        "--fake",
        nargs="?",
        const="80:10",
        metavar="FIRST:TOKEN",
        help="instead of the demo server a gateway before an engine of known schedule, in ms (80:10)",
    )
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
    add("--out", type=Path, metavar="DIR", help="agreement.json and agreement.md are written here")
    return parser


async def measure(given: argparse.Namespace) -> dict[tuple[int, str], list[Point]]:
    """All rounds on one server, which is up for as long. Raises BenchError or RadserveError."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.fake:
            url = await stack.enter_async_context(_on_schedule(given.fake))
            model, policy = "fake-vqa", ImagePolicy(width=_SIDE, height=_SIDE)
        else:
            url = (await stack.enter_async_context(running_server())).url
            model, policy = name_and_policy(demo_engine())
        orders = [
            Order(
                url, model, policy, demo_engine(), folder, concurrency, given.requests, given.tokens, seed=0
            )
            for concurrency in given.concurrency
        ]
        return await _all_rounds(orders, given.rounds)


def _on_schedule(schedule: str) -> AbstractAsyncContextManager[str]:
    first_ms, _, token_ms = schedule.partition(":")
    return running_fake_gateway("--first-ms", first_ms, "--token-ms", token_ms, "--image-side", str(_SIDE))


async def _all_rounds(orders: Sequence[Order], rounds: int) -> dict[tuple[int, str], list[Point]]:
    """Each round begins with another generator; its seed is one that no other run has."""
    timed = [order.timed((await ask_ourselves(order)).wall_s) for order in orders]
    names = list(GENERATORS)
    found: dict[tuple[int, str], list[Point]] = {
        (one.concurrency, name): [] for one in timed for name in names
    }
    run = 1
    for number in range(rounds):
        for order in timed:
            for name in names[number % len(names) :] + names[: number % len(names)]:
                folder = order.folder / str(run)
                point = await GENERATORS[name](order.renewed(folder, _SEEDS * run))
                found[order.concurrency, name].append(point)
                run += 1
                print(
                    f"round {number + 1}, {order.concurrency} at once, {name}: {len(point.records)}",
                    flush=True,
                )
    return found


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
    document = {
        "measured": datetime.now(UTC).date().isoformat(),
        "server": f"a gateway on the schedule {given.fake} ms" if given.fake else "demo server (radserve up)",
        "tokens": given.tokens,
        "rounds": given.rounds,
        "compared_with": OWN,
        **describe(),
        "rows": rows,
    }
    table = table_of(rows)
    print(table.text())
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        written = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        (given.out / "agreement.json").write_text(written, encoding="utf-8")
        (given.out / "agreement.md").write_text(_page(document, table.markdown()), encoding="utf-8")
    print(json.dumps(document))
    return 0


def _page(document: dict[str, object], table: str) -> str:
    told = f"{document['server']}, answers of {document['tokens']} tokens, {document['rounds']} rounds."
    return f"# Do the load generators agree?\n\n{told}\n\n{table}\n"


if __name__ == "__main__":
    sys.exit(main())
