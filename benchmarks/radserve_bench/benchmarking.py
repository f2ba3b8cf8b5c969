"""`radserve bench`: from what the user asked for to a report; what is finished stays, whatever ends the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radserve_bench.driving.journal import Journal
from radserve_bench.driving.participants import SERVER, TORCH, TRITON, Options, participants
from radserve_bench.driving.presets import Wish, make_plan, quick_plan, scale_plan
from radserve_bench.driving.progress import Progress
from radserve_bench.driving.run import Plan, Run
from radserve_bench.metering.machine import describe
from radserve_bench.reporting.document import build_document
from radserve_bench.reporting.report import write_report
from radserve_bench.reporting.slo import Slo
from radserve_bench.reporting.tables import text
from radserve_bench.roofs import find_roofs


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says; `targets` are words as `participants` takes them, none for the plan's own."""

    targets: tuple[str, ...] = ()
    preset: str | None = None
    wish: Wish = field(default_factory=Wish)
    checkpoint: Path | None = None
    model: str | None = None
    slo: Slo = field(default_factory=Slo)
    price_per_hour: float | None = None
    out: Path = Path("runs/bench")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The report as JSON, its tables as Markdown, and whether it was cut short."""

    document: Mapping[str, Any]
    table: str
    interrupted: bool


async def run_benchmark(wanted: Wanted) -> Outcome:
    """Measure and write the report. Raises BenchError or RadserveError."""
    plan, words = _plan(wanted)
    options = Options(wanted.checkpoint, wanted.model, wanted.wish.timeout_s)
    async with participants(words, options) as found:
        run = Run([one.target for one in found], plan, Journal(wanted.out))
        await run.execute(Progress(run.steps()))
    document = build_document(
        run.points,
        [one.description for one in found],
        _settings(wanted, plan),
        describe()["machine"],
        wanted.slo,
        wanted.price_per_hour,
        _interruption(run),
    )
    if not run.interrupted:
        document["rooflines"] = find_roofs(found, run.points)
    write_report(document, wanted.out)
    return Outcome(document, text(document), run.interrupted)


def _plan(wanted: Wanted) -> tuple[Plan, tuple[str, ...]]:
    if wanted.preset == "quick":
        return quick_plan(wanted.wish.seed), wanted.targets or (SERVER, TRITON, TORCH)
    if wanted.preset == "scale":
        return scale_plan(wanted.wish.seed), wanted.targets or (SERVER,)
    return make_plan(wanted.wish), wanted.targets or (SERVER, TORCH)


def _settings(wanted: Wanted, plan: Plan) -> dict[str, Any]:
    """As they stand in the report: what was asked, not where it was written."""
    lengths = sorted({cell.terms.tokens or 0 for cell in plan.cells})
    about: dict[str, Any] = {"plan": wanted.preset} if wanted.preset else {}
    about["workloads"] = list(dict.fromkeys(cell.workload.name for cell in plan.cells))
    about["tokens an answer"] = [length or "the model's own end" for length in lengths]
    return {**about, "rounds": plan.rounds, "seed": plan.seed}


def _interruption(run: Run) -> dict[str, Any] | None:
    if not run.interrupted:
        return None
    at = next(
        (f"{one.target}, {one.workload}, {one.load}, round {one.round}" for one in run.points[-1:]), "warm-up"
    )
    return {"done": sum(one.complete for one in run.points), "planned": run.planned, "at": at}
