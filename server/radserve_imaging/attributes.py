"""Typed values out of a data set's elements, each named in the error when it is not what it should be."""

import math
import struct
from collections.abc import Iterator, Mapping

from radserve_imaging.elements import Element, Walker
from radserve_imaging.errors import InvalidAttributeError, MissingAttributeError
from radserve_imaging.tags import describe

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_TEXT = frozenset({"DS", "IS", "LO", "SH", "CS", "LT", "ST", "UT"})
_MAX_QUOTED = 40


class Attributes:
    """The attributes of one data set or sequence item, decoded when asked for."""

    def __init__(self, walker: Walker, elements: Mapping[int, Element]) -> None:
        self._walker = walker
        self._elements = elements

    def __contains__(self, tag: int) -> bool:
        element = self._elements.get(tag)
        return element is not None and element.end > element.start

    def __iter__(self) -> Iterator[int]:
        return iter(self._elements)

    def element(self, tag: int) -> Element | None:
        """Where the element lies, or None."""
        return self._elements.get(tag)

    def value(self, tag: int) -> bytes:
        """The value's bytes; empty where there is none."""
        element = self._elements.get(tag)
        return b"" if element is None else self._walker.buffer[element.start : element.end]

    def items(self, tag: int) -> list["Attributes"]:
        """The items of a sequence; none where it is absent."""
        element = self._elements.get(tag)
        if element is None:
            return []
        return [Attributes(self._walker, elements) for elements in self._walker.items(element)]

    def text(self, tag: int) -> str | None:
        """The first value of a text attribute, without padding; None where absent or empty."""
        return next((value for value in self._texts(tag) if value), None)

    def texts(self, tag: int) -> list[str]:
        """All values of a text attribute."""
        return self._texts(tag) if tag in self else []

    def numbers(self, tag: int, vr: str) -> list[float]:
        """All values of a numeric attribute whose VR is `vr` unless the file states another; may be empty."""
        element = self._elements.get(tag)
        if element is None or element.end == element.start:
            return []
        kind = _BINARY.get(vr, "") if element.vr not in _BINARY else _BINARY[element.vr]
        kind = "" if element.vr in _TEXT else kind
        try:
            if kind:
                size = struct.calcsize(kind)
                count = (element.end - element.start) // size
                order = element.encoding.order
                numbers = list(
                    struct.unpack_from(f"{order}{count}{kind}", self._walker.buffer, element.start)
                )
            else:
                numbers = [float(value) for value in self._texts(tag) if value]
        except ValueError as error:
            raise self.wrong(tag, "is not a number") from error
        if not all(math.isfinite(number) for number in numbers):
            raise self.wrong(tag, "is not a finite number")
        return numbers

    def number(self, tag: int, vr: str) -> float | None:
        """The first value of a numeric attribute, or None."""
        return next(iter(self.numbers(tag, vr)), None)

    def integer(self, tag: int, vr: str = "US") -> int | None:
        """The one integer of an attribute, or None; several or a fraction raise InvalidAttributeError."""
        numbers = self.numbers(tag, vr)
        if len(numbers) > 1:
            raise InvalidAttributeError(
                f"{describe(tag)} has {len(numbers)} values, not one", tag=describe(tag)
            )
        if numbers and not float(numbers[0]).is_integer():
            raise self.wrong(tag, "is not an integer")
        return int(numbers[0]) if numbers else None

    def required(self, tag: int) -> int:
        """An integer (US) that must be there."""
        value = self.integer(tag)
        if value is None:
            raise MissingAttributeError(
                f"{describe(tag)} is missing, and the pixels cannot be read without it", tag=describe(tag)
            )
        return value

    def wrong(self, tag: int, what: str) -> InvalidAttributeError:
        """The error for a text value that makes no sense, quoting its start."""
        quoted = "\\".join(self._texts(tag))[:_MAX_QUOTED]
        return InvalidAttributeError(f"{describe(tag)} {what}: {quoted!r}", tag=describe(tag))

    def _texts(self, tag: int) -> list[str]:
        return [part.strip(" \0") for part in self.value(tag).decode("latin-1").split("\\")]


def bad_value(tag: int, value: object, why: str) -> InvalidAttributeError:
    """The error for a value of a known attribute that cannot be."""
    return InvalidAttributeError(f"{describe(tag)} is {value}: {why}", tag=describe(tag))
