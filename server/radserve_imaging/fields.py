"""Reads typed values out of decoded JSON, and refuses what is not expected by name."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from radserve_imaging.errors import ImagingError

T = TypeVar("T")


class Fields:
    """One JSON object; `error` is raised, naming the field, for an unknown key or an ill-typed value."""

    def __init__(self, value: object, error: type[ImagingError], where: str = "") -> None:
        if not isinstance(value, Mapping):
            raise error(f"{where or 'the document'} must be an object, not {type(value).__name__}")
        self._value = value
        self._error = error
        self._prefix = f"{where}." if where else ""

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Refuse keys outside `known`."""
        names = sorted(known)
        for key in self._value:
            if key not in names:
                raise self._error(f"unknown field {self._prefix}{key}; known are {', '.join(names)}")

    def __contains__(self, name: str) -> bool:
        return name in self._value

    def raw(self, name: str) -> object:
        """The value as it stands; it must be there."""
        if name not in self._value:
            raise self._error(f"field {self._prefix}{name} is missing")
        return self._value[name]

    def wrong(self, name: str, expected: str) -> ImagingError:
        """The error to raise for a field that is not what was `expected`."""
        return self._error(f"field {self._prefix}{name} must be {expected}, not {self._value.get(name)!r}")

    def integer(self, name: str) -> int:
        """An integer; true and false are not integers."""
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name, "an integer")
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(name, "a number")
        return float(value)

    def text(self, name: str) -> str:
        """A string."""
        value = self.raw(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the `allowed` strings."""
        value = self.text(name)
        if value not in allowed:
            raise self.wrong(name, f"one of {', '.join(allowed)}")
        return value

    def numbers(self, name: str, length: int) -> tuple[float, ...]:
        """A list of `length` finite numbers."""
        items = self.items(name, length)
        if not all(
            isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in items
        ):
            raise self.wrong(name, f"{length} numbers")
        return tuple(float(x) for x in items)  # type: ignore[arg-type]

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.raw(name)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def items(self, name: str, length: int | None = None) -> list[object]:
        """A list, of `length` items if that is given."""
        value = self.raw(name)
        if not isinstance(value, list | tuple) or (length is not None and len(value) != length):
            raise self.wrong(name, "a list" if length is None else f"a list of {length}")
        return list(value)

    def present(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._value.get(name) is not None

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """None where the field is absent or null, else `read(name)`."""
        return read(name) if self.present(name) else None

    def nested(self, name: str) -> "Fields":
        """An object inside this one."""
        return Fields(self.raw(name), self._error, f"{self._prefix}{name}")
