"""`radserve bench`: from what the user asked for to a report; what is finished stays, whatever ends the run."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radserve_bench.driving.connections import allow_connections
from radserve_bench.driving.interruption import Interruption
from radserve_bench.driving.journal import Journal
from radserve_bench.driving.participants import SERVER, TORCH, TRITON, Options, Participant, participants
from radserve_bench.driving.presets import Wish, make_plan, quick_plan, scale_plan
from radserve_bench.driving.progress import Progress
from radserve_bench.driving.run import Plan, Run
from radserve_bench.errors import BenchError
from radserve_bench.metering.machine import describe
from radserve_bench.reporting.document import build_document
from radserve_bench.reporting.report import write_report
from radserve_bench.reporting.slo import Slo
from radserve_bench.reporting.tables import text
from radserve_bench.roofs import find_roofs
from radserve_client.errors import RadserveError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says; `targets` are words as `participants` takes them, none for the plan's own."""

    targets: tuple[str, ...] = ()
    preset: str | None = None
    wish: Wish = field(default_factory=Wish)
    checkpoint: Path | None = None
    model: str | None = None
    trusted_keys: tuple[Path, ...] = ()
    slo: Slo = field(default_factory=Slo)
    price_per_hour: float | None = None
    out: Path = Path("runs/bench")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The report as JSON, its tables, whether a signal cut it short, and why it is no success, None if it is one."""

    document: Mapping[str, Any]
    table: str
    interrupted: bool
    failure: str | None = None


async def run_benchmark(wanted: Wanted) -> Outcome | None:
    """Measure and write the report; None if a signal came before the first target was asked.

    Raises BenchError or RadserveError where nothing was measured, OSError for a folder that cannot be written.
    """
    plan, words = _plan(wanted)
    options = Options(wanted.checkpoint, wanted.model, wanted.wish.timeout_s, wanted.trusted_keys)
    _try_folder(wanted.out)
    allow_connections()
    run: Run | None = None
    failure = None
    with Interruption() as interruption:
        try:
            async with participants(words, options) as found:
                run = Run([one.target for one in found], plan, Journal(wanted.out))
                await run.execute(Progress(run.steps()))
        except asyncio.CancelledError:
            if not interruption.caught:
                raise
        except (BenchError, RadserveError) as error:
            if not interruption.caught:
                if run is None or not any(point.complete for point in run.points):
                    raise
                failure = str(error)
        if run is None:
            return None
        document = _document(wanted, plan, run, found, failure)
        write_report(document, wanted.out)
    return Outcome(document, text(document), run.interrupted, failure or _unanswered(run))


def _document(
    wanted: Wanted, plan: Plan, run: Run, found: Sequence[Participant], failure: str | None
) -> dict[str, Any]:
    document = build_document(
        run.points,
        [one.description for one in found],
        _settings(wanted, plan),
        describe()["machine"],
        wanted.slo,
        wanted.price_per_hour,
        _interruption(run, failure),
    )
    if not document["interrupted"]:
        document["rooflines"] = find_roofs(found, run.points)
    return document


def _try_folder(folder: Path) -> None:
    """Before anything is started. Raises OSError for a folder that cannot be made, or written to."""
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def _unanswered(run: Run) -> str | None:
    """Of a target that answered nothing in its last round, under no load: it is gone, or was never of use."""
    for target in run.targets:
        points = [one for one in run.points if one.target == target.name and one.records]
        last = [record for one in points if one.round == points[-1].round for record in one.records]
        if last and not any(record.answered for record in last):
            said = next((record.message for record in last if record.message), "nothing")
            return f"{target.name} answered none of the last {len(last)} requests: {said}"
    return None


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
    rounds = plan.rounds if plan.budget_s is None else f"{plan.rounds} at most"
    return {**about, "rounds": rounds, "seed": plan.seed}


def _interruption(run: Run, failure: str | None) -> dict[str, Any] | None:
    if not run.interrupted and failure is None:
        return None
    at = next(
        (f"{one.target}, {one.workload}, {one.load}, round {one.round}" for one in run.points[-1:]), "warm-up"
    )
    return {"done": sum(one.complete for one in run.points), "planned": run.planned, "at": at, "why": failure}
