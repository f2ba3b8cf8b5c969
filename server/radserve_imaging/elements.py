"""The structure of a DICOM data set, PS3.5 clause 7: where each element lies, with no value decoded.

A file from outside is walked here rather than through a full parser for four reasons: nesting and counts are
bounded (no recursion), nothing is copied, values that identify a patient are never turned into objects or
quoted in warnings, and no process-wide setting or warning filter is touched, so threads do not disturb
each other.
"""

import struct
from dataclasses import dataclass

from radserve_imaging.errors import MalformedDicomError, TooLargeError, TruncatedDicomError
from radserve_imaging.limits import Limits
from radserve_imaging.tags import PIXEL_TAGS, describe

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

# PS3.5 7.1.2: these have a reserved field and a length of 32 bits.
_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Implicit or explicit VR, and the byte order."""

    implicit: bool = False
    big_endian: bool = False

    @property
    def order(self) -> str:
        """The byte order as `struct` and numpy write it."""
        return ">" if self.big_endian else "<"


IMPLICIT_LITTLE = Encoding(implicit=True)


@dataclass(frozen=True, slots=True)
class Element:
    """One element: `vr` as written (None if implicit), and the bytes of its value, from `start` to `end`.

    `length` is as written; for UNDEFINED, `end` is where its delimiter begins, or the end of the buffer for
    pixel data, whose fragments are walked later.
    """

    tag: int
    vr: str | None
    start: int
    end: int
    length: int
    encoding: Encoding


class Walker:
    """Walks elements of one buffer within `limits`; raises TruncatedDicomError and MalformedDicomError."""

    def __init__(self, buffer: bytes, limits: Limits) -> None:
        self.buffer = buffer
        self._limits = limits
        self._budget = limits.max_elements

    def walk(
        self, start: int, end: int, encoding: Encoding, *, group: int | None = None
    ) -> tuple[dict[int, Element], int]:
        """Elements from `start` up to `end`, an item's end, another `group` or the pixels, and that place."""
        elements: dict[int, Element] = {}
        position = start
        while position + 8 <= end:
            tag, vr, length, value = self._header(position, end, encoding)
            if tag == ITEM_END:
                return elements, value
            if group is not None and tag >> 16 != group:
                break
            stop = self._stop(tag, vr, length, value, end, encoding)
            elements[tag] = Element(tag, vr, value, min(stop, end), length, encoding)
            if tag in PIXEL_TAGS:
                break
            position = stop + 8 if length == UNDEFINED else stop
        return elements, position

    def items(self, sequence: Element) -> list[dict[int, Element]]:
        """The items of a sequence, each as its elements."""
        inner = IMPLICIT_LITTLE if sequence.vr == "UN" else sequence.encoding  # PS3.5 6.2.2
        found, position = [], sequence.start
        while position + 8 <= sequence.end:
            tag, _, length, value = self._header(position, sequence.end, inner)
            if tag != ITEM:
                break
            end = sequence.end if length == UNDEFINED else min(value + length, sequence.end)
            elements, position = self.walk(value, end, inner)
            position = position if length == UNDEFINED else end
            found.append(elements)
        return found

    def _header(self, position: int, end: int, encoding: Encoding) -> tuple[int, str | None, int, int]:
        """Tag, VR, length and where the value starts."""
        self._budget -= 1
        if self._budget < 0:
            raise TooLargeError(f"the data set has more than {self._limits.max_elements:,} elements")
        order, buffer = encoding.order, self.buffer
        group, element, length = struct.unpack_from(f"{order}HHI", buffer, position)
        tag = group << 16 | element
        vr = buffer[position + 4 : position + 6]
        # Some writers switch to implicit VR inside a sequence; no VR there, then.
        if encoding.implicit or group == 0xFFFE or not (vr.isalpha() and vr.isupper() and vr.isascii()):
            return tag, None, length, position + 8
        if vr not in _LONG_VRS:
            (length,) = struct.unpack_from(f"{order}H", buffer, position + 6)
            return tag, vr.decode("ascii"), length, position + 8
        if position + 12 > end:
            raise TruncatedDicomError(f"the file ends inside the header of {describe(tag)}")
        (length,) = struct.unpack_from(f"{order}I", buffer, position + 8)
        return tag, vr.decode("ascii"), length, position + 12

    def _stop(self, tag: int, vr: str | None, length: int, value: int, end: int, encoding: Encoding) -> int:
        """Where the value ends; pixel data may run past `end`, and is judged when it is decoded."""
        if tag in PIXEL_TAGS:
            return end if length == UNDEFINED else value + length
        if length == UNDEFINED:
            return self._skip(value, end, IMPLICIT_LITTLE if vr == "UN" else encoding)
        if value + length > end:
            raise TruncatedDicomError(
                f"the file ends inside {describe(tag)}: {length:,} bytes are declared, {end - value:,} are "
                "there. The transfer was cut off, or the file is corrupt; fetch it again",
                tag=describe(tag),
            )
        return value + length

    def _skip(self, position: int, end: int, encoding: Encoding) -> int:
        """Where the delimiter begins that closes an undefined length opened just before `position`."""
        open_encodings = [encoding]
        while position + 8 <= end:
            tag, vr, length, value = self._header(position, end, open_encodings[-1])
            if tag in (ITEM_END, SEQUENCE_END):
                open_encodings.pop()
                if not open_encodings:
                    return position
                position = value
            elif length == UNDEFINED:
                if len(open_encodings) >= self._limits.max_nesting:
                    raise MalformedDicomError(f"sequences are nested deeper than {self._limits.max_nesting}")
                open_encodings.append(IMPLICIT_LITTLE if vr == "UN" else open_encodings[-1])
                position = value
            else:
                position = value + length
        raise TruncatedDicomError("the file ends inside a sequence of undefined length; fetch it again")
