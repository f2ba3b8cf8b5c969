"""Which item this server takes next, and which ones are past their time."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import tag_for_keyword

from radserve_server.worklist.codes import ANSWER_QUESTIONS, STATION, Code
from radserve_server.worklist.dates import read_time
from radserve_server.worklist.workitem import State, Workitem

_RANK = {"HIGH": 0, "MEDIUM": 1, "LOW": 2}
_CODE_VALUE, _SCHEME = "00080100", "00080102"


def is_for_us(attributes: Mapping[str, Any]) -> bool:
    """Whether an item names this server, or names nobody and is of the kind that this server does."""
    stations = _codes(attributes, "ScheduledStationNameCodeSequence")
    if stations:
        return _key(STATION) in stations
    return _key(ANSWER_QUESTIONS) in _codes(attributes, "ScheduledWorkitemCodeSequence")


@dataclass(frozen=True, slots=True)
class Place:
    """An item's place in this server's queue; `is_begun` is what this server has claimed, times are Unix seconds."""

    is_begun: bool
    is_ready: bool
    rank: int
    start: float
    created: float
    expires: float


def find_place(item: Workitem) -> Place | None:
    """None for what has ended, is not for this server, or was claimed by another."""
    is_begun = item.state is State.IN_PROGRESS and item.own
    if not is_begun and not (item.state is State.SCHEDULED and is_for_us(item.attributes)):
        return None
    until = item.first("ScheduledProcedureStepExpirationDateTime")
    return Place(
        is_begun,
        item.first("InputReadinessState") == "READY",
        _RANK[item.first("ScheduledProcedureStepPriority")],
        read_time(item.first("ScheduledProcedureStepStartDateTime")),
        item.created,
        math.inf if until is None else read_time(until),
    )


def next_item(places: Mapping[str, Place]) -> str | None:
    """What was begun before; else of what is ready and due the most urgent, then the oldest. Gives its UID."""
    now = time.time()
    waiting = (
        (not place.is_begun, place.rank, place.start, place.created, uid)
        for uid, place in places.items()
        if place.is_begun or (place.is_ready and place.start <= now < place.expires)
    )
    first = min(waiting, default=None)
    return None if first is None else first[-1]


def list_expired(places: Mapping[str, Place]) -> list[str]:
    """The UIDs of items that nobody wants any more (0040,4008)."""
    now = time.time()
    return [uid for uid, place in places.items() if place.expires <= now and not place.is_begun]


def _codes(attributes: Mapping[str, Any], keyword: str) -> list[tuple[Any, Any]]:
    """Value and scheme of each code."""
    element = attributes.get(f"{tag_for_keyword(keyword):08X}", {})
    return [(_first(item, _CODE_VALUE), _first(item, _SCHEME)) for item in element.get("Value", [])]


def _first(item: Mapping[str, Any], tag: str) -> Any:
    return next(iter(item.get(tag, {}).get("Value", [])), None)


def _key(code: Code) -> tuple[str, str]:
    return code.value, code.scheme
