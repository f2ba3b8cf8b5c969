"""A decoded grey frame through modality, VOI and inversion, as its own attributes and the policy say."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.functional import FrameAttributes
from radserve_imaging.grayscale import GrayFrame
from radserve_imaging.header import PixelHeader
from radserve_imaging.modality import ModalityTransform
from radserve_imaging.picture import Shown
from radserve_imaging.policy import ImagePolicy, Window
from radserve_imaging.presentation import read_modality, read_padding, read_voi
from radserve_imaging.samples import Samples
from radserve_imaging.voi import FileVoi, Subject, Voi, choose_voi


def show_monochrome(
    stored: Samples,
    frame: FrameAttributes,
    header: PixelHeader,
    modality: str | None,
    policy: ImagePolicy,
    requested: Window | None,
) -> Shown:
    """Show stored values (H, W) of MONOCHROME1 or MONOCHROME2; raises ImagingError."""
    header = replace(header, signed=stored.dtype.kind == "i")  # the codestream may have known better
    transform = read_modality(frame, header)
    negative = _can_be_negative(transform, header)
    file_voi, warnings = read_voi(frame, negative)
    hounsfield = modality == "CT" and _is_hounsfield(transform, negative, warnings)
    inverted = header.photometric == "MONOCHROME1"
    gray = GrayFrame(stored, transform, read_padding(frame.top, header), inverted)
    pixels, voi = _show(gray, Subject(modality, hounsfield, file_voi), policy, requested)
    if voi.record.source.startswith("file") and _is_blank(pixels, gray):
        warnings.append(f"the {voi.record.source} shows nothing of this frame, and was passed over")
        pixels, voi = _show(gray, Subject(modality, hounsfield, FileVoi()), policy, requested)
    if _is_blank(pixels, gray):
        warnings.append("nothing is visible: every pixel of the frame falls on one side of the window")
    return Shown(pixels, inverted, transform.record(), voi.record, tuple(warnings))


def _show(
    gray: GrayFrame, subject: Subject, policy: ImagePolicy, requested: Window | None
) -> tuple[NDArray[np.uint8], Voi]:
    voi = choose_voi(subject, lambda: gray.population, requested, policy)
    return gray.show([voi]), voi


def _is_blank(pixels: NDArray[np.uint8], gray: GrayFrame) -> bool:
    """Whether a frame that has contrast shows none."""
    return bool(pixels.min() == pixels.max() and gray.contrast)


def _can_be_negative(transform: ModalityTransform, header: PixelHeader) -> bool:
    """Whether modality values below 0 are possible."""
    if header.floating:
        return True
    bits = header.bits_stored
    ends = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if header.signed else (0.0, 2.0**bits - 1)
    return bool(transform.apply(np.array(ends)).min() < 0)


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
