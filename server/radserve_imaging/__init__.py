"""From the bytes of a medical image to what the model sees, and the record of how."""

from radserve_imaging.errors import ImagingError
from radserve_imaging.limits import Limits
from radserve_imaging.media import sniff
from radserve_imaging.photograph import encode_png
from radserve_imaging.picture import Reading
from radserve_imaging.policy import ImagePolicy, Window
from radserve_imaging.record import NamedUid, Placement, RenderingRecord, Rescale, VoiRecord
from radserve_imaging.render import Rendering, render

__all__ = [
    "ImagePolicy",
    "ImagingError",
    "Limits",
    "NamedUid",
    "Placement",
    "Reading",
    "Rendering",
    "RenderingRecord",
    "Rescale",
    "VoiRecord",
    "Window",
    "encode_png",
    "render",
    "sniff",
]
