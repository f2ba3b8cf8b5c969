"""How an image becomes what the model sees: the part of an engine's manifest that preprocessing obeys."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from radserve_imaging.errors import InvalidWindowError, PolicyError
from radserve_imaging.fields import Fields

WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
Fit = Literal["pad", "stretch", "within"]
Preference = Literal["file", "policy"]

_MAX_SIDE = 8192


@dataclass(frozen=True, slots=True)
class Window:
    """A window over modality values (HU for CT), PS3.3 C.11.2.1.2. Raises InvalidWindowError."""

    center: float
    width: float
    function: WindowFunction = "LINEAR"

    def __post_init__(self) -> None:
        # So that Window(40, 400) and Window(40.0, 400.0) have one digest.
        object.__setattr__(self, "center", float(self.center))
        object.__setattr__(self, "width", float(self.width))
        if self.function not in get_args(WindowFunction):
            known = ", ".join(get_args(WindowFunction))
            raise InvalidWindowError(f"window function {self.function!r} is not one of {known}")
        if not (math.isfinite(self.center) and math.isfinite(self.width)):
            raise InvalidWindowError(f"window {self.center}/{self.width} is not finite")
        # PS3.3 C.11.2.1.2.1 wants a width of at least 1 for LINEAR, C.11.2.1.3 a positive one for the others.
        if self.width < 1 if self.function == "LINEAR" else self.width <= 0:
            least = "at least 1" if self.function == "LINEAR" else "more than 0"
            raise InvalidWindowError(f"window width {self.width:g} must be {least} for {self.function}")

    @classmethod
    def from_json(cls, value: object, where: str = "window") -> "Window":
        """From {"center", "width", "function"}; raises PolicyError or InvalidWindowError."""
        read = Fields(value, PolicyError, where)
        read.refuse_unknown(field.name for field in fields(cls))
        function = _choice(read, "function", get_args(WindowFunction)) if "function" in read else "LINEAR"
        return cls(read.number("center"), read.number("width"), function)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """Size, windows and fit of what the model sees. Raises PolicyError naming an impossible field.

    `fit`: "pad" letterboxes to exactly width × height on `background` (grey level 0…255), "stretch" fills
    width × height, "within" keeps the aspect at an area of at most width × height with both sides multiples
    of `multiple`. `ct_window` holds HU; `ct_prefer` says whether it or the file's own window wins.
    """

    width: int = 224
    height: int = 224
    fit: Fit = "pad"
    multiple: int = 28
    background: int = 0
    ct_window: Window | None = None
    ct_prefer: Preference = "policy"
    mr_percentiles: tuple[float, float] = (1.0, 99.0)
    max_images: int = 4

    def __post_init__(self) -> None:
        for name in ("width", "height", "multiple"):
            _check_range(name, getattr(self, name), 1, _MAX_SIDE)
        _check_range("background", self.background, 0, 255)
        _check_range("max_images", self.max_images, 1, 1024)
        low, high = (float(value) for value in self.mr_percentiles)
        object.__setattr__(self, "mr_percentiles", (low, high))
        if not 0 <= low < high <= 100:
            raise PolicyError(f"field mr_percentiles must rise within 0…100, not {low:g}, {high:g}")
        if self.fit not in get_args(Fit):
            raise PolicyError(f"field fit must be one of {', '.join(get_args(Fit))}, not {self.fit!r}")
        if self.ct_prefer not in get_args(Preference):
            raise PolicyError(f"field ct_prefer must be file or policy, not {self.ct_prefer!r}")
        if self.fit == "within" and self.multiple**2 > self.width * self.height:
            raise PolicyError(f"field multiple: {self.multiple}² px exceeds {self.width} × {self.height}")

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "ImagePolicy":
        """From decoded JSON; absent fields take their defaults. Raises PolicyError naming the field."""
        read = Fields(value, PolicyError)
        read.refuse_unknown(field.name for field in fields(cls))
        given: dict[str, object] = {
            name: read.integer(name)
            for name in ("width", "height", "multiple", "background", "max_images")
            if name in read
        }
        if "fit" in read:
            given["fit"] = _choice(read, "fit", get_args(Fit))
        if "ct_prefer" in read:
            given["ct_prefer"] = _choice(read, "ct_prefer", get_args(Preference))
        if "mr_percentiles" in read:
            given["mr_percentiles"] = _percentiles(read)
        if value.get("ct_window") is not None:
            given["ct_window"] = _ct_window(value["ct_window"])
        return cls(**given)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """As JSON values; `from_json` gives the same policy back."""
        return {**asdict(self), "mr_percentiles": list(self.mr_percentiles)}

    def digest(self) -> str:
        """SHA-256 (hex) of the policy's canonical JSON: equal policies, equal digests."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise PolicyError(f"field {name} must be an integer from {low} to {high}, not {value!r}")


def _choice(read: Fields, name: str, allowed: tuple[str, ...]) -> str:
    value = read.text(name)
    if value not in allowed:
        raise read.wrong(name, f"one of {', '.join(allowed)}")
    return value


def _percentiles(read: Fields) -> tuple[float, float]:
    pair = read.items("mr_percentiles", 2)
    numbers = [float(x) for x in pair if isinstance(x, int | float) and not isinstance(x, bool)]
    if len(numbers) != 2:
        raise read.wrong("mr_percentiles", "two numbers")
    return numbers[0], numbers[1]


def _ct_window(value: object) -> Window:
    try:
        return Window.from_json(value, "ct_window")
    except InvalidWindowError as error:
        raise PolicyError(f"field ct_window: {error}") from error
