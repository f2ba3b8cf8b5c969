"""What a file is, how it would be shown and why, and what to beware of: for people, before any question is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from radserve_imaging.attributes import Attributes
from radserve_imaging.dicom import list_caveats
from radserve_imaging.errors import ImagingError
from radserve_imaging.limits import DEFAULT_LIMITS, Limits
from radserve_imaging.media import sniff
from radserve_imaging.part10 import DicomFile, open_part10
from radserve_imaging.picture import Reading
from radserve_imaging.planes import Plane, list_planes
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.record import RenderingRecord
from radserve_imaging.render import render
from radserve_imaging.slice_geometry import name_plane, normal_of
from radserve_imaging.syntaxes import name_uid
from radserve_imaging.tags import (
    BITS_ALLOCATED,
    BITS_STORED,
    BURNED_IN_ANNOTATION,
    COLUMNS,
    MODALITY,
    NUMBER_OF_FRAMES,
    PHOTOMETRIC_INTERPRETATION,
    PIXEL_REPRESENTATION,
    ROWS,
    SAMPLES_PER_PIXEL,
    SOP_CLASS_UID,
)

_AS_IT_IS = Reading()
_BURNED_IN = {"YES": "yes", "NO": "no, says the file"}
Section = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Inspection:
    """`sections` hold what is known under headings; `error` says why nothing can be shown, or is None.

    No value that identifies a patient is among them.
    """

    sections: Mapping[str, Section] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: ImagingError | None = None


def inspect(
    data: bytes, policy: ImagePolicy, reading: Reading = _AS_IT_IS, limits: Limits = DEFAULT_LIMITS
) -> Inspection:
    """Inspect a DICOM, PNG or JPEG file by `policy`; never raises ImagingError."""
    try:
        dicom = sniff(data) == "application/dicom"
        file = open_part10(data, limits) if dicom else None
    except ImagingError as error:
        return Inspection(error=error)
    sections: dict[str, Section] = {}
    warnings: list[str] = []
    try:
        if file is not None:
            warnings += [*file.warnings, *list_caveats(file.attributes)]
            sections["object"] = _describe_object(file)
            sections["geometry"] = _describe_geometry(list_planes(data, limits))
        record = render(data, policy, reading, limits).record
    except ImagingError as error:
        return Inspection(sections, tuple(warnings), error)
    sections["shown"] = _describe_rendering(record)
    return Inspection(sections, record.warnings)


def _describe_object(file: DicomFile) -> Section:
    top = file.attributes
    sop_class = top.text(SOP_CLASS_UID)
    frames = top.integer(NUMBER_OF_FRAMES, "IS") or 1
    syntax = name_uid(file.transfer_syntax)
    return {
        "modality": (top.text(MODALITY) or "")[:16] or None,
        "SOP class": None if sop_class is None else name_uid(sop_class).name,
        "transfer syntax": f"{syntax.name} ({syntax.uid})" if syntax.uid else syntax.name,
        "size": f"{top.integer(COLUMNS)} × {top.integer(ROWS)} px, {frames} frame{'s' * (frames > 1)}",
        "pixels": _describe_pixels(top),
        "burned-in text": _BURNED_IN.get(
            top.text(BURNED_IN_ANNOTATION) or "", "not stated, which promises nothing"
        ),
    }


def _describe_pixels(top: Attributes) -> str:
    sign = "signed" if top.integer(PIXEL_REPRESENTATION) == 1 else "unsigned"
    photometric = (top.text(PHOTOMETRIC_INTERPRETATION) or "no photometric interpretation")[:16]
    return (
        f"{photometric}, {top.integer(SAMPLES_PER_PIXEL) or 1} sample(s) of {top.integer(BITS_STORED)} "
        f"in {top.integer(BITS_ALLOCATED)} bits, {sign}"
    )


def _describe_geometry(planes: list[Plane]) -> Section:
    first = planes[0]
    normal = normal_of(first.orientation)
    return {
        "orientation": None if normal is None else name_plane(normal),
        "position (mm)": first.position,
        "pixel spacing (mm)": first.spacing,
        "slice thickness (mm)": first.thickness,
        "gantry tilt (°)": first.tilt or None,
        "image type": "\\".join(first.image_type) or None,
        "instance number": first.instance,
        "acquisition": first.acquisition,
        "echo time (ms)": first.echo,
    }


def _describe_rendering(record: RenderingRecord) -> Section:
    voi, rescale = record.voi, record.rescale
    window = voi and (
        f"{voi.source}: centre {voi.center:g}, width {voi.width:g}" if voi.width else voi.source
    )
    if voi and voi.channels:
        window = "policy: " + ", ".join(f"{w.center:g}/{w.width:g}" for w in voi.channels)
    at = record.placement
    return {
        "frame": f"{record.frame} of {record.number_of_frames}",
        "rescale": rescale and (f"× {rescale.slope:g} + {rescale.intercept:g}" if rescale.slope else "LUT"),
        "window": window and f"{window}{f' {voi.units}' if voi and voi.units else ''}",
        "function": voi and voi.function,
        "why": voi and voi.reason,
        "inverted": "yes, MONOCHROME1" if record.inverted else None,
        "pixel aspect": None if record.pixel_aspect == 1 else f"{record.pixel_aspect:.4g}",
        "canvas": f"{record.size_out[0]} × {record.size_out[1]} px, the image on {at.width} × {at.height} of it",
    }
