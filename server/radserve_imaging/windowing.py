"""Windows over modality values, PS3.3 C.11.2.1.2 and C.11.2.1.3.

A window says which values become visible. With centre c and width w, LINEAR shows

    ((x − (c − 0.5)) / (w − 1) + 0.5), black for x ≤ c − 0.5 − (w − 1)/2, white for x > c − 0.5 + (w − 1)/2

so W400/L40 runs from −160 (black) to 239 HU (white), not from −160 to 240: of 400 integers, the first is
black and the last is white. LINEAR_EXACT drops the halves, (x − c)/w + 0.5, and suits values that are not
integers. SIGMOID is 1 / (1 + exp(−4 (x − c)/w)): it never reaches black or white.

Viewers compute these very formulas, so a model rendered through them sees what its reader sees.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.errors import InvalidWindowError, PolicyError
from radserve_imaging.fields import Fields

WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
Values = NDArray[np.float64]

_STEEPEST = 50.0  # exp() of more says nothing new


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
        """From {"center", "width", "function"} or a preset's name; raises PolicyError or InvalidWindowError."""
        if isinstance(value, str):
            return find_preset(value)
        read = Fields(value, PolicyError, where)
        read.refuse_unknown(field.name for field in fields(cls))
        function = read.choice("function", get_args(WindowFunction)) if "function" in read else "LINEAR"
        return cls(read.number("center"), read.number("width"), function)  # type: ignore[arg-type]

    @property
    def preset(self) -> str | None:
        """The name of the CT preset that this window is, if it is one."""
        return next((name for name, window in CT_PRESETS.items() if window == self), None)


CT_PRESETS: Mapping[str, Window] = MappingProxyType(
    {
        "brain": Window(40, 80),
        "subdural": Window(75, 200),
        "stroke": Window(40, 40),
        "lung": Window(-600, 1500),
        "mediastinum": Window(50, 350),
        "abdomen": Window(50, 400),
        "liver": Window(30, 150),
        "bone": Window(400, 1800),
    }
)
"""Windows in HU by the names that readers use; usual teaching values, all LINEAR."""


def find_preset(name: str) -> Window:
    """The CT preset of this name; raises InvalidWindowError listing those that there are."""
    window = CT_PRESETS.get(name)
    if window is None:
        raise InvalidWindowError(f"window preset {name[:40]!r} is not one of {', '.join(CT_PRESETS)}")
    return window


def apply_window(values: Values, window: Window) -> Values:
    """Modality values (any shape, float64) as brightness from 0 (black) to 1 (white)."""
    if window.function == "SIGMOID":
        steepness = np.clip(-4.0 * (values - window.center) / window.width, -_STEEPEST, _STEEPEST)
        return 1.0 / (1.0 + np.exp(steepness))
    if window.function == "LINEAR_EXACT":
        return np.clip((values - window.center) / window.width + 0.5, 0.0, 1.0)
    center, width = window.center - 0.5, window.width - 1.0
    if width == 0:  # C.11.2.1.2.1: a width of 1 is a threshold
        return np.where(values > center, 1.0, 0.0)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def window_between(low: float, high: float) -> Window:
    """The window that shows `low` as black and `high` as white; equal ends show as black."""
    width = high - low if high > low else 1.0
    return Window(low + width / 2, width, "LINEAR_EXACT")


def to_bytes(brightness: Values) -> NDArray[np.uint8]:
    """Brightness 0…1 as 0…255, rounded to nearest."""
    return (brightness * 255.0 + 0.5).astype(np.uint8)
