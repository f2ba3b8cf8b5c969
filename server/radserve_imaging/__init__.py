"""From the bytes of a medical image to what the model sees, and the record of how."""

from radserve_imaging.errors import ImagingError
from radserve_imaging.limits import Limits
from radserve_imaging.media import sniff
from radserve_imaging.photograph import encode_png
from radserve_imaging.picture import Reading
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.record import NamedUid, Placement, RenderingRecord, Rescale, VoiRecord
from radserve_imaging.render import Rendering, render
from radserve_imaging.slice_choice import SliceChoice
from radserve_imaging.windowing import CT_PRESETS, Window

__all__ = [
    "CT_PRESETS",
    "ImagePolicy",
    "ImagingError",
    "Limits",
    "NamedUid",
    "Placement",
    "Reading",
    "Rendering",
    "RenderingRecord",
    "Rescale",
    "SliceChoice",
    "VoiRecord",
    "Window",
    "encode_png",
    "render",
    "sniff",
]
