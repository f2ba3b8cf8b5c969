"""The JSON document of a run: everything that tables, plots and the regression record are made from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from radserve_bench.record import Description, Point
from radserve_bench.reporting.arrivals import is_saturated
from radserve_bench.reporting.cautions import warn_of_other_work, warnings_of
from radserve_bench.reporting.comparing import Place, compare, tell_gateway_apart
from radserve_bench.reporting.metric import Terms
from radserve_bench.reporting.metrics import METRICS, count_errors, measure
from radserve_bench.reporting.samples import distribution, mean_split_ms, quantile, total_ms, ttft_ms
from radserve_bench.reporting.slo import Slo
from radserve_bench.reporting.spread import rounded, spread
from radserve_engines.provenance import list_versions

FORMAT = 1
Price = float | Mapping[str, float] | None
_MORE_PACKAGES = ("nvidia-pytriton", "tritonclient", "fastapi", "uvicorn", "aiohttp")


def build_document(
    points: Sequence[Point],
    descriptions: Sequence[Description],
    settings: Mapping[str, Any],
    machine: Mapping[str, Any],
    slo: Slo,
    price: Price = None,
    interrupted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """JSON values of all points but warm-ups; the first description is what the others are compared with.

    `price` is of an hour: one for all targets, or by target's name. `interrupted` is {done, planned, at, why}, where
    the caller counts points; without it, points that are not complete are counted by requests.
    """
    names = [one.name for one in descriptions]
    rounds = _by_place(points, names)
    found = {
        place: {one.round: measure(one, _terms(place, slo, price)) for one in many}
        for place, many in rounds.items()
    }
    told = [
        _describe(place, many, list(found[place].values()), _terms(place, slo, price))
        for place, many in rounds.items()
    ]
    warn_of_other_work(told, names[0])
    return {
        "tool": "radserve bench",
        "format": FORMAT,
        "version": _version("radserve"),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "versions": _versions(),
        "settings": dict(settings),
        "slo": slo.to_json(),
        "price_per_hour": dict(price) if isinstance(price, Mapping) else price,
        "targets": [asdict(one) for one in descriptions],
        "metrics": {metric.key: metric.to_json() for metric in METRICS},
        "points": told,
        "ratios": compare(found, names),
        "differences": tell_gateway_apart(found, descriptions),
        "interrupted": dict(interrupted) if interrupted is not None else _interruption(points),
    }


def _by_place(points: Sequence[Point], names: Sequence[str]) -> dict[Place, list[Point]]:
    """Rounds that were finished; where none was, what there is of those that were not. Targets in their own order."""
    places: dict[Place, list[Point]] = defaultdict(list)
    for point in sorted(points, key=lambda point: names.index(point.target)):
        if point.records:
            places[(point.target, point.workload, point.load)].append(point)
    return {place: [one for one in many if one.complete] or many for place, many in places.items()}


def _describe(
    place: Place, rounds: Sequence[Point], figures: Sequence[Mapping[str, float]], terms: Terms
) -> dict[str, Any]:
    target, workload, load = place
    together = _join(rounds)
    ttft = ttft_ms(together)
    return {
        "target": target,
        "workload": workload,
        "load": {"kind": load.kind, "amount": load.amount},
        "rounds": len(rounds),
        "planned": sum(one.planned for one in rounds),
        "requests": len(together.records),
        "answered": len(ttft),
        "complete": all(one.complete for one in rounds),
        "saturated": _saturated(rounds),
        "metrics": _spreads(together, figures, terms),
        "errors": count_errors(together),
        "messages": _messages(together),
        "split_ms": {stage: round(value, 3) for stage, value in mean_split_ms(together).items()},
        "ttft_quantiles_ms": [round(value, 3) for value in distribution(ttft)],
        "kinds": _kinds(together),
        "warnings": warnings_of(together, rounds, figures),
    }


def _kinds(together: Point) -> dict[str, dict[str, Any]]:
    """Figures of each kind of visit, over the answers of all rounds; empty where there is one kind only."""
    names = list(dict.fromkeys(record.kind for record in together.records))
    parts = {
        name: replace(together, records=[one for one in together.records if one.kind == name])
        for name in names
    }
    return {
        name: {
            "requests": len(part.records),
            "answered": sum(record.answered for record in part.records),
            "ttft_p50_ms": rounded(quantile(ttft_ms(part), 0.5)),
            "ttft_p95_ms": rounded(quantile(ttft_ms(part), 0.95)),
            "total_p50_ms": rounded(quantile(total_ms(part), 0.5)),
        }
        for name, part in parts.items()
        if len(parts) > 1
    }


def _spreads(together: Point, figures: Sequence[Mapping[str, float]], terms: Terms) -> dict[str, Any]:
    """Each figure over the rounds; of all answers together where a round has too few for it, which is said.

    The rounds that have enough would be those in which fewer failed.
    """
    spreads: dict[str, Any] = {}
    answering = sum("total_p50_ms" in one for one in figures)
    for metric in METRICS:
        values = [one[metric.key] for one in figures if metric.key in one]
        pooled = metric.compute(together, terms) if metric.pooled and len(values) < answering else None
        if pooled is not None:
            none: dict[str, Any] = {"min": None, "max": None, "values": [], "pooled": True}
            spreads[metric.key] = {"median": rounded(pooled)} | none
        elif values:
            spreads[metric.key] = spread(values)
    return spreads


def _join(rounds: Sequence[Point]) -> Point:
    """All rounds as one: what adds up is added, of the generator's lag the longest is kept."""
    return replace(
        rounds[0],
        records=[record for one in rounds for record in one.records],
        wall_s=sum(one.wall_s for one in rounds),
        generator_cpu_s=sum(one.generator_cpu_s for one in rounds),
        generator_lag_s=max(one.generator_lag_s for one in rounds),
    )


def _saturated(rounds: Sequence[Point]) -> bool | None:
    """By most of the rounds that can tell, None where none can."""
    told = [found for one in rounds if (found := is_saturated(one)) is not None]
    return 2 * sum(told) > len(told) if told else None


def _messages(point: Point) -> dict[str, str]:
    """For each kind of failure, what the first one said."""
    said: dict[str, str] = {}
    for record in point.records:
        if not record.answered and record.message:
            said.setdefault(record.error or "failed", record.message)
    return said


def _interruption(points: Sequence[Point]) -> dict[str, Any] | None:
    cut = [one for one in points if not one.complete]
    if not cut:
        return None
    at = f"{cut[0].target}, {cut[0].workload}, {cut[0].load}, round {cut[0].round}"
    done, planned = sum(len(one.records) for one in points), sum(one.planned for one in points)
    return {"done": done, "planned": planned, "at": at}


def _terms(place: Place, slo: Slo, price: Price) -> Terms:
    return Terms(slo, price.get(place[0]) if isinstance(price, Mapping) else price)


def _versions() -> dict[str, str]:
    more = {package: _version(package) for package in _MORE_PACKAGES}
    return list_versions() | {name: number for name, number in more.items() if number}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
