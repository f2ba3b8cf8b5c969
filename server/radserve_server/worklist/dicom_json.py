"""Data sets in the DICOM JSON Model (PS3.18 annex F), checked element by element before pydicom takes them over."""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from pydicom import Dataset, config
from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.valuerep import FLOAT_VR, INT_VR, STR_VR, validate_value

from radserve_server.errors import InvalidRequest

MEDIA_TYPE = "application/dicom+json"
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_INTEGERS = {str(vr) for vr in INT_VR} - {"AT", "IS"}
_FLOATS = {str(vr) for vr in FLOAT_VR} - {"DS"}
_STRINGS = {str(vr) for vr in STR_VR} | {"AT"}
_KEYS = {"vr", "Value", "BulkDataURI", "InlineBinary"}
_MAX_DEPTH = 8
_NAME_PARTS = {"Alphabetic", "Ideographic", "Phonetic"}


def read_dataset(body: bytes) -> Dataset:
    """The one data set of a body, an object or an array with one; raises InvalidRequest naming the tag."""
    try:
        told = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not valid JSON", code="invalid_json", param="body") from None
    if isinstance(told, list):
        if len(told) != 1:
            raise _invalid(f"the body holds {len(told)} data sets; send one", "body")
        told = told[0]
    _check_attributes(told, "body", 0)
    dataset = Dataset.from_json(told)
    dataset.SpecificCharacterSet = "ISO_IR 192"  # JSON is UTF-8, whatever the data set was before (F.2.1)
    return dataset


def write_dataset(dataset: Dataset) -> dict[str, Any]:
    """As the DICOM JSON Model."""
    told: dict[str, Any] = dataset.to_json_dict()
    return told


def name_tag(tag: int) -> str:
    """An attribute as a person looks it up: name, group and element."""
    number = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return f"{dictionary_description(tag)} {number}" if dictionary_has_tag(tag) else f"attribute {number}"


def _check_attributes(told: object, where: str, depth: int) -> None:
    if not isinstance(told, dict):
        raise _invalid(f"{where} is no object of attributes", "body")
    if depth > _MAX_DEPTH:
        raise _invalid(f"sequences are nested more than {_MAX_DEPTH} deep", "body")
    for key, element in told.items():
        if not _TAG.fullmatch(key):
            raise _invalid(
                f"an attribute's key must be its tag, eight hexadecimal digits, in {where}", "body"
            )
        _check_element(int(key, 16), element, depth)


def _check_element(tag: int, element: object, depth: int) -> None:
    name = name_tag(tag)
    if tag >> 16 <= 0x0002:
        raise _invalid(f"{name} is of a command or a file's header, which a work item has not", f"{tag:08X}")
    if not isinstance(element, dict) or not isinstance(element.get("vr"), str) or element.keys() - _KEYS:
        raise _invalid(f"{name} is no object with vr and Value", f"{tag:08X}")
    if "BulkDataURI" in element or "InlineBinary" in element:
        raise _invalid(f"{name} is binary or bulk data, which a work item has not", f"{tag:08X}")
    vr, values = element["vr"], element.get("Value", [])
    _check_vr(tag, vr)
    if not isinstance(values, list):
        raise _invalid(f"the Value of {name} is no array", f"{tag:08X}")
    if vr != "SQ" and len(values) > 1 and dictionary_has_tag(tag) and dictionary_VM(tag) == "1":
        raise _invalid(f"{name} has {len(values)} values; it takes one", f"{tag:08X}")
    for value in values:
        if vr == "SQ":
            _check_attributes(value, f"an item of {name}", depth + 1)
        elif value is not None and not _is_valid(vr, value):
            raise _invalid(f"{name} has a value that is no valid {vr}", f"{tag:08X}")


def _check_vr(tag: int, vr: str) -> None:
    """A known attribute has the representation that the data dictionary gives it (PS3.6)."""
    if vr not in _STRINGS | _INTEGERS | _FLOATS | {"SQ"}:
        raise _invalid(f"{name_tag(tag)} has vr {vr[:20]!r}, which a work item has not", f"{tag:08X}")
    if dictionary_has_tag(tag) and vr not in dictionary_VR(tag).split(" or "):
        raise _invalid(f"{name_tag(tag)} has vr {vr}; it is {dictionary_VR(tag)}", f"{tag:08X}")


def _is_valid(vr: str, value: object) -> bool:
    if vr == "PN":
        return isinstance(value, dict) and not value.keys() - _NAME_PARTS and _is_name(value)
    if vr == "AT":
        return isinstance(value, str) and bool(_TAG.fullmatch(value))
    if isinstance(value, bool):
        return False
    if vr in _INTEGERS:
        return isinstance(value, int) and _passes(vr, value)
    if vr in _FLOATS:
        return isinstance(value, int | float) and _is_finite(value)
    if vr in ("DS", "IS"):
        return isinstance(value, str | int | float) and _passes(vr, str(value))
    return isinstance(value, str) and _passes(vr, value)


def _is_name(parts: Mapping[str, object]) -> bool:
    return all(isinstance(part, str) and _passes("PN", part) for part in parts.values())


def _is_finite(value: float) -> bool:
    """1e999 is a number in JSON, but none that can be written again."""
    try:
        return isfinite(value)
    except OverflowError:
        return False


def _passes(vr: str, value: str | int) -> bool:
    try:
        str(value).encode()  # half of a surrogate pair, \ud800, could be written to nobody
        validate_value(vr, value, config.RAISE)
    except ValueError:
        return False
    return True


def _refuse_constant(_: str) -> float:
    raise ValueError("no number")


def _invalid(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_dicom_json", param=param)
