"""One frame of a DICOM object made visible.

The order is the standard's: decode → modality transform (PS3.3 C.11.1) → values of interest (C.11.2) →
inversion of MONOCHROME1; colour goes through YBR or palette to RGB instead (C.7.6.3.1.2).
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial

from radserve_imaging.attributes import Attributes
from radserve_imaging.colour import show_colour, show_palette
from radserve_imaging.compressed import DecodedFrame
from radserve_imaging.errors import InvalidWindowError, PresentationStateError
from radserve_imaging.frames import choose_frame, decode_frame, find_pixel_data
from radserve_imaging.functional import FunctionalGroups
from radserve_imaging.geometry import lay_out
from radserve_imaging.header import read_pixel_header
from radserve_imaging.limits import Limits
from radserve_imaging.monochrome import Context, read_gray, show_monochrome
from radserve_imaging.overlays import draw_overlays, has_embedded_overlays, has_overlays
from radserve_imaging.part10 import open_part10
from radserve_imaging.picture import Origin, Picture, Reading, Shown
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.population import Census, Population
from radserve_imaging.presentation import read_aspect, read_modality
from radserve_imaging.presentation_state import PresentationState, Presented
from radserve_imaging.resolution import droppable_levels
from radserve_imaging.syntaxes import name_uid
from radserve_imaging.tags import (
    BURNED_IN_ANNOTATION,
    FRAME_VOI_LUT_SEQUENCE,
    IMAGE_TYPE,
    LOSSY_IMAGE_COMPRESSION,
    LOSSY_IMAGE_COMPRESSION_RATIO,
    MODALITY,
    PIXEL_PADDING_VALUE,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    VOI_LUT_SEQUENCE,
    WINDOW_CENTER,
)
from radserve_imaging.volume import take_census
from radserve_imaging.windowing import Window

_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")  # PS3.5 6.2, CS


class DicomImage:
    """An opened object with pixels, none of them decoded yet. Raises ImagingError."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = data
        self._limits = limits
        self.file = open_part10(data, limits)
        self.attributes = self.file.attributes
        self._pixel_data = find_pixel_data(self.attributes)
        self.header = read_pixel_header(self.attributes, limits)
        self.groups = FunctionalGroups(self.attributes)
        modality = self.attributes.text(MODALITY)
        self.modality = modality if modality and _CODE_STRING.fullmatch(modality) else None
        self.grey = self.header.samples == 1 and self.header.photometric in ("MONOCHROME1", "MONOCHROME2")

    def decode(self, index: int, levels: int = 0) -> DecodedFrame:
        """Frame `index`, from 0; up to `levels` wavelet levels are left out."""
        return decode_frame(self.file, self._pixel_data, self.header, index, levels)

    def context(
        self,
        index: int,
        presented: Presented | None = None,
        census: Callable[[], Census] | None = None,
    ) -> Context:
        """What is known of frame `index` besides its pixels; `census` counts its volume, by default this object."""
        frames = self.header.frames
        if census is None and frames > 1:
            census = partial(take_census, frames, self.count)
        return Context(self.groups.frame(index), self.header, self.modality, presented, census)

    def present(self, index: int, state: bytes | None) -> Presented | None:
        """What a presentation state says of frame `index`; raises PresentationStateError."""
        if state is None:
            return None
        if not self.grey:
            raise PresentationStateError(
                f"a grayscale presentation state cannot apply to colour ({self.header.photometric})"
            )
        instance = self.attributes.text(SOP_INSTANCE_UID)
        modality = read_modality(self.groups.frame(index), self.header)
        return PresentationState(state, self._limits).apply_to(instance, index + 1, self.header, modality)

    def is_presented(self, index: int, state: bytes) -> bool:
        """Whether a presentation state refers to frame `index`; raises PresentationStateError if it is none."""
        instance = self.attributes.text(SOP_INSTANCE_UID)
        return PresentationState(state, self._limits).refers_to(instance, index + 1)

    def count(self, index: int) -> Population:
        """The modality values of grey frame `index`, padding left out."""
        return read_gray(self.decode(index).values, self.context(index))[0].population

    @cached_property
    def sha256(self) -> str:
        """The digest (hex) of the file."""
        return hashlib.sha256(self.data).hexdigest()

    def origin(self) -> Origin:
        """Which kind of object this is."""
        sop_class, instance = self.attributes.text(SOP_CLASS_UID), self.attributes.text(SOP_INSTANCE_UID)
        return Origin(
            sop_class=None if sop_class is None else name_uid(sop_class),
            sop_instance_uid_sha256=None if instance is None else digest_uid(instance),
            modality=self.modality,
            transfer_syntax=name_uid(self.file.transfer_syntax),
        )


def show_dicom(
    image: DicomImage,
    policy: ImagePolicy,
    reading: Reading,
    census: Callable[[], Census] | None = None,
) -> Picture:
    """Decode and show one frame; `census` counts the volume it belongs to. Raises ImagingError."""
    index, frame_warnings = choose_frame(image.header.frames, reading.frame)
    context = image.context(index, image.present(index, reading.presentation_state), census)
    aspect, aspect_warnings = read_aspect(context.attributes)
    decoded = image.decode(index, _droppable(image, context, aspect, policy, reading))
    if decoded.levels and context.census is None:  # a window that is counted is counted on all pixels
        context = replace(context, census=lambda: Census(image.count(index), "the frame"))
    shown = _show(image, decoded, context, policy, reading.window)
    warnings = [*image.file.warnings, *frame_warnings, *decoded.warnings, *aspect_warnings]
    if reading.overlays:
        pixels, drawn, overlay_warnings = draw_overlays(shown.pixels, image.attributes, index + 1)
        shown = replace(shown, pixels=pixels, overlays=drawn)
        warnings += overlay_warnings
    elif has_overlays(image.attributes):
        warnings.append("the file has overlay planes, which are not drawn")
    if has_embedded_overlays(image.attributes):
        warnings.append("the file has an overlay in its pixels' unused bits, which is not drawn")
    warnings += list_caveats(image.attributes)
    header = image.header
    return Picture(
        shown,
        header.photometric,
        image.origin(),
        index + 1,
        header.frames,
        aspect,
        tuple(warnings),
        (header.columns, header.rows),
        decoded.levels,
    )


def _droppable(
    image: DicomImage, context: Context, aspect: float, policy: ImagePolicy, reading: Reading
) -> int:
    """How many wavelet levels the canvas can do without; none where the window depends on the values."""
    macro = context.attributes.macro(FRAME_VOI_LUT_SEQUENCE)
    given = reading.window is not None or WINDOW_CENTER in macro or VOI_LUT_SEQUENCE in macro
    overlays = any(
        tag >> 24 == 0x60 for tag in image.attributes
    )  # groups 6000 to 60FF, in their bits perhaps
    if overlays or (image.grey and not given):
        return 0
    at = lay_out(image.header.columns, image.header.rows, aspect, policy).placement
    padded = PIXEL_PADDING_VALUE in image.attributes
    return droppable_levels(image.header, (at.width, at.height), image.modality, padded)


def digest_uid(uid: str) -> str:
    """SHA-256 (hex) of a UID, which itself would identify a patient's examination."""
    return hashlib.sha256(uid.encode()).hexdigest()


def list_caveats(attributes: Attributes) -> list[str]:
    """What a reader should know of any picture of this object, by its header."""
    caveats = []
    if attributes.text(BURNED_IN_ANNOTATION) == "YES":
        caveats.append("the file says that text is burned into its pixels")
    if attributes.text(LOSSY_IMAGE_COMPRESSION) == "01":
        ratios = [text[:16] for text in attributes.texts(LOSSY_IMAGE_COMPRESSION_RATIO) if text]
        ratio = f", {' and '.join(ratios)} : 1" if ratios else ", by a ratio that it does not tell"
        caveats.append(f"the image has been compressed with loss{ratio}")
    if "LOCALIZER" in (value.upper() for value in attributes.texts(IMAGE_TYPE)):
        caveats.append("this is a localizer, not a diagnostic image")
    return caveats


def _show(
    image: DicomImage, decoded: DecodedFrame, context: Context, policy: ImagePolicy, window: Window | None
) -> Shown:
    """Grey by the grey pipeline; colour has no rescale, window or inversion to record."""
    if image.grey:
        return show_monochrome(decoded.values, context, policy, window)
    header = image.header
    if window is not None:
        raise InvalidWindowError(f"a window cannot apply to colour ({header.photometric}); leave it out")
    if header.photometric == "PALETTE COLOR" and header.samples == 1:
        return Shown(show_palette(decoded.values, image.attributes, header))
    return Shown(show_colour(decoded.values, decoded.coding, header))
