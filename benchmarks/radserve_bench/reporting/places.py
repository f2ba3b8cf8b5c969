"""Points of the document by workload and load; "ct-slice images=4" is a kind of the family ct-slice."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from radserve_bench.record import Load

Entry = Mapping[str, Any]


def family(point: Entry) -> str:
    """The workload without its options."""
    return _parts(point)[0]


def kind(point: Entry) -> str:
    """Its options, "" without any."""
    return _parts(point)[1]


def load(point: Entry) -> Load:
    """Of an entry of points, ratios or differences."""
    return Load(**point["load"])


def families(document: Entry) -> dict[str, list[Entry]]:
    """Points of each family: kinds in the order of the run, then by load; targets under one load stand together."""
    found: dict[str, list[Entry]] = {}
    for point in document["points"]:
        found.setdefault(family(point), []).append(point)
    return {name: _sorted(points) for name, points in found.items()}


def figure(point: Entry, key: str) -> float | None:
    """The median of one figure, None where it is not known."""
    spread = point["metrics"].get(key)
    return None if spread is None else float(spread["median"])


def _sorted(points: Iterable[Entry]) -> list[Entry]:
    listed = list(points)
    kinds = list(dict.fromkeys(kind(point) for point in listed))
    return sorted(listed, key=lambda one: (kinds.index(kind(one)), load(one).kind, load(one).amount))


def _parts(point: Entry) -> tuple[str, str]:
    name, *options = re.split(r",? ", str(point["workload"]), maxsplit=1)
    return name, options[0] if options else ""
