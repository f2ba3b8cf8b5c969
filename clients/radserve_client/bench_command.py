"""`radserve bench`: TTFT, throughput and what they cost, of a server, an endpoint, PyTorch, side by side."""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radserve_client.engine_errors import told_as
from radserve_client.errors import RadserveError
from radserve_client.numbers import positive

if TYPE_CHECKING:
    from radserve_bench.benchmarking import Wanted

_TARGETS = (
    "server: the demo engine behind a server that is started for it; an engine folder: likewise; triton: the Triton "
    "of the server named before it, asked directly; torch: the PyTorch baseline; http://host:port: a radserve server; "
    "http://host:port/v1: any OpenAI-compatible endpoint; triton://host:port"
)
_EPILOG = (
    "Latencies of open load count from when a request was due. RADSERVE_API_KEY goes to radserve servers, "
    "OPENAI_API_KEY to addresses that end in /v1. Ctrl-C keeps what is finished."
)


def add_bench_word(words: Any) -> None:
    """Add `bench` to the command's words."""
    bench = words.add_parser("bench", help="measure TTFT, throughput and cost under load", epilog=_EPILOG)
    bench.set_defaults(run=_bench, extra="bench")
    add = bench.add_argument
    add("targets", nargs="*", metavar="TARGET", help=f"{_TARGETS} (default: server torch)")
    add("--quick", action="store_true", help="server, its Triton and PyTorch in under two minutes")
    add(
        "--scale",
        action="store_true",
        help="how figures grow with load, images, their size, length of answers",
    )
    add("--compare", metavar="TARGET", help="against this one, in turn; ratios with 95 %% intervals")
    _add_load(bench)
    _add_subject(bench)
    _add_report(bench)


def _add_load(bench: argparse.ArgumentParser) -> None:
    add = bench.add_argument
    add(
        "--workload", action="append", metavar="NAME", help="repeatable (default: ct-slice); `list` names all"
    )
    add("--closed", type=_counts, default=(), metavar="N,N…", help="so many askers at once (default: 1,8)")
    add("--open", type=_rates, default=(), metavar="R,R…", help="so many visits a second, come what may")
    add(
        "--requests",
        type=positive,
        metavar="N",
        help="of each closed point (default: 2 an asker, 8 at least)",
    )
    add("--seconds", type=_duration, default=10.0, metavar="S", help="of each open point (default: 10)")
    add("--rounds", type=positive, default=5, metavar="N", help="repeats, targets in turn (default: 5)")
    add("--tokens", type=int, default=32, metavar="N", help="exact length of answers; 0: the model's own end")
    add(
        "--timeout",
        type=_duration,
        default=120.0,
        metavar="S",
        help="longest time of a request (default: 120)",
    )
    add("--seed", type=int, default=1, help="of kinds of visits and arrival times (default: 1)")


def _add_subject(bench: argparse.ArgumentParser) -> None:
    add = bench.add_argument
    add("--checkpoint", type=Path, metavar="DIR", help="what torch runs (default: the demo's)")
    add("--model", help="for an endpoint that offers several")


def _add_report(bench: argparse.ArgumentParser) -> None:
    add = bench.add_argument
    add("--slo-ttft", type=float, metavar="MS", help="goodput counts answers with at most this TTFT")
    add("--slo-itl", type=float, metavar="MS", help="and at most this a further token")
    add("--slo-total", type=float, metavar="MS", help="and at most this in all")
    add("--price-per-hour", type=float, metavar="PRICE", help="of the machine: gives cost of 1,000 answers")
    add("--out", type=Path, metavar="DIR", help="report.json, report.md, plots, requests.jsonl")


def _counts(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(","))


def _rates(text: str) -> tuple[float, ...]:
    return tuple(_duration(part) for part in text.split(","))


def _duration(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _bench(given: argparse.Namespace) -> int:
    from radserve_bench.benchmarking import run_benchmark
    from radserve_bench.errors import BenchError
    from radserve_bench.workloads.catalogue import WORKLOADS

    if given.workload == ["list"]:
        print("\n".join(f"{name:<10} {told}" for name, told in WORKLOADS.items()))
        return 0
    try:
        with told_as():
            outcome = asyncio.run(run_benchmark(_wanted(given)))
    except BenchError as error:
        raise RadserveError(str(error)) from error
    print(outcome.table)
    print(json.dumps(outcome.document))
    return 130 if outcome.interrupted else 0


def _wanted(given: argparse.Namespace) -> "Wanted":
    from radserve_bench.benchmarking import Wanted
    from radserve_bench.driving.presets import Wish
    from radserve_bench.reporting.slo import Slo

    if given.quick and given.scale:
        raise RadserveError("--quick and --scale are two plans: choose one")
    wish = Wish(
        workloads=tuple(given.workload or ("ct-slice",)),
        closed=given.closed,
        open=given.open,
        requests=given.requests,
        seconds=given.seconds,
        rounds=given.rounds,
        tokens=given.tokens or None,
        timeout_s=given.timeout,
        seed=given.seed,
    )
    return Wanted(
        targets=(*given.targets, *([given.compare] if given.compare else ())),
        preset="quick" if given.quick else "scale" if given.scale else None,
        wish=wish,
        checkpoint=given.checkpoint,
        model=given.model,
        slo=Slo(given.slo_ttft, given.slo_itl, given.slo_total),
        price_per_hour=given.price_per_hour,
        out=given.out or Path("runs/bench") / time.strftime("%Y%m%d-%H%M%S"),
    )
