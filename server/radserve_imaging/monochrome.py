"""A decoded grey frame through modality, VOI and inversion, as its own attributes and the policy say."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.errors import InvalidAttributeError
from radserve_imaging.functional import FrameAttributes
from radserve_imaging.grayscale import GrayFrame
from radserve_imaging.header import PixelHeader
from radserve_imaging.modality import ModalityTransform
from radserve_imaging.pet import Suv, read_suv
from radserve_imaging.picture import Shown
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.population import Census
from radserve_imaging.presentation import read_modality, read_padding, read_voi
from radserve_imaging.presentation_state import Presented
from radserve_imaging.samples import Samples
from radserve_imaging.tags import UNITS
from radserve_imaging.voi import FileVoi, Subject, VoiChoice, choose_voi
from radserve_imaging.windowing import Window


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of a frame besides its pixels; `census` counts the volume that it belongs to, if any."""

    attributes: FrameAttributes
    header: PixelHeader
    modality: str | None
    presented: Presented | None = None
    census: Callable[[], Census] | None = None


def read_gray(stored: Samples, context: Context) -> tuple[GrayFrame, ModalityTransform]:
    """Stored values (H, W) of MONOCHROME1 or MONOCHROME2, ready to be counted or shown."""
    frame, presented = context.attributes, context.presented
    header = replace(context.header, signed=stored.dtype.kind == "i")  # the codestream may have known better
    transform = read_modality(frame, header)
    inverted = header.photometric == "MONOCHROME1"
    if presented is not None:
        transform = presented.modality
        inverted = presented.inverted
    return GrayFrame(stored, transform, read_padding(frame.top, header), inverted), transform


def show_monochrome(
    stored: Samples, context: Context, policy: ImagePolicy, requested: Window | None
) -> Shown:
    """Show stored values (H, W) of MONOCHROME1 or MONOCHROME2; raises ImagingError."""
    gray, transform = read_gray(stored, context)
    subject, warnings = _describe(context, transform)
    pixels, voi = _show(gray, subject, context, policy, requested)
    if voi.record.source.startswith("file") and _is_blank(pixels, gray):
        warnings.append(f"the {voi.record.source} shows nothing of this frame, and was passed over")
        pixels, voi = _show(gray, replace(subject, file=FileVoi()), context, policy, requested)
    if _is_blank(pixels, gray):
        warnings.append("nothing is visible: every pixel of the frame falls on one side of the window")
    state = None if context.presented is None else context.presented.sha256
    return Shown(pixels, gray.inverted, transform.record(), voi.record, tuple(warnings), state)


def _describe(context: Context, transform: ModalityTransform) -> tuple[Subject, list[str]]:
    """What the choice of VOI depends on, and what was odd about it."""
    negative = transform.can_be_negative(context.header)
    file, warnings = read_voi(context.attributes, negative)
    units, suv = transform.type, None
    if context.modality == "CT":
        units = "HU" if _is_hounsfield(transform, negative, warnings) else None
    elif context.modality == "PT":
        units = context.attributes.top.text(UNITS)
        suv = _suv(context, warnings)
    presentation = FileVoi()
    if context.presented is not None:
        presentation = context.presented.voi
        warnings += context.presented.warnings
    return Subject(context.modality, units and units[:16], file, suv, presentation), warnings


def _show(
    gray: GrayFrame, subject: Subject, context: Context, policy: ImagePolicy, requested: Window | None
) -> tuple[NDArray[np.uint8], VoiChoice]:
    def census() -> Census:
        return context.census() if context.census else Census(gray.population, "the frame")

    voi = choose_voi(subject, census, requested, policy)
    return gray.show(voi.vois), voi


def _is_blank(pixels: NDArray[np.uint8], gray: GrayFrame) -> bool:
    """Whether a frame that has contrast shows none."""
    return bool(pixels.min() == pixels.max() and gray.contrast)


def _is_hounsfield(transform: ModalityTransform, negative: bool, warnings: list[str]) -> bool:
    """Whether a CT's values are HU, as a rescale promises unless its type says otherwise (C.8.2.1.1.2)."""
    if not transform.given:
        warnings.append(
            "CT without a rescale: its values are not known to be HU, so no CT window was applied"
        )
    elif (transform.type or "HU").upper() != "HU":
        warnings.append("CT whose Rescale Type is not HU: no CT window was applied")
    elif not negative:
        warnings.append("CT whose values cannot be below 0, so are not HU: no CT window was applied")
    else:
        return True
    return False


def _suv(context: Context, warnings: list[str]) -> Suv | None:
    try:
        found = read_suv(context.attributes.top)
    except InvalidAttributeError as error:
        found = str(error)
    if isinstance(found, Suv):
        return found
    warnings.append(f"PET not shown by SUV: {found}")
    return None
