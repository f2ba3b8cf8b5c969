"""Bytes of one image in, what the model sees out, with the record that proves it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.dicom import DicomImage, show_dicom
from radserve_imaging.geometry import Extent, Layout, lay_out, place
from radserve_imaging.limits import DEFAULT_LIMITS, Limits
from radserve_imaging.media import MediaType, sniff
from radserve_imaging.photograph import show_photograph
from radserve_imaging.picture import Picture, Reading
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.population import Census
from radserve_imaging.record import RenderingRecord, SliceRecord, digest_pixels

_AS_IT_IS = Reading()


@dataclass(frozen=True, slots=True)
class Rendering:
    """`pixels` is RGB, (H, W, 3) uint8, C-contiguous; `record` tells how it came about."""

    pixels: NDArray[np.uint8]
    record: RenderingRecord


def render(
    data: bytes, policy: ImagePolicy, reading: Reading = _AS_IT_IS, limits: Limits = DEFAULT_LIMITS
) -> Rendering:
    """Render one DICOM, PNG or JPEG file by `policy`; raises ImagingError for whatever is wrong with it.

    Of several frames it shows the one that is asked for, or the middle one.
    """
    limits.check_bytes(len(data))
    media_type = sniff(data)
    if media_type == "application/dicom":
        return render_frame(DicomImage(data, limits), policy, reading)
    picture = show_photograph(data, media_type, policy, reading, limits)
    return _finish(picture, policy, media_type, hashlib.sha256(data).hexdigest())


def render_frame(
    image: DicomImage,
    policy: ImagePolicy,
    reading: Reading,
    census: Callable[[], Census] | None = None,
    place_in_stack: SliceRecord | None = None,
    warnings: tuple[str, ...] = (),
) -> Rendering:
    """Render one frame of an opened object, which may be a slice of a stack that `census` counts."""
    picture = show_dicom(image, policy, reading, census)
    return _finish(picture, policy, "application/dicom", image.sha256, place_in_stack, warnings)


def _finish(
    picture: Picture,
    policy: ImagePolicy,
    media_type: MediaType,
    sha256: str,
    place_in_stack: SliceRecord | None = None,
    warnings: tuple[str, ...] = (),
) -> Rendering:
    """Lay a picture out on the canvas, and write its record."""
    shown, origin = picture.shown, picture.origin
    layout = lay_out(*picture.size, picture.pixel_aspect, policy)
    pixels = place(shown.pixels, layout, policy.background, Extent(*picture.size, picture.levels))
    distortion = _describe_distortion(picture, layout)
    record = RenderingRecord(
        media_type=media_type,
        source_sha256=sha256,
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
        size_in=picture.size,
        size_out=layout.size,
        placement=layout.placement,
        warnings=(*warnings, *picture.warnings, *shown.warnings, *distortion),
        policy_sha256=policy.digest(),
        presentation_state_sha256=shown.presentation_state_sha256,
        overlays=shown.overlays,
        slice=place_in_stack,
        decoded_size=picture.decoded_size,
    )
    return Rendering(pixels, record)


def _describe_distortion(picture: Picture, layout: Layout) -> tuple[str, ...]:
    """Said where a policy stretches an image by more than a tenth."""
    width, height = picture.size
    true = height * picture.pixel_aspect / width
    shown = layout.placement.height / layout.placement.width
    stretch = shown / true
    if max(width, height * picture.pixel_aspect) < 2 or 1 / 1.1 <= stretch <= 1.1:
        return ()
    return (f"the engine's image policy shows it {stretch:.2f} times as high for its width as it is",)
