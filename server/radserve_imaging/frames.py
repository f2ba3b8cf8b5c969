"""Finds the pixel data of an object, chooses a frame, and decodes it by its transfer syntax."""

from radserve_imaging.attributes import Attributes
from radserve_imaging.compressed import DecodedFrame, decode_compressed
from radserve_imaging.elements import UNDEFINED, Element
from radserve_imaging.encapsulation import read_fragments
from radserve_imaging.errors import InvalidFrameError, MalformedDicomError, NoPixelDataError
from radserve_imaging.header import PixelHeader
from radserve_imaging.native import check_length, decode_native
from radserve_imaging.part10 import DicomFile
from radserve_imaging.stopwatch import counted_as_decoding
from radserve_imaging.syntaxes import family_of, name_uid
from radserve_imaging.tags import EXTENDED_OFFSET_TABLE, PIXEL_DATA, PIXEL_TAGS, SOP_CLASS_UID, describe

_PIXEL_DATA = describe(PIXEL_DATA)


def find_pixel_data(attributes: Attributes) -> Element:
    """Where (Float, Double Float) Pixel Data lies; raises NoPixelDataError if absent or empty."""
    found = next((tag for tag in attributes if tag in PIXEL_TAGS), None)
    element = None if found is None else attributes.element(found)
    if element is not None and element.length > 0:
        return element
    sop_class = attributes.text(SOP_CLASS_UID)
    kind = "of no SOP class" if sop_class is None else f"a {name_uid(sop_class).name}"
    what = "is absent from" if element is None else "is empty in"
    raise NoPixelDataError(
        f"{_PIXEL_DATA} {what} this object, {kind}, so there is nothing to look at; "
        "send an image object, and the whole file",
        tag=_PIXEL_DATA,
    )


def choose_frame(frames: int, requested: int | None) -> tuple[int, list[str]]:
    """Which frame to show, from 0: the one asked for, else the middle one."""
    if requested is None:
        index = (frames - 1) // 2
        note = (
            f"the object has {frames} frames and none was asked for; frame {index + 1}, the middle, is shown"
        )
        return index, [note] if frames > 1 else []
    if not 1 <= requested <= frames:
        raise InvalidFrameError(f"frame {requested} was asked for, but the object has frames 1 to {frames}")
    return requested - 1, []


@counted_as_decoding
def decode_frame(
    file: DicomFile, pixel_data: Element, header: PixelHeader, index: int, levels: int = 0
) -> DecodedFrame:
    """Decode frame `index` (from 0), leaving out up to `levels` wavelet levels; raises ImagingError."""
    family = family_of(file.transfer_syntax)
    if family == "native":
        if pixel_data.length == UNDEFINED:
            raise MalformedDicomError(
                f"{_PIXEL_DATA} is encapsulated, but transfer syntax {file.transfer_syntax} is not",
                tag=_PIXEL_DATA,
            )
        warnings = check_length(file.buffer, pixel_data, header)
        values = decode_native(file.buffer, pixel_data, header, index)
        return DecodedFrame(values, header.photometric, warnings)
    fragments = read_fragments(file.buffer, pixel_data)
    extended = [int(offset) for offset in file.attributes.numbers(EXTENDED_OFFSET_TABLE, "UV")]
    return decode_compressed(fragments.frame(index, header.frames, extended), family, header, levels)
