"""From DICOM JSON (PS3.18 annex F) to the planes of an instance, through the reader that reads files."""

import json
import re
import struct
from collections.abc import Mapping
from math import isfinite
from typing import Any

from radserve_imaging import ImagingError, Limits, Plane, list_planes
from radserve_imaging import tags as t

Attributes = Mapping[str, Any]

_PREAMBLE = bytes(128) + b"DICM"
_EXPLICIT_LITTLE = b"1.2.840.10008.1.2.1\0"
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_TEXT = frozenset({"CS", "DS", "IS", "UI"})
_MOST = 0xFFFE  # bytes of a value whose length has 16 bits
_DEEPEST = 3
_OF_PLANES = frozenset(
    {
        t.ACQUISITION_NUMBER,
        t.COLUMNS,
        t.CT_IMAGE_FRAME_TYPE_SEQUENCE,
        t.DIFFUSION_B_VALUE,
        t.ECHO_TIME,
        t.EFFECTIVE_ECHO_TIME,
        t.FRAME_CONTENT_SEQUENCE,
        t.FRAME_TYPE,
        t.GANTRY_TILT,
        t.IMAGE_ORIENTATION_PATIENT,
        t.IMAGE_POSITION_PATIENT,
        t.IMAGE_TYPE,
        t.INSTANCE_NUMBER,
        t.MODALITY,
        t.MR_DIFFUSION_SEQUENCE,
        t.MR_ECHO_SEQUENCE,
        t.MR_IMAGE_FRAME_TYPE_SEQUENCE,
        t.NUMBER_OF_FRAMES,
        t.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
        t.PIXEL_MEASURES_SEQUENCE,
        t.PIXEL_SPACING,
        t.PLANE_ORIENTATION_SEQUENCE,
        t.PLANE_POSITION_SEQUENCE,
        t.ROWS,
        t.SERIES_INSTANCE_UID,
        t.SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
        t.SLICE_THICKNESS,
        t.TEMPORAL_POSITION_IDENTIFIER,
        t.TEMPORAL_POSITION_INDEX,
    }
)
_WANTED = {f"{tag:08X}": tag for tag in sorted(_OF_PLANES)}
_SERIES_DESCRIPTION, _SERIES_INSTANCES = 0x0008103E, 0x00201209
_KEPT = _WANTED.keys() | {
    f"{tag:08X}"
    for tag in (
        t.SOP_CLASS_UID,
        t.SOP_INSTANCE_UID,
        t.WINDOW_CENTER,
        t.WINDOW_WIDTH,
        _SERIES_DESCRIPTION,
        _SERIES_INSTANCES,
    )
}
_DECODER = json.JSONDecoder()
_SPACE, _COMMA = re.compile(r"[ \t\r\n]*"), re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


def read_objects(content: bytes) -> list[Attributes]:
    """The objects of an answer, with those attributes only that are read here; raises ValueError.

    They are decoded one by one, so that other threads get their turn: 300 headers are 6 MB of JSON.
    """
    text = content.decode()
    at = _skip(text, 0)
    if not text.startswith("[", at):
        raise ValueError("no list of objects")
    at = _skip(text, at + 1)
    found: list[Attributes] = []
    while not text.startswith("]", at):
        try:
            item, at = _DECODER.raw_decode(text, at)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(item, dict):
            raise ValueError("something else than an object")
        found.append({tag: value for tag, value in item.items() if tag in _KEPT})
        comma = _COMMA.match(text, at)
        at = _skip(text, at) if comma is None else comma.end()
        if comma is None and not text.startswith("]", at):
            raise ValueError("cut off")
    return found


def describe_series(attributes: Attributes) -> tuple[str | None, int | None]:
    """Series Description, and Number of Series Related Instances."""
    return read_text(attributes, _SERIES_DESCRIPTION), read_number(attributes, _SERIES_INSTANCES)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def read_text(attributes: Attributes, tag: int) -> str | None:
    """The first value of an attribute as text; None where there is none."""
    values = _values(attributes.get(f"{tag:08X}"))
    return str(values[0]) if values and isinstance(values[0], str | int | float) else None


def read_number(attributes: Attributes, tag: int) -> int | None:
    """The first value of an attribute as a whole number; None where there is none."""
    text = read_text(attributes, tag)
    try:
        return None if text is None else int(float(text))
    except (ValueError, OverflowError):
        return None


def has_window(attributes: Attributes) -> bool:
    """Whether an instance brings a window of its own that can be shown, PS3.3 C.11.2.1.2."""
    center, width = read_text(attributes, t.WINDOW_CENTER), read_text(attributes, t.WINDOW_WIDTH)
    try:
        return center is not None and width is not None and isfinite(float(center)) and float(width) > 1
    except ValueError:
        return False


def read_planes(attributes: Attributes) -> tuple[Plane, ...]:
    """Where the frames of an instance lie; none of what is no image, or has a header that cannot be."""
    if not (read_number(attributes, t.ROWS) and read_number(attributes, t.COLUMNS)):
        return ()
    try:
        return tuple(list_planes(write_header(attributes), Limits()))
    except (ImagingError, struct.error, ValueError, OverflowError):
        return ()


def write_header(attributes: Attributes) -> bytes:
    """A DICOM file without pixels, of those attributes only that say where frames lie; raises struct.error."""
    syntax = _element(t.TRANSFER_SYNTAX_UID, "UI", _EXPLICIT_LITTLE)
    return _PREAMBLE + syntax + _data_set(attributes, 0)


def _data_set(attributes: Attributes, depth: int) -> bytes:
    written = bytearray()
    for name, tag in _WANTED.items():
        attribute = attributes.get(name)
        if isinstance(attribute, Mapping):
            written += _attribute(tag, str(attribute.get("vr")), _values(attribute), depth)
    return bytes(written)


def _attribute(tag: int, vr: str, values: list[Any], depth: int) -> bytes:
    if vr == "SQ":
        items = [_data_set(item, depth + 1) for item in values if isinstance(item, Mapping)]
        if depth >= _DEEPEST:
            return b""
        content = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(content)) + content
    if vr in _BINARY:
        kind = _BINARY[vr]
        numbers = [float(value) for value in values if isinstance(value, int | float | str)]
        whole = [value if kind in "fd" else int(value) for value in numbers]
        return _element(tag, vr, struct.pack(f"<{len(whole)}{kind}", *whole))
    if vr not in _TEXT:
        return b""
    told = "\\".join("" if value is None else str(value) for value in values)
    encoded = told.encode("ascii", "replace")
    return _element(tag, vr, encoded + b" " * (len(encoded) % 2))


def _element(tag: int, vr: str, value: bytes) -> bytes:
    """A value too long to be one is left out."""
    if len(value) > _MOST:
        return b""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def _values(attribute: Any) -> list[Any]:
    found = attribute.get("Value") if isinstance(attribute, Mapping) else None
    return found if isinstance(found, list) else []
