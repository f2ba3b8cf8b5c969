"""Which slices of a stack, or frames of a cine, stand for the whole: a part of the image policy."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from radserve_imaging.errors import InvalidSlicesError, PolicyError
from radserve_imaging.fields import Fields

Choose = Literal["uniform", "range", "around"]

_MOST = 1024


@dataclass(frozen=True, slots=True)
class SliceChoice:
    """Slices are counted from 1, along the stack's normal. Raises PolicyError naming an impossible field.

    `choose`: "uniform" takes the middles of `count` equal parts of the stack, "range" the same from `first` to
    `last`, "around" slice `at` (the middle one by default) with `neighbours` on either side.
    """

    choose: Choose = "uniform"
    count: int = 1
    first: int | None = None
    last: int | None = None
    at: int | None = None
    neighbours: int = 0

    def __post_init__(self) -> None:
        if self.choose not in get_args(Choose):
            raise PolicyError(f"field choose must be one of {', '.join(get_args(Choose))}")
        for name, least in (("count", 1), ("first", 1), ("last", 1), ("at", 1), ("neighbours", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value <= _MOST**2:
                raise PolicyError(f"field {name} must be from {least} to {_MOST**2}, not {value}")
        if self.choose == "around" and self.count != 1:
            raise PolicyError("field count does not go with choose = around: use neighbours")
        if self.choose != "around" and self.neighbours:
            raise PolicyError(f"field neighbours does not go with choose = {self.choose}")
        if self.most > _MOST:
            raise PolicyError(f"at most {_MOST} slices can be chosen")
        if self.choose == "range" and (self.first or 1) > (self.last or math.inf):
            raise PolicyError(f"fields first and last: {self.first} comes after {self.last}")
        foreign = {"uniform": ("first", "last", "at"), "range": ("at",), "around": ("first", "last")}
        for name in foreign[self.choose]:
            if getattr(self, name) is not None:
                raise PolicyError(f"field {name} does not go with choose = {self.choose}")

    @classmethod
    def from_json(cls, value: object, where: str = "slices") -> "SliceChoice":
        """From decoded JSON; absent fields take their defaults. Raises PolicyError naming the field."""
        read = Fields(value, PolicyError, where)
        names = [field.name for field in fields(cls)]
        read.refuse_unknown(names)
        given = {name: read.integer(name) for name in names[1:] if read.present(name)}
        choose = read.choice("choose", get_args(Choose)) if "choose" in read else "uniform"
        return cls(choose, **given)  # type: ignore[arg-type]

    def to_json(self) -> Mapping[str, object]:
        """As JSON values; `from_json` gives the same choice back."""
        return asdict(self)

    @property
    def most(self) -> int:
        """How many slices it chooses at most."""
        return 2 * self.neighbours + 1 if self.choose == "around" else self.count

    def indices(self, slices: int) -> list[int]:
        """The chosen ones among `slices`, counted from 0 and ascending; raises InvalidSlicesError."""
        if self.choose == "around":
            middle = (self.at or (slices + 1) // 2) - 1
            _require(middle, slices, "at")
            return list(range(max(0, middle - self.neighbours), min(slices, middle + self.neighbours + 1)))
        first, last = 0, slices - 1
        if self.choose == "range":
            first, last = (self.first or 1) - 1, (self.last or slices) - 1
            _require(first, slices, "first")
            _require(last, slices, "last")
        span = last - first + 1
        count = min(self.count, span)
        return [first + math.ceil((part + 0.5) * span / count) - 1 for part in range(count)]


def _require(index: int, slices: int, name: str) -> None:
    if not 0 <= index < slices:
        raise InvalidSlicesError(
            f"field {name}: slice {index + 1} was asked for, but there are slices 1 to {slices}"
        )
