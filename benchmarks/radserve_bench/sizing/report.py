"""A sizing as text, as JSON, and as the tables of docs/sizing.md."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from radserve_bench.gateway_limits.tables import percent
from radserve_bench.reporting.table import Table
from radserve_bench.sizing.reckoning import UTILISATION, Sizing
from radserve_engines.planning.roofline import EXPECTED


def text_report(sizing: Sizing, price_per_hour: float | None = None) -> str:
    """What to have, what it follows from, and what was assumed."""
    blocks = (_need(sizing), _result(sizing, price_per_hour), kind_table(sizing).text(), _formula(sizing))
    return "\n\n".join(blocks)


def json_report(sizing: Sizing, price_per_hour: float | None = None) -> dict[str, Any]:
    """The same, unrounded."""
    engine = sizing.engine
    own = {
        "need": {**asdict(sizing.need), "mix": dict(sizing.need.mix)},
        "engine": {
            "model": engine.size.name,
            "gpu": engine.gpu.name,
            "precision": engine.precision.name,
            "image": list(engine.image),
        },
        "parts": [asdict(part) for part in sizing.parts],
        "utilisation": UTILISATION,
        "efficiency": {"compute": EXPECTED.compute, "bandwidth": EXPECTED.bandwidth},
        "gpu_cost": cost(sizing, price_per_hour),
    }
    plain = ("busy_cores", "cores", "busy_gpus", "gpus", "gpus_per_engine", "ttft_s", "measured_on")
    return {
        **own,
        **{name: getattr(sizing, name) for name in (*plain, "studies_per_core", "studies_per_gpu")},
    }


def cost(sizing: Sizing, price_per_hour: float | None) -> dict[str, float] | None:
    """Of the GPUs, an hour and for 1,000 questions of a mean hour, in the price's currency."""
    if price_per_hour is None:
        return None
    hour = sizing.gpus * price_per_hour
    questions = sizing.need.studies_per_hour * sizing.need.questions
    return {"per_hour": hour, "per_1000_questions": 1000 * hour / questions}


def hospital_table(title: str, sizings: Mapping[str, Sizing]) -> Table:
    """What to have; a row a hospital, by its name."""
    rows = tuple(
        (
            name,
            f"{one.need.studies_per_s * one.need.questions:.2f}",
            f"{one.busy_cores:.2f}",
            f"{one.cores}",
            f"{one.busy_gpus:.2f}",
            f"{one.gpus}",
            f"{one.studies_per_core:,.0f}",
            f"{one.studies_per_gpu:,.0f}",
        )
        for name, one in sizings.items()
    )
    head = ("", "questions/s", "cores busy", "cores", "GPUs busy", "GPUs", "a core carries", "a GPU carries")
    notes = (
        "Questions a second and what is busy: in the busiest hour. What one core or GPU more carries: studies an hour, "
        "on the day's mean.",
    )
    return Table(title, head, rows, 1, notes)


def kind_table(sizing: Sizing) -> Table:
    """What a study of each kind takes."""
    rows = tuple(
        (part.key, part.name, percent(part.share), f"{1000 * part.cpu_s:,.0f}", f"{1000 * part.gpu_s:,.0f}")
        for part in sizing.parts
    )
    return Table("What a study takes", ("kind", "study", "share", "CPU ms", "GPU ms"), rows, 2)


def _need(sizing: Sizing) -> str:
    need = sizing.need
    return (
        f"{need.studies_per_hour:,g} studies an hour, {need.busy_hour_factor:g} times as many in the busiest; "
        f"{need.questions} questions a study, {need.answer_tokens} tokens an answer:\n"
        f"{need.studies_per_s:.3g} studies and {need.studies_per_s * need.questions:.3g} questions a second"
    )


def _result(sizing: Sizing, price_per_hour: float | None) -> str:
    engine = sizing.engine
    height, width = engine.image
    shared = "" if sizing.gpus_per_engine == 1 else f", {sizing.gpus_per_engine} to an engine"
    lines = [
        f"gateway  {_count(sizing.cores, 'core')}: {sizing.busy_cores:.2f} busy, at most "
        f"{percent(UTILISATION)} of each; one more carries {sizing.studies_per_core:,.0f} studies an hour",
        f"engine   {_count(sizing.gpus, engine.gpu.title)}{shared}: {sizing.busy_gpus:.2f} busy; one more carries "
        f"{sizing.studies_per_gpu:,.0f} studies an hour",
        f"         {engine.size.name} in {engine.precision.title}, images of {width} × {height} px; first token of an "
        f"idle engine after {1000 * sizing.ttft_s:.0f} ms at most",
    ]
    paid = cost(sizing, price_per_hour)
    if paid:
        lines.append(
            f"         GPUs for {paid['per_hour']:,.2f} an hour, {paid['per_1000_questions']:,.2f} for 1,000 questions"
        )
    return "\n".join(lines)


def _formula(sizing: Sizing) -> str:
    arithmetic, bandwidth = percent(EXPECTED.compute), percent(EXPECTED.bandwidth)
    return f"""\
cores = studies a second × CPU of a study / utilisation. CPU of a study: its images sent and rendered and the
first question, then further questions and tokens, as measured on {sizing.measured_on}.
GPUs = studies a second × questions / questions a second of a full engine / utilisation, in whole engines: the
roofline at {arithmetic} of arithmetic and {bandwidth} of bandwidth (`radserve engine plan`), which is not measured.
No prefix cache is counted on. More cores and GPUs carry more, but do not answer sooner. A second gateway and a
second engine, should one fail, are not counted."""


def _count(count: int, what: str) -> str:
    return f"{count} × {what}" if what != "core" else f"{count} core{'s' * (count > 1)}"
