"""Grayscale Softcopy Presentation States, PS3.3 A.33.1: how a reader chose to see an image.

Its modality transform, VOI and polarity (C.11.6) replace the image's own. What it does to the geometry, and
what it draws over the image, is not followed, and is told.
"""

import hashlib
from dataclasses import dataclass

from radserve_imaging.attributes import Attributes
from radserve_imaging.errors import ImagingError, PresentationStateError
from radserve_imaging.functional import FrameAttributes
from radserve_imaging.header import PixelHeader
from radserve_imaging.limits import Limits
from radserve_imaging.modality import ModalityTransform
from radserve_imaging.overlays import has_overlays
from radserve_imaging.part10 import open_part10
from radserve_imaging.presentation import read_modality, read_voi
from radserve_imaging.tags import (
    DISPLAYED_AREA_BOTTOM_RIGHT,
    DISPLAYED_AREA_SELECTION_SEQUENCE,
    DISPLAYED_AREA_TOP_LEFT,
    GRAPHIC_ANNOTATION_SEQUENCE,
    IMAGE_HORIZONTAL_FLIP,
    IMAGE_ROTATION,
    PRESENTATION_LUT_SEQUENCE,
    PRESENTATION_LUT_SHAPE,
    REFERENCED_FRAME_NUMBER,
    REFERENCED_IMAGE_SEQUENCE,
    REFERENCED_SERIES_SEQUENCE,
    REFERENCED_SOP_INSTANCE_UID,
    SHUTTER_SHAPE,
    SOFTCOPY_VOI_LUT_SEQUENCE,
    SOP_CLASS_UID,
)
from radserve_imaging.voi import FileVoi

GRAYSCALE_SOFTCOPY = "1.2.840.10008.5.1.4.1.1.11.1"


def is_presentation_state(data: bytes, limits: Limits) -> bool:
    """Whether a DICOM file is a Grayscale Softcopy Presentation State; raises ImagingError if it is no DICOM."""
    return open_part10(data, limits).attributes.text(SOP_CLASS_UID) == GRAYSCALE_SOFTCOPY


class PresentationState:
    """One presentation state, opened. Raises PresentationStateError."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._sha256 = hashlib.sha256(data).hexdigest()
        try:
            self._attributes = open_part10(data, limits).attributes
        except ImagingError as error:
            raise PresentationStateError(f"the presentation state cannot be read: {error}") from error
        if self._attributes.text(SOP_CLASS_UID) != GRAYSCALE_SOFTCOPY:
            raise PresentationStateError(
                "this is not a Grayscale Softcopy Presentation State; of presentation states, only these are read"
            )

    def refers_to(self, instance_uid: str | None, frame: int) -> bool:
        """Whether it was made for one frame (from 1) of an image."""
        references = [
            image
            for series in self._attributes.items(REFERENCED_SERIES_SEQUENCE)
            for image in series.items(REFERENCED_IMAGE_SEQUENCE)
        ]
        return _refers(references, instance_uid, frame)

    def apply_to(
        self, instance_uid: str | None, frame: int, header: PixelHeader, modality: ModalityTransform
    ) -> "Presented":
        """What it says of one frame (from 1) of an image; raises PresentationStateError if it says nothing.

        `modality` is the image's own transform, which stays where the state has none.
        """
        if not self.refers_to(instance_uid, frame):
            raise PresentationStateError(
                "the presentation state does not refer to this image; send the one that was made for it"
            )
        own = read_modality(FrameAttributes(self._attributes, []), header)
        modality = own if own.given else modality
        voi, warnings = self._voi(instance_uid, frame, modality.can_be_negative(header))
        inverted = (self._attributes.text(PRESENTATION_LUT_SHAPE) or "IDENTITY").upper() == "INVERSE"
        return Presented(self._sha256, modality, voi, inverted, (*warnings, *self._left_out(header)))

    def _voi(self, instance_uid: str | None, frame: int, negative: bool) -> tuple[FileVoi, list[str]]:
        for item in self._attributes.items(SOFTCOPY_VOI_LUT_SEQUENCE):
            references = item.items(REFERENCED_IMAGE_SEQUENCE)
            if not references or _refers(references, instance_uid, frame):
                return read_voi(FrameAttributes(item, []), negative)
        return FileVoi(), []

    def _left_out(self, header: PixelHeader) -> list[str]:
        top = self._attributes
        turned = (top.text(IMAGE_HORIZONTAL_FLIP) or "N").upper() == "Y" or (top.integer(IMAGE_ROTATION) or 0)
        found = {
            "rotation or flip": turned,
            "annotations": GRAPHIC_ANNOTATION_SEQUENCE in top,
            "shutter": SHUTTER_SHAPE in top,
            "displayed area": self._displays_a_part(header),
            "overlays": has_overlays(top),
            "presentation LUT": bool(top.items(PRESENTATION_LUT_SEQUENCE)),
        }
        return [f"the presentation state's {name} is not followed" for name, there in found.items() if there]

    def _displays_a_part(self, header: PixelHeader) -> bool:
        whole = [1, 1, header.columns, header.rows]
        for area in self._attributes.items(DISPLAYED_AREA_SELECTION_SEQUENCE):
            corners = [
                *area.numbers(DISPLAYED_AREA_TOP_LEFT, "SL"),
                *area.numbers(DISPLAYED_AREA_BOTTOM_RIGHT, "SL"),
            ]
            if corners and corners != whole:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Presented:
    """What a presentation state, named by its digest, says of one frame.

    `inverted` replaces what MONOCHROME1 would mean.
    """

    sha256: str
    modality: ModalityTransform
    voi: FileVoi
    inverted: bool
    warnings: tuple[str, ...]


def _refers(references: list[Attributes], instance_uid: str | None, frame: int) -> bool:
    for reference in references:
        if reference.text(REFERENCED_SOP_INSTANCE_UID) == instance_uid:
            frames = reference.numbers(REFERENCED_FRAME_NUMBER, "IS")
            return not frames or frame in frames
    return False
