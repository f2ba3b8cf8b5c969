"""From the bytes of a medical image to what the model sees, and the record of how."""

from radserve_imaging.errors import ImagingError
from radserve_imaging.identity import Identity, read_identity
from radserve_imaging.inspection import Inspection, inspect
from radserve_imaging.limits import Limits
from radserve_imaging.media import sniff
from radserve_imaging.montage import Montage, MontageRecord
from radserve_imaging.photograph import encode_png
from radserve_imaging.picture import Reading
from radserve_imaging.planes import Plane, count_frames, list_planes
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.presentation_state import is_presentation_state
from radserve_imaging.record import (
    NamedUid,
    Placement,
    RenderingRecord,
    Rescale,
    SliceRecord,
    VoiRecord,
)
from radserve_imaging.render import Rendering, render
from radserve_imaging.series import render_object, render_plan, render_series
from radserve_imaging.slice_choice import SliceChoice
from radserve_imaging.stack_plan import StackPlan, plan_stack
from radserve_imaging.stacks import LeftOut, Sorted, Stack, sort_planes
from radserve_imaging.stopwatch import timing_decoding
from radserve_imaging.windowing import CT_PRESETS, Window

__all__ = [
    "CT_PRESETS",
    "Identity",
    "ImagePolicy",
    "ImagingError",
    "Inspection",
    "LeftOut",
    "Limits",
    "Montage",
    "MontageRecord",
    "NamedUid",
    "Placement",
    "Plane",
    "Reading",
    "Rendering",
    "RenderingRecord",
    "Rescale",
    "SliceChoice",
    "SliceRecord",
    "Sorted",
    "Stack",
    "StackPlan",
    "VoiRecord",
    "Window",
    "count_frames",
    "encode_png",
    "inspect",
    "is_presentation_state",
    "list_planes",
    "plan_stack",
    "read_identity",
    "render",
    "render_object",
    "render_plan",
    "render_series",
    "sniff",
    "sort_planes",
    "timing_decoding",
]
