"""The record of one rendering: enough to prove later, without the image, what the model saw and why."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.errors import RecordError
from radserve_imaging.fields import Fields
from radserve_imaging.windowing import Window

RENDERER = "radserve_imaging/2"
"""Changes whenever the same bytes and policy may give other pixels."""


@dataclass(frozen=True, slots=True)
class NamedUid:
    """A DICOM UID from the standard's own registry, and its name."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class Rescale:
    """The modality transform, PS3.3 C.11.1; slope and intercept are None where a LUT was applied."""

    slope: float | None
    intercept: float | None
    type: str | None


@dataclass(frozen=True, slots=True)
class VoiRecord:
    """Which values of interest were shown, PS3.3 C.11.2, and in plain words why these.

    `units` are those of center and width: HU, SUVbw, or what the file says. `channels` are the windows of red,
    green and blue, where these differ.
    """

    source: str
    center: float | None
    width: float | None
    function: str | None
    reason: str
    units: str | None = None
    channels: tuple[Window, Window, Window] | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the image lies on the canvas, in px from the top left."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class SliceRecord:
    """Which slice of which stack, counted from 1 along the normal; `position_mm` lies on that normal.

    `series_sha256` is a digest of the Series Instance UID; `choice` says in words why this slice.
    """

    series_sha256: str | None
    slice: int
    slices: int
    position_mm: float | None
    choice: str


@dataclass(frozen=True, slots=True)
class RenderingRecord:
    """All that decided the pixels. Sizes are (width, height) in px; digests are SHA-256 in hex.

    `sop_instance_uid_sha256` is a digest, never the UID, which identifies a patient's examination.
    `pixel_aspect` is a pixel's height over its width. `decoded_size` is less than `size_in` where wavelet levels
    were left out of a large JPEG 2000 frame: more than twice what the canvas can show is always decoded.
    """

    media_type: str
    source_sha256: str
    pixels_sha256: str
    sop_instance_uid_sha256: str | None
    sop_class: NamedUid | None
    modality: str | None
    transfer_syntax: NamedUid | None
    photometric_interpretation: str
    frame: int
    number_of_frames: int
    rescale: Rescale | None
    voi: VoiRecord | None
    inverted: bool
    pixel_aspect: float
    size_in: tuple[int, int]
    size_out: tuple[int, int]
    placement: Placement
    warnings: tuple[str, ...]
    policy_sha256: str
    presentation_state_sha256: str | None = None
    overlays: bool = False
    slice: SliceRecord | None = None
    decoded_size: tuple[int, int] | None = None
    renderer: str = RENDERER

    def to_json(self) -> dict[str, object]:
        """As JSON values; `from_json` gives the same record back."""
        value = asdict(self)
        for name in ("size_in", "size_out", "warnings"):
            value[name] = list(value[name])
        value["decoded_size"] = None if self.decoded_size is None else list(self.decoded_size)
        if self.voi is not None and self.voi.channels is not None:
            value["voi"]["channels"] = [asdict(window) for window in self.voi.channels]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "RenderingRecord":
        """From decoded JSON; raises RecordError naming a field that is missing, unknown or ill-typed."""
        read = Fields(value, RecordError)
        read.refuse_unknown(field.name for field in fields(cls))
        return cls(
            media_type=read.text("media_type"),
            source_sha256=read.text("source_sha256"),
            pixels_sha256=read.text("pixels_sha256"),
            sop_instance_uid_sha256=read.optional("sop_instance_uid_sha256", read.text),
            sop_class=read.optional("sop_class", lambda name: _named_uid(read.nested(name))),
            modality=read.optional("modality", read.text),
            transfer_syntax=read.optional("transfer_syntax", lambda name: _named_uid(read.nested(name))),
            photometric_interpretation=read.text("photometric_interpretation"),
            frame=read.integer("frame"),
            number_of_frames=read.integer("number_of_frames"),
            rescale=read.optional("rescale", lambda name: _rescale(read.nested(name))),
            voi=read.optional("voi", lambda name: _voi(read.nested(name))),
            inverted=read.flag("inverted"),
            pixel_aspect=read.number("pixel_aspect"),
            size_in=_size(read, "size_in"),
            size_out=_size(read, "size_out"),
            placement=_placement(read.nested("placement")),
            warnings=tuple(str(item) for item in read.items("warnings")),
            policy_sha256=read.text("policy_sha256"),
            presentation_state_sha256=read.optional("presentation_state_sha256", read.text),
            overlays=read.flag("overlays"),
            slice=read.optional("slice", lambda name: _slice(read.nested(name))),
            decoded_size=read.optional("decoded_size", lambda name: _size(read, name)),
            renderer=read.text("renderer"),
        )


def digest_pixels(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 (hex) of an array's shape, as "HxWxC\\n", followed by its bytes in C order."""
    shape = "x".join(str(side) for side in pixels.shape)
    digest = hashlib.sha256(f"{shape}\n".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _named_uid(read: Fields) -> NamedUid:
    return NamedUid(read.text("uid"), read.text("name"))


def _rescale(read: Fields) -> Rescale:
    return Rescale(
        read.optional("slope", read.number),
        read.optional("intercept", read.number),
        read.optional("type", read.text),
    )


def _voi(read: Fields) -> VoiRecord:
    return VoiRecord(
        read.text("source"),
        read.optional("center", read.number),
        read.optional("width", read.number),
        read.optional("function", read.text),
        read.text("reason"),
        read.optional("units", read.text),
        read.optional("channels", lambda name: _channels(read.items(name, 3))),
    )


def _channels(windows: list[object]) -> tuple[Window, Window, Window]:
    red, green, blue = (Window.from_json(window, "channels") for window in windows)
    return red, green, blue


def _slice(read: Fields) -> SliceRecord:
    return SliceRecord(
        read.optional("series_sha256", read.text),
        read.integer("slice"),
        read.integer("slices"),
        read.optional("position_mm", read.number),
        read.text("choice"),
    )


def _size(read: Fields, name: str) -> tuple[int, int]:
    sides = [side for side in read.items(name, 2) if isinstance(side, int)]
    if len(sides) != 2:
        raise read.wrong(name, "two integers")
    return sides[0], sides[1]


def _placement(read: Fields) -> Placement:
    return Placement(read.integer("x"), read.integer("y"), read.integer("width"), read.integer("height"))
