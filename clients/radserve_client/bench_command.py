"""`radserve bench`: TTFT, throughput and what they cost, of a server, an endpoint, PyTorch, side by side."""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radserve_client.engine_errors import told_as
from radserve_client.errors import RadserveError
from radserve_client.numbers import positive, positive_number, whole

if TYPE_CHECKING:
    from radserve_bench.benchmarking import Wanted

_DESCRIPTION = """\
Measure TTFT, throughput, what they cost, and where the time goes. A TARGET is
  server                  the demo engine, behind a server that is started for it
  an engine's folder      likewise
  http://host:port        a radserve server
  http://host:port/v1     any OpenAI-compatible endpoint: vLLM, trtllm-serve …
  triton                  Triton of the server named before it, asked directly
  triton://host:port      any Triton with the model clinical_vqa
  torch                   the PyTorch baseline: the checkpoint in transformers
Without one: server torch. Each is compared with those named after it.
"""
_EPILOG = """\
Latencies of open load count from when a request was due. RADSERVE_API_KEY goes
to radserve servers, OPENAI_API_KEY to addresses that end in /v1. Ctrl-C keeps
what is finished. Exit status: 0, 1 if something failed or a target answered
nothing, 2 for wrong usage, 130 for Ctrl-C.
"""
_PLAN = ("workload", "closed", "open", "requests", "seconds", "rounds", "tokens", "timeout")


def add_bench_word(words: Any) -> None:
    """Add `bench` to the command's words."""
    bench = words.add_parser(
        "bench",
        help="measure TTFT, throughput and cost under load",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.set_defaults(run=_bench, extra="bench", refuse=bench.error)
    bench.add_argument("targets", nargs="*", metavar="TARGET", help="who is asked, in turn")
    add = bench.add_argument
    add("--compare", metavar="TARGET", help="one more; alone, the server is compared with it")
    add(
        "--trusted-keys",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="public key of an engine's folder, or folder of keys (RADSERVE_TRUSTED_KEYS)",
    )
    add("--checkpoint", type=Path, metavar="DIR", help="what torch runs (default: the demo's)")
    add("--model", metavar="NAME", help="of endpoints (…/v1) that offer several")
    _add_load(bench)
    _add_report(bench)


def _add_load(bench: argparse.ArgumentParser) -> None:
    group = bench.add_argument_group("what is asked, and how much at once")
    plans = group.add_mutually_exclusive_group()
    plans.add_argument("--quick", action="store_true", help="server, triton and torch in under two minutes")
    plans.add_argument(
        "--scale",
        action="store_true",
        help="how figures grow with load, images, their size, length of answers",
    )
    add = group.add_argument
    add(
        "--workload", action="append", metavar="NAME", help="repeatable (default: ct-slice); `list` names all"
    )
    add("--closed", type=_counts, metavar="N,N…", help="so many askers at once (default: 1,8)")
    add("--open", type=_rates, metavar="R,R…", help="so many visits a second, come what may")
    add(
        "--requests",
        type=positive,
        metavar="N",
        help="of each closed load, at least (default: 2 an asker, 8 at least)",
    )
    add("--seconds", type=positive_number, metavar="S", help="of each open load (default: 10)")
    add("--rounds", type=positive, metavar="N", help="repeats, targets in turn (default: 5)")
    add("--tokens", type=whole, metavar="N", help="of an answer (default: 32); 0: as many as the model gives")
    add("--timeout", type=positive_number, metavar="S", help="longest time of a request (default: 120)")
    add("--seed", type=whole, default=1, metavar="N", help="of kinds and times of visits (default: 1)")


def _add_report(bench: argparse.ArgumentParser) -> None:
    add = bench.add_argument_group("what is reported").add_argument
    add(
        "--slo-ttft", type=positive_number, metavar="MS", help="goodput: whole answers with at most this TTFT"
    )
    add("--slo-itl", type=positive_number, metavar="MS", help="and at most this for each further token")
    add("--slo-total", type=positive_number, metavar="MS", help="and at most this in all")
    add("--price-per-hour", type=positive_number, metavar="PRICE", help="of the machine: gives the cost")
    add("--out", type=Path, metavar="DIR", help="the report's folder (default: a new one in runs/bench)")


def _counts(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(","))


def _rates(text: str) -> tuple[float, ...]:
    return tuple(positive_number(part) for part in text.split(","))


def _bench(given: argparse.Namespace) -> int:
    from radserve_bench.benchmarking import run_benchmark
    from radserve_bench.errors import BenchError
    from radserve_bench.workloads.catalogue import WORKLOADS

    if "list" in (given.workload or ()):
        print("\n".join(f"{name:<10} {told}" for name, told in WORKLOADS.items()))
        return 0
    if wrong := _wrong(given):
        given.refuse(wrong)
    try:
        with told_as():
            outcome = asyncio.run(run_benchmark(_wanted(given)))
    except BenchError as error:
        raise RadserveError(str(error)) from error
    if outcome is None:
        print("interrupted before anything was measured", file=sys.stderr)
        return 130
    print(outcome.table)
    if not sys.stdout.isatty():  # a person has the tables, and report.json
        print(json.dumps(outcome.document))
    if outcome.failure:
        raise RadserveError(outcome.failure)
    return 130 if outcome.interrupted else 0


def _wrong(given: argparse.Namespace) -> str | None:
    """What was said and would have no effect."""
    plan = "--quick" if given.quick else "--scale" if given.scale else None
    if plan:
        vain = [f"--{name}" for name in _PLAN if getattr(given, name) is not None]
        return f"{plan} is a plan of its own: leave out {', '.join(vain)}, or {plan}" if vain else None
    if given.seconds and not given.open:
        return "--seconds is the time of an open load (--open); a closed one has --requests"
    if given.requests and given.open and not given.closed:
        return "--requests is of a closed load (--closed); an open one lasts --seconds"
    return None


def _wanted(given: argparse.Namespace) -> "Wanted":
    from radserve_bench.benchmarking import Wanted
    from radserve_bench.driving.presets import Wish
    from radserve_bench.reporting.slo import Slo

    names = {"workload": "workloads", "timeout": "timeout_s"}
    said = {names.get(name, name): getattr(given, name) for name in _PLAN if getattr(given, name) is not None}
    if given.tokens == 0:
        said["tokens"] = None
    targets = given.targets
    if given.compare:
        targets = [*(targets or ["server"]), given.compare]
    return Wanted(
        targets=tuple(targets),
        preset="quick" if given.quick else "scale" if given.scale else None,
        wish=Wish(**said, seed=given.seed),
        checkpoint=given.checkpoint,
        model=given.model,
        trusted_keys=tuple(given.trusted_keys),
        slo=Slo(given.slo_ttft, given.slo_itl, given.slo_total),
        price_per_hour=given.price_per_hour,
        out=given.out or Path("runs/bench") / time.strftime("%Y%m%d-%H%M%S"),
    )
