"""What targets are to each other, paired by round at the same workload and load; above 1, the first is better."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from radserve_bench.record import Description, Load
from radserve_bench.reporting.spread import Estimate, Pair, difference, ratio

Rounds = Mapping[int, Mapping[str, float]]
"""The figures of each round of one target under one load."""

Place = tuple[str, str, Load]
"""Target, workload, load."""

_RATIOS = (
    ("ttft", "TTFT p50: how many times sooner", "ttft_p50_ms", True),
    ("total", "whole answer p50: how many times sooner", "total_p50_ms", True),
    ("requests", "answers a second", "requests_per_s", False),
    ("tokens", "tokens a second", "tokens_per_s", False),
)
"""Key, title, the figure, and whether less of it is better."""


def compare(found: Mapping[Place, Rounds], names: Sequence[str]) -> list[dict[str, Any]]:
    """Ratios of each target to those after it, one entry a figure, workload and load."""
    entries = []
    for first, other in combinations(names, 2):
        for workload, load, ours, theirs in _beside(found, first, other):
            for key, title, figure, less in _RATIOS:
                pairs = _pair(ours, theirs, figure)
                estimate = ratio([(b, a) for a, b in pairs] if less else pairs)
                if estimate:
                    about = {"figure": key, "title": title, "first": first, "other": other}
                    entries.append(_entry(about, workload, load, estimate))
    return entries


def tell_gateway_apart(
    found: Mapping[Place, Rounds], descriptions: Sequence[Description]
) -> list[dict[str, Any]]:
    """What stands between a server and Triton asked directly for the same engine, as milliseconds of TTFT p50.

    Triton is sent pixels that are rendered before the clock; so this holds upload, decoding and rendering as well.
    """
    entries = []
    for one, another in combinations(descriptions, 2):
        kinds = {one.kind: one.name, another.kind: another.name}
        if set(kinds) != {"radserve", "triton"} or not one.digest or one.digest != another.digest:
            continue
        for workload, load, ours, theirs in _beside(found, kinds["radserve"], kinds["triton"]):
            estimate = difference(_pair(ours, theirs, "ttft_p50_ms"))
            if estimate:
                about = {"figure": "gateway", "title": "the gateway adds to TTFT p50, ms"}
                about |= {"first": kinds["radserve"], "other": kinds["triton"]}
                entries.append(_entry(about, workload, load, estimate))
    return entries


def _beside(
    found: Mapping[Place, Rounds], first: str, other: str
) -> Iterator[tuple[str, Load, Rounds, Rounds]]:
    for (target, workload, load), ours in found.items():
        theirs = found.get((other, workload, load))
        if target == first and theirs is not None:
            yield workload, load, ours, theirs


def _pair(ours: Rounds, theirs: Rounds, figure: str) -> list[Pair]:
    return [(ours[one].get(figure), theirs[one].get(figure)) for one in sorted(ours.keys() & theirs.keys())]


def _entry(about: Mapping[str, Any], workload: str, load: Load, estimate: Estimate) -> dict[str, Any]:
    place = {"workload": workload, "load": {"kind": load.kind, "amount": load.amount}}
    return {**about, **place, **estimate.to_json()}
