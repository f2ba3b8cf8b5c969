"""One frame of a DICOM object made visible.

The order is the standard's: decode → modality transform (PS3.3 C.11.1) → values of interest (C.11.2) →
inversion of MONOCHROME1; colour goes through YBR or palette to RGB instead (C.7.6.3.1.2).
"""

import hashlib
import re

from radserve_imaging.attributes import Attributes
from radserve_imaging.colour import show_colour, show_palette
from radserve_imaging.compressed import DecodedFrame
from radserve_imaging.errors import InvalidWindowError
from radserve_imaging.frames import choose_frame, decode_frame, find_pixel_data
from radserve_imaging.functional import FrameAttributes
from radserve_imaging.header import PixelHeader, read_pixel_header
from radserve_imaging.limits import Limits
from radserve_imaging.monochrome import show_monochrome
from radserve_imaging.part10 import DicomFile, open_part10
from radserve_imaging.picture import Origin, Picture, Reading, Shown
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.presentation import read_aspect
from radserve_imaging.syntaxes import name_uid
from radserve_imaging.tags import BURNED_IN_ANNOTATION, MODALITY, SOP_CLASS_UID, SOP_INSTANCE_UID

_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")  # PS3.5 6.2, CS


def show_dicom(data: bytes, policy: ImagePolicy, reading: Reading, limits: Limits) -> Picture:
    """Decode and show one frame; raises ImagingError."""
    file = open_part10(data, limits)
    origin = _origin(file)
    pixel_data = find_pixel_data(file.attributes)
    header = read_pixel_header(file.attributes, limits)
    index, frame_warnings = choose_frame(header.frames, reading.frame)
    decoded = decode_frame(file, pixel_data, header, index)
    frame = FrameAttributes(file.attributes, index)
    shown = _show(decoded, frame, header, origin.modality, policy, reading)
    aspect, aspect_warnings = read_aspect(frame)
    warnings = (*file.warnings, *frame_warnings, *decoded.warnings, *aspect_warnings, *_caveats(frame.top))
    return Picture(shown, header.photometric, origin, index + 1, header.frames, aspect, warnings)


def _show(
    decoded: DecodedFrame,
    frame: FrameAttributes,
    header: PixelHeader,
    modality: str | None,
    policy: ImagePolicy,
    reading: Reading,
) -> Shown:
    """Grey by the grey pipeline; colour has no rescale, window or inversion to record."""
    if header.photometric in ("MONOCHROME1", "MONOCHROME2") and header.samples == 1:
        return show_monochrome(decoded.values, frame, header, modality, policy, reading.window)
    if reading.window is not None:
        raise InvalidWindowError(f"a window cannot apply to colour ({header.photometric}); leave it out")
    if header.photometric == "PALETTE COLOR" and header.samples == 1:
        return Shown(show_palette(decoded.values, frame.top, header))
    return Shown(show_colour(decoded.values, decoded.coding, header))


def _origin(file: DicomFile) -> Origin:
    sop_class, instance = file.attributes.text(SOP_CLASS_UID), file.attributes.text(SOP_INSTANCE_UID)
    modality = file.attributes.text(MODALITY)
    return Origin(
        sop_class=None if sop_class is None else name_uid(sop_class),
        sop_instance_uid_sha256=None if instance is None else hashlib.sha256(instance.encode()).hexdigest(),
        modality=modality if modality and _CODE_STRING.fullmatch(modality) else None,
        transfer_syntax=name_uid(file.transfer_syntax),
    )


def _caveats(attributes: Attributes) -> list[str]:
    """What the picture leaves out, or has burned into it."""
    caveats = []
    if any(tag >> 16 & 0xFF00 == 0x6000 and tag & 0xFFFF == 0x3000 for tag in attributes):
        caveats.append("the file has overlay planes, which are not drawn")
    if attributes.text(BURNED_IN_ANNOTATION) == "YES":
        caveats.append("the file says that text is burned into its pixels")
    return caveats
