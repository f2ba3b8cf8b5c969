"""Searches of the worklist (PS3.18 11.9): keys, wildcards, ranges and sequences, on the DICOM JSON Model."""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from radserve_server.errors import InvalidRequest

_MAX_RESULTS = 1000
_SECRET = "00081195"
_SHOWN = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "ScheduledProcedureStepPriority"),
    *("ScheduledProcedureStepModificationDateTime", "ProcedureStepLabel", "WorklistLabel"),
    *("ScheduledStationNameCodeSequence", "ScheduledStationClassCodeSequence"),
    *("ScheduledStationGeographicLocationCodeSequence", "ScheduledProcedureStepStartDateTime"),
    *("ExpectedCompletionDateTime", "ScheduledWorkitemCodeSequence", "CommentsOnTheScheduledProcedureStep"),
    *("InputReadinessState", "StudyInstanceUID", "PatientName", "PatientID", "IssuerOfPatientID"),
    *("PatientBirthDate", "PatientSex", "AdmissionID", "ReferencedRequestSequence", "ProcedureStepState"),
    "ProcedureStepProgressInformationSequence",
)
_RANGE = re.compile(r"(\d{6,14}(?:\.\d{1,6})?(?:[+-]\d{4})?)?-(\d{6,14}(?:\.\d{1,6})?(?:[+-]\d{4})?)?")
_LITERAL = (
    "299 radserve: The fuzzymatching parameter is not supported. Only literal matching has been performed."
)
_TRUNCATED = (
    "299 radserve: The number of results exceeded the maximum supported by the server. "
    "Additional results can be requested."
)
Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute to match: its tags from the outermost sequence on, its representation, what it must be like."""

    path: tuple[str, ...]
    vr: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Query:
    """`fields` are the tags to give back, None for all."""

    keys: tuple[Key, ...]
    fields: frozenset[str] | None
    offset: int
    limit: int
    is_fuzzy: bool

    def run(self, items: Iterable[Attributes]) -> tuple[list[dict[str, Any]], list[str]]:
        """The items that match, cut to the fields, and the answer's Warnings."""
        found = [item for item in items if _matches(item, self.keys)][self.offset :]
        warnings = [_LITERAL] * self.is_fuzzy + [_TRUNCATED] * (min(len(found), self.limit) > _MAX_RESULTS)
        return [self._cut(item) for item in found[: min(self.limit, _MAX_RESULTS)]], warnings

    def _cut(self, item: Attributes) -> dict[str, Any]:
        return {tag: value for tag, value in item.items() if self.fields is None or tag in self.fields}


def read_query(parameters: Sequence[tuple[str, str]]) -> Query:
    """Of a URL's query; raises InvalidRequest naming the parameter."""
    keys: list[Key] = []
    fields: frozenset[str] | None = frozenset(_tag(keyword, keyword) for keyword in _SHOWN)
    counts = {"offset": 0, "limit": 2**31}
    is_fuzzy = False
    for name, value in parameters:
        if name == "includefield":
            fields = None if fields is None or value == "all" else fields | _read_fields(value)
        elif name in counts:
            counts[name] = _read_count(name, value)
        elif name == "fuzzymatching":
            is_fuzzy = value == "true"
        else:
            keys.append(_read_key(name, value))
    if fields is not None:
        fields |= {key.path[0] for key in keys}
    return Query(tuple(keys), fields, counts["offset"], counts["limit"], is_fuzzy)


def _read_fields(value: str) -> frozenset[str]:
    return frozenset(_tag(name.split(".")[0], "includefield") for name in value.split(","))


def _read_count(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise InvalidRequest(f"{name} is no number", param=name)
    return int(value)


def _read_key(name: str, value: str) -> Key:
    path = tuple(_tag(step, name) for step in name.split("."))
    vr = dictionary_VR(int(path[-1], 16))
    if vr == "SQ" and value:
        message = f"name an attribute in the sequence, as in {name[:100]}.CodeValue"
        raise InvalidRequest(message, param=name[:100])
    return Key(path, vr, value)


def _tag(name: str, param: str) -> str:
    """Of a keyword, or of eight hexadecimal digits that the data dictionary has."""
    tag = int(name, 16) if re.fullmatch(r"[0-9A-Fa-f]{8}", name) else tag_for_keyword(name)
    told = "" if tag is None else f"{tag:08X}"
    try:
        if not told or told == _SECRET:
            raise KeyError(name)
        dictionary_VR(int(told, 16))
    except KeyError:
        message = f"{param[:100]!r} is no attribute that can be searched or given back"
        raise InvalidRequest(message, code="unsupported_field", param=param[:100]) from None
    return told


def _matches(item: Attributes, keys: Sequence[Key]) -> bool:
    """All keys do; those of one sequence in the same item of it (PS3.4 C.2.2.2.6)."""
    for tag, group in groupby(sorted(keys, key=lambda key: key.path), lambda key: key.path[0]):
        several = list(group)
        values = item.get(tag, {}).get("Value", [])
        inner = [Key(key.path[1:], key.vr, key.wanted) for key in several if len(key.path) > 1 and key.wanted]
        if inner and not any(_matches(value, inner) for value in values):
            return False
        for key in several:
            if len(key.path) == 1 and key.wanted and not any(_fits(_text(value), key) for value in values):
                return False
    return True


def _text(value: Any) -> str:
    return str(value.get("Alphabetic", "")) if isinstance(value, dict) else str(value)


def _fits(value: str, key: Key) -> bool:
    """PS3.4 C.2.2.2: a single value, a list of UIDs, a range of times, or * and ? in a text."""
    if key.vr == "UI":
        return value in re.split(r"[\\,]", key.wanted)
    if key.vr in ("DA", "DT", "TM"):
        span = _RANGE.fullmatch(key.wanted)
        if span is None or not any(span.groups()):
            return value.startswith(key.wanted)
        first, last = span.groups()
        return (not first or value >= first) and (not last or value[: len(last)] <= last)
    return bool(_compile(key.wanted, re.IGNORECASE if key.vr == "PN" else 0).match(value))


@lru_cache(256)
def _compile(wanted: str, flags: int) -> re.Pattern[str]:
    """Of * and ? only; fnmatch's patterns never try a second time where a * might end, which could take for ever."""
    return re.compile(fnmatch.translate(wanted.replace("[", "[[]")), flags)
