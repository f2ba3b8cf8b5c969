"""How an image becomes what the model sees: the part of an engine's manifest that preprocessing obeys."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from radserve_imaging.errors import InvalidWindowError, PolicyError
from radserve_imaging.fields import Fields
from radserve_imaging.slice_choice import SliceChoice
from radserve_imaging.windowing import Window

Fit = Literal["pad", "stretch", "within"]
Preference = Literal["file", "policy"]
Arrangement = Literal["images", "montage"]

_MAX_SIDE = 8192
_INTEGERS = ("width", "height", "multiple", "background", "max_images")
_CHOICES = {"fit": Fit, "ct_prefer": Preference, "mr_prefer": Preference, "arrangement": Arrangement}
_ONE_SLICE = SliceChoice()


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """Size, windows, fit and slices of what the model sees. Raises PolicyError naming an impossible field.

    `fit`: "pad" letterboxes to exactly width × height on `background` (grey level 0…255), "stretch" fills
    width × height, "within" keeps the aspect at an area of at most width × height with both sides multiples
    of `multiple`.

    `ct_window` holds HU (in JSON also a preset's name, as "brain"); `ct_channels` instead are three windows, one
    each for red, green and blue; `ct_prefer` says whether they or the file's own window win. `mr_percentiles`
    are taken over the volume without padding, where `mr_prefer` or the lack of a window in the file calls for
    them. `pt_suv` is the range of SUVbw shown of a PET whose header allows to compute it; None leaves PET to
    its own window.

    `slices` are chosen of a stack or a multi-frame object, and sent as so many images or as one `montage`.
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
    ct_channels: tuple[Window, Window, Window] | None = None
    mr_prefer: Preference = "file"
    pt_suv: tuple[float, float] | None = (0.0, 7.0)
    slices: SliceChoice = _ONE_SLICE
    arrangement: Arrangement = "images"

    def __post_init__(self) -> None:
        for name in ("width", "height", "multiple"):
            _check_range(name, getattr(self, name), 1, _MAX_SIDE)
        _check_range("background", self.background, 0, 255)
        _check_range("max_images", self.max_images, 1, 1024)
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                allowed = ", ".join(get_args(kind))
                raise PolicyError(f"field {name} must be one of {allowed}, not {getattr(self, name)!r}")
        object.__setattr__(self, "mr_percentiles", _rising("mr_percentiles", self.mr_percentiles, 100))
        if self.pt_suv is not None:
            object.__setattr__(self, "pt_suv", _rising("pt_suv", self.pt_suv, math.inf))
        if self.ct_channels is not None and (self.ct_window is not None or len(self.ct_channels) != 3):
            raise PolicyError("field ct_channels must be three windows, and stand in place of ct_window")
        if self.fit == "within" and self.multiple**2 > self.width * self.height:
            raise PolicyError(f"field multiple: {self.multiple}² px exceeds {self.width} × {self.height}")
        if self.arrangement == "images" and self.slices.most > self.max_images:
            raise PolicyError(f"field slices: {self.slices.most} images exceed max_images, {self.max_images}")

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "ImagePolicy":
        """From decoded JSON; absent fields take their defaults. Raises PolicyError naming the field."""
        read = Fields(value, PolicyError)
        read.refuse_unknown(field.name for field in fields(cls))
        given: dict[str, object] = {name: read.integer(name) for name in _INTEGERS if name in read}
        given |= {name: read.choice(name, get_args(kind)) for name, kind in _CHOICES.items() if name in read}
        if "mr_percentiles" in read:
            given["mr_percentiles"] = read.numbers("mr_percentiles", 2)
        if "pt_suv" in read:
            given["pt_suv"] = read.numbers("pt_suv", 2) if read.present("pt_suv") else None
        if read.present("ct_window"):
            given["ct_window"] = _window(read.raw("ct_window"), "ct_window")
        if read.present("ct_channels"):
            windows = read.items("ct_channels", 3)
            given["ct_channels"] = tuple(_window(x, f"ct_channels.{i}") for i, x in enumerate(windows))
        if "slices" in read:
            given["slices"] = SliceChoice.from_json(read.raw("slices"))
        return cls(**given)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """As JSON values; `from_json` gives the same policy back."""
        lists = ("mr_percentiles", "pt_suv", "ct_channels")
        return {
            name: list(value) if name in lists and value is not None else value
            for name, value in asdict(self).items()
        }

    def digest(self) -> str:
        """SHA-256 (hex) of the policy's canonical JSON: equal policies, equal digests."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise PolicyError(f"field {name} must be an integer from {low} to {high}, not {value!r}")


def _rising(name: str, pair: tuple[float, float], most: float) -> tuple[float, float]:
    low, high = (float(value) for value in pair)
    if not 0 <= low < high <= most:
        raise PolicyError(f"field {name} must rise within 0…{most:g}, not {low:g}, {high:g}")
    return low, high


def _window(value: object, where: str) -> Window:
    try:
        return Window.from_json(value, where)
    except InvalidWindowError as error:
        raise PolicyError(f"field {where}: {error}") from error
