"""How many gateway cores and GPUs a hospital needs, from what was measured of the gateway and planned for the engine.

    studies a second   s = studies an hour × busy-hour factor / 3600
    CPU of a study     c = first question of its kind + (questions − 1) × further one + tokens beyond those × a token
    gateway cores        = s × c / utilisation
    GPU of a study     g = questions × GPUs of an engine / questions a second of a full one
    GPUs                 = s × g / utilisation, in whole engines

CPU seconds are those of `radserve_bench.gateway_limits`; a token's is that of an event through Triton. Questions a
second are the roofline's at its stated efficiency (`radserve engine plan`), every question with its images anew: no
prefix cache is counted on. Both are means over the mix of studies.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_bench.errors import BenchError
from radserve_engines.planning.fitting import Row, make_plan
from radserve_engines.planning.gpus import Gpu, gpu_named
from radserve_engines.planning.model_size import ModelSize, size_of
from radserve_engines.planning.question import question_for
from radserve_engines.precision import Precision, precision_named

UTILISATION = 0.6
MIX: Mapping[str, float] = {"xray": 0.25, "xray-j2k": 0.2, "ct": 0.25, "ct-j2k": 0.2, "series": 0.1}
"""Shares of studies by what they are made of; names as in the gateway's figures."""

_FURTHER = "further"
_SERIES, _SERIES_IMAGES = "series", 20
_PLACES = (
    Path(__file__).parents[1] / "data" / "gateway-limits.json",
    Path(__file__).parents[2] / "results" / "gateway-limits.json",
)


@dataclass(frozen=True, slots=True)
class Need:
    """What a hospital asks: the mean of its day, and how many times as many studies the busiest hour has."""

    studies_per_hour: float
    mix: Mapping[str, float]
    questions: int = 3
    answer_tokens: int = 64
    busy_hour_factor: float = 2.0

    @property
    def studies_per_s(self) -> float:
        """In the busiest hour."""
        return self.studies_per_hour * self.busy_hour_factor / 3600


@dataclass(frozen=True, slots=True)
class Engine:
    """What answers; `image` is (height, width) in px of what it sees, as the gateway's figures are for it."""

    size: ModelSize
    gpu: Gpu
    precision: Precision
    image: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of study: CPU seconds of the gateway for one, and GPU seconds of the engine."""

    key: str
    name: str
    share: float
    cpu_s: float
    gpu_s: float


@dataclass(frozen=True, slots=True)
class Sizing:
    """`busy_*` are means of the busiest hour; `cores` and `gpus` are what to have. `ttft_s` is an idle engine's.

    `studies_per_core` and `studies_per_gpu` are studies an hour, on the mean, that one more carries.
    """

    need: Need
    engine: Engine
    parts: tuple[Part, ...]
    busy_cores: float
    cores: int
    busy_gpus: float
    gpus: int
    gpus_per_engine: int
    ttft_s: float
    studies_per_core: float
    studies_per_gpu: float
    measured_on: str


def read_limits(path: Path | None = None) -> Mapping[str, Any]:
    """The gateway's figures as `radserve_bench.gateway_limits` wrote them, by default ours. Raises BenchError."""
    for place in _PLACES if path is None else (path,):
        if place.exists():
            try:
                limits: Mapping[str, Any] = json.loads(place.read_text("utf-8"))
                return limits
            except (OSError, ValueError) as error:
                raise BenchError(f"{place}: {error}") from error
    where = "" if path is None else f" at {path}"
    raise BenchError(
        f"there are no figures of the gateway{where}: run python -m radserve_bench.gateway_limits"
    )


def engine_of(model: str, gpu: str, precision: str, image: tuple[int, int]) -> Engine:
    """By their names, as `radserve engine plan` knows them. Raises PlanError."""
    return Engine(size_of(model), gpu_named(gpu), precision_named(precision), image)


def size(need: Need, engine: Engine, limits: Mapping[str, Any]) -> Sizing:
    """Raises BenchError for a mix or an engine that is not possible."""
    _check(need, limits)
    plans = _plans(need, engine)
    per_engine = max(plan.tensor_parallel or 1 for plan in plans.values())
    plans = _plans(need, engine, per_engine)
    parts = tuple(_part(need, key, limits, plans[key], per_engine) for key in need.mix)
    cpu_s = sum(part.share * part.cpu_s for part in parts)
    gpu_s = sum(part.share * part.gpu_s for part in parts)
    busy_cores, busy_gpus = need.studies_per_s * cpu_s, need.studies_per_s * gpu_s
    each = 3600 * UTILISATION / need.busy_hour_factor
    return Sizing(
        need=need,
        engine=engine,
        parts=parts,
        busy_cores=busy_cores,
        cores=max(1, math.ceil(busy_cores / UTILISATION)),
        busy_gpus=busy_gpus,
        gpus=per_engine * max(1, math.ceil(busy_gpus / UTILISATION / per_engine)),
        gpus_per_engine=per_engine,
        ttft_s=max(plan.expected.ttft for plan in plans.values() if plan.expected),
        studies_per_core=each / cpu_s,
        studies_per_gpu=each / gpu_s,
        measured_on=str(limits["machine"]["processor"]),
    )


def _part(need: Need, key: str, limits: Mapping[str, Any], plan: Row, per_engine: int) -> Part:
    row = _first_questions(limits)[key]
    gpu_s = need.questions * per_engine / _questions_per_s(plan)
    return Part(key, str(row["name"]), need.mix[key], _cpu_s(need, row, limits), gpu_s)


def _first_questions(limits: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {row["key"]: row for row in limits["questions"]}


def _check(need: Need, limits: Mapping[str, Any]) -> None:
    rows = _first_questions(limits)
    known = [key for key in rows if key != _FURTHER]
    for key, share in need.mix.items():
        if key not in known:
            raise BenchError(f"--mix: {key} is not measured; known: {', '.join(known)}")
        if not 0 <= share <= 1:
            raise BenchError(f"--mix: {key}={share:g} is no share between 0 and 1")
    if _FURTHER not in rows or not limits["triton"]:
        raise BenchError("these figures of the gateway are not whole: measure all of it")
    total = sum(need.mix.values())
    if abs(total - 1) > 0.005:
        raise BenchError(f"--mix: the shares add up to {total:g}, not to 1")


def _cpu_s(need: Need, row: Mapping[str, Any], limits: Mapping[str, Any]) -> float:
    """Of one study: its images and first question, the further questions, and tokens that were not measured there."""
    further_ms = float(_first_questions(limits)[_FURTHER]["cpu_ms"]["median"])
    token_us = float(limits["triton"][0]["cpu_us_per_event"])
    measured = int(limits["settings"]["answer_tokens"])
    tokens = need.questions * max(need.answer_tokens - measured, 0)
    questions_ms = float(row["cpu_ms"]["median"]) + (need.questions - 1) * further_ms
    return questions_ms / 1e3 + tokens * token_us / 1e6


def _plans(need: Need, engine: Engine, tensor_parallel: int | None = None) -> dict[str, Row]:
    """The engine under the questions of each kind, on the fewest GPUs that hold it, or on so many."""
    plans = {}
    for key in need.mix:
        images = _SERIES_IMAGES if key == _SERIES else 1
        question = question_for(engine.size, image=engine.image, images=images, answer=need.answer_tokens)
        plan = make_plan(engine.size, question, [engine.gpu], [engine.precision], tensor_parallel)
        (plans[key],) = plan.rows
        if plans[key].expected is None:
            raise BenchError(f"{engine.size.name} on {engine.gpu.name}: {plans[key].reason}")
    return plans


def _questions_per_s(row: Row) -> float:
    if row.expected is None:
        raise BenchError(row.reason or "nothing is known of this engine")
    return row.expected.requests
