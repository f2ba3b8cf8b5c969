"""Where each frame of a file lies in the patient, and what tells its series from others: from the header alone.

The values that identify an examination (UIDs) leave this module as digests only.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from radserve_imaging.attributes import Attributes
from radserve_imaging.dicom import digest_uid
from radserve_imaging.errors import InvalidAttributeError, RecordError
from radserve_imaging.fields import Fields
from radserve_imaging.functional import FrameAttributes, FunctionalGroups
from radserve_imaging.limits import Limits
from radserve_imaging.part10 import open_part10
from radserve_imaging.tags import (
    ACQUISITION_NUMBER,
    COLUMNS,
    CT_IMAGE_FRAME_TYPE_SEQUENCE,
    DIFFUSION_B_VALUE,
    ECHO_TIME,
    EFFECTIVE_ECHO_TIME,
    FRAME_CONTENT_SEQUENCE,
    FRAME_TYPE,
    GANTRY_TILT,
    IMAGE_ORIENTATION_PATIENT,
    IMAGE_POSITION_PATIENT,
    IMAGE_TYPE,
    INSTANCE_NUMBER,
    MODALITY,
    MR_DIFFUSION_SEQUENCE,
    MR_ECHO_SEQUENCE,
    MR_IMAGE_FRAME_TYPE_SEQUENCE,
    NUMBER_OF_FRAMES,
    PIXEL_MEASURES_SEQUENCE,
    PIXEL_SPACING,
    PLANE_ORIENTATION_SEQUENCE,
    PLANE_POSITION_SEQUENCE,
    ROWS,
    SERIES_INSTANCE_UID,
    SLICE_THICKNESS,
    TEMPORAL_POSITION_IDENTIFIER,
    TEMPORAL_POSITION_INDEX,
)

_SHORT = 16
_FARTHEST_MM = 1e5


@dataclass(frozen=True, slots=True)
class Plane:
    """One frame (from 1) of a file. Lengths in mm, times in ms; what the header does not say is None.

    `orientation` holds the directions of a row and of a column (PS3.3 C.7.6.2.1.1), `position` the centre of the
    first pixel. `file` is the caller's own number for the file.
    """

    file: int
    frame: int
    frames: int
    series: str | None
    modality: str | None
    image_type: tuple[str, ...]
    rows: int
    columns: int
    spacing: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    thickness: float | None
    instance: int | None
    acquisition: int | None
    temporal: int | None
    echo: float | None
    b_value: float | None
    tilt: float | None

    def of_file(self, file: int) -> "Plane":
        """The same plane under another number of its file."""
        return replace(self, file=file)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` gives the same plane back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plane":
        """From what `to_json` made, by our own worker."""
        Fields(value, RecordError).refuse_unknown(field.name for field in fields(cls))
        lists = ("image_type", "spacing", "orientation", "position")
        given: dict[str, Any] = {
            name: tuple(item) if name in lists and item is not None else item for name, item in value.items()
        }
        return cls(**given)


def list_planes(data: bytes, limits: Limits, file: int = 0) -> list[Plane]:
    """All frames of a DICOM file, in their order; raises ImagingError. No pixel is read."""
    attributes = open_part10(data, limits).attributes
    frames = _frames(attributes, limits)
    groups = FunctionalGroups(attributes)
    return [_plane(groups.frame(index), file, index + 1, frames) for index in range(frames)]


def count_frames(data: bytes, limits: Limits) -> int:
    """How many frames a DICOM file declares; raises ImagingError."""
    return _frames(open_part10(data, limits).attributes, limits)


def _frames(attributes: Attributes, limits: Limits) -> int:
    frames = attributes.integer(NUMBER_OF_FRAMES, "IS") or 1
    limits.check_frames(frames)
    return frames


def _plane(frame: FrameAttributes, file: int, number: int, frames: int) -> Plane:
    top = frame.top
    series, modality = top.text(SERIES_INSTANCE_UID), top.text(MODALITY)
    measures = frame.macro(PIXEL_MEASURES_SEQUENCE)
    position = _numbers(frame.macro(PLANE_POSITION_SEQUENCE), IMAGE_POSITION_PATIENT, 3)
    orientation = _numbers(frame.macro(PLANE_ORIENTATION_SEQUENCE), IMAGE_ORIENTATION_PATIENT, 6)
    # Frames of one classic object share what stands at its top level: that is where the first one lies.
    own_position = frames == 1 or frame.only_macro(PLANE_POSITION_SEQUENCE) is not None
    return Plane(
        file=file,
        frame=number,
        frames=frames,
        series=None if series is None else digest_uid(series),
        modality=modality and modality[:_SHORT],
        image_type=_image_type(frame),
        rows=top.integer(ROWS) or 0,
        columns=top.integer(COLUMNS) or 0,
        spacing=_numbers(measures, PIXEL_SPACING, 2),
        orientation=orientation,
        position=position if own_position else None,
        thickness=_number(measures, SLICE_THICKNESS),
        instance=_integer(top, INSTANCE_NUMBER, "IS"),
        acquisition=_integer(top, ACQUISITION_NUMBER, "IS"),
        temporal=_temporal(frame),
        echo=_echo(frame),
        b_value=_number(frame.macro(MR_DIFFUSION_SEQUENCE), DIFFUSION_B_VALUE, "FD"),
        tilt=_number(top, GANTRY_TILT),
    )


def _image_type(frame: FrameAttributes) -> tuple[str, ...]:
    """Image Type, or the Frame Type of this frame, where an enhanced object mixes them."""
    for macro in (MR_IMAGE_FRAME_TYPE_SEQUENCE, CT_IMAGE_FRAME_TYPE_SEQUENCE):
        item = frame.only_macro(macro)
        if item is not None and FRAME_TYPE in item:
            return _upper(item.texts(FRAME_TYPE))
    return _upper(frame.top.texts(IMAGE_TYPE))


def _echo(frame: FrameAttributes) -> float | None:
    effective = _number(frame.macro(MR_ECHO_SEQUENCE), EFFECTIVE_ECHO_TIME, "FD")
    return _number(frame.top, ECHO_TIME) if effective is None else effective


def _temporal(frame: FrameAttributes) -> int | None:
    index = _integer(frame.macro(FRAME_CONTENT_SEQUENCE), TEMPORAL_POSITION_INDEX, "UL")
    return _integer(frame.top, TEMPORAL_POSITION_IDENTIFIER, "IS") if index is None else index


def _upper(texts: list[str]) -> tuple[str, ...]:
    return tuple(text.upper()[:_SHORT] for text in texts[:_SHORT])


def _numbers(attributes: Attributes, tag: int, count: int) -> tuple[float, ...] | None:
    """So many numbers, or None where there are not: geometry that makes no sense is none."""
    try:
        values = attributes.numbers(tag, "DS")
    except InvalidAttributeError:
        return None
    sensible = len(values) == count and max(map(abs, values)) < _FARTHEST_MM
    return tuple(values) if sensible else None


def _number(attributes: Attributes, tag: int, vr: str = "DS") -> float | None:
    try:
        return attributes.number(tag, vr)
    except InvalidAttributeError:
        return None


def _integer(attributes: Attributes, tag: int, vr: str) -> int | None:
    number = _number(attributes, tag, vr)
    return None if number is None else int(number)
