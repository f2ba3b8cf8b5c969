"""Bytes of one image in, what the model sees out, with the record that proves it."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.dicom import show_dicom
from radserve_imaging.errors import InvalidFrameError, InvalidWindowError, PresentationStateError
from radserve_imaging.geometry import Layout, lay_out, place
from radserve_imaging.grayscale import GrayFrame
from radserve_imaging.limits import DEFAULT_LIMITS, Limits
from radserve_imaging.media import MediaType, sniff
from radserve_imaging.modality import ModalityTransform
from radserve_imaging.photograph import Photograph, decode_jpeg, decode_png
from radserve_imaging.picture import Picture, Reading, Shown
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.population import Census
from radserve_imaging.record import RenderingRecord, digest_pixels
from radserve_imaging.voi import Subject, choose_voi

_AS_IT_IS = Reading()


@dataclass(frozen=True, slots=True)
class Rendering:
    """`pixels` is RGB, (H, W, 3) uint8, C-contiguous; `record` tells how it came about."""

    pixels: NDArray[np.uint8]
    record: RenderingRecord


def render(
    data: bytes, policy: ImagePolicy, reading: Reading = _AS_IT_IS, limits: Limits = DEFAULT_LIMITS
) -> Rendering:
    """Render one DICOM, PNG or JPEG file by `policy`; raises ImagingError for whatever is wrong with it."""
    limits.check_bytes(len(data))
    media_type = sniff(data)
    if media_type == "application/dicom":
        picture = show_dicom(data, policy, reading, limits)
    else:
        picture = _show_photograph(data, media_type, policy, reading, limits)
    height, width = picture.shown.pixels.shape[:2]
    layout = lay_out(width, height, picture.pixel_aspect, policy)
    pixels = place(picture.shown.pixels, layout, policy.background)
    return Rendering(pixels, _record(data, media_type, picture, layout, pixels, policy))


def _record(
    data: bytes,
    media_type: MediaType,
    picture: Picture,
    layout: Layout,
    pixels: NDArray[np.uint8],
    policy: ImagePolicy,
) -> RenderingRecord:
    shown, origin = picture.shown, picture.origin
    height, width = shown.pixels.shape[:2]
    return RenderingRecord(
        media_type=media_type,
        source_sha256=hashlib.sha256(data).hexdigest(),
        pixels_sha256=digest_pixels(pixels),
        sop_instance_uid_sha256=origin.sop_instance_uid_sha256,
        sop_class=origin.sop_class,
        modality=origin.modality,
        transfer_syntax=origin.transfer_syntax,
        photometric_interpretation=picture.photometric_interpretation,
        frame=picture.frame,
        number_of_frames=picture.number_of_frames,
        rescale=shown.rescale,
        voi=shown.voi,
        inverted=shown.inverted,
        pixel_aspect=picture.pixel_aspect,
        size_in=(width, height),
        size_out=layout.size,
        placement=layout.placement,
        warnings=(*picture.warnings, *shown.warnings),
        policy_sha256=policy.digest(),
        presentation_state_sha256=shown.presentation_state_sha256,
        overlays=shown.overlays,
    )


def _show_photograph(
    data: bytes, media_type: MediaType, policy: ImagePolicy, reading: Reading, limits: Limits
) -> Picture:
    if reading.presentation_state is not None or reading.overlays:
        raise PresentationStateError("presentation states and overlays apply to DICOM, not to PNG or JPEG")
    if reading.frame not in (None, 1):
        raise InvalidFrameError(f"frame {reading.frame} was asked for, but a PNG or JPEG has one frame")
    png = media_type == "image/png"
    photograph = decode_png(data, policy.background, limits) if png else decode_jpeg(data, limits)
    shown = _show_decoded(photograph, policy, reading)
    return Picture(shown, photograph.coding, warnings=photograph.warnings)


def _show_decoded(photograph: Photograph, policy: ImagePolicy, reading: Reading) -> Shown:
    """8-bit pictures as they are; 16-bit grey through a window, for it often holds 12 bits only."""
    if photograph.pixels.dtype == np.uint8:
        if reading.window is not None:
            raise InvalidWindowError("a window applies to DICOM and 16-bit grey PNG, not to 8-bit pictures")
        return Shown(photograph.pixels)
    frame = GrayFrame(photograph.pixels, ModalityTransform())
    census = lambda: Census(frame.population, "the picture")  # noqa: E731
    voi = choose_voi(Subject(), census, reading.window, policy)
    return Shown(frame.show(voi.vois), voi=voi.record)
