"""Which item this server takes next, and which ones are past their time."""

import time
from collections.abc import Iterable, Mapping
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


def next_item(items: Iterable[Workitem]) -> Workitem | None:
    """What this server left unfinished; else of its items that are ready and due the most urgent, then the oldest."""
    waiting = []
    for item in items:
        if item.state is State.IN_PROGRESS and item.own:
            return item
        if _is_waiting(item) and item.first("InputReadinessState") == "READY" and _start(item) <= time.time():
            waiting.append(item)
    return min(waiting, key=_urgency, default=None)


def list_expired(items: Iterable[Workitem]) -> list[Workitem]:
    """Items for this server that nobody wants any more (0040,4008)."""
    return [
        item
        for item in items
        if _is_waiting(item)
        and (until := item.first("ScheduledProcedureStepExpirationDateTime"))
        and read_time(until) < time.time()
    ]


def _is_waiting(item: Workitem) -> bool:
    return item.state is State.SCHEDULED and is_for_us(item.attributes)


def _start(item: Workitem) -> float:
    return read_time(item.first("ScheduledProcedureStepStartDateTime"))


def _urgency(item: Workitem) -> tuple[int, float, float]:
    return _RANK[item.first("ScheduledProcedureStepPriority")], _start(item), item.created


def _codes(attributes: Mapping[str, Any], keyword: str) -> list[tuple[Any, Any]]:
    """Value and scheme of each code; on the JSON itself, for a worklist may be long."""
    element = attributes.get(f"{tag_for_keyword(keyword):08X}", {})
    return [(_first(item, _CODE_VALUE), _first(item, _SCHEME)) for item in element.get("Value", [])]


def _first(item: Mapping[str, Any], tag: str) -> Any:
    return next(iter(item.get(tag, {}).get("Value", [])), None)


def _key(code: Code) -> tuple[str, str]:
    return code.value, code.scheme
