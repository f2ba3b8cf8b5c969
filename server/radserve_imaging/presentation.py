"""What a data set says about showing its values: modality transform, VOI, padding, pixel aspect."""

import numpy as np

from radserve_imaging.attributes import Attributes, bad_value
from radserve_imaging.errors import InvalidAttributeError, InvalidWindowError
from radserve_imaging.functional import FrameAttributes
from radserve_imaging.header import PixelHeader
from radserve_imaging.lut import LookupTable
from radserve_imaging.modality import ModalityTransform
from radserve_imaging.samples import bytes_for, settle
from radserve_imaging.tags import (
    FRAME_VOI_LUT_SEQUENCE,
    IMAGER_PIXEL_SPACING,
    LUT_DATA,
    LUT_DESCRIPTOR,
    MODALITY_LUT_SEQUENCE,
    NOMINAL_SCANNED_PIXEL_SPACING,
    PIXEL_ASPECT_RATIO,
    PIXEL_MEASURES_SEQUENCE,
    PIXEL_PADDING_RANGE_LIMIT,
    PIXEL_PADDING_VALUE,
    PIXEL_SPACING,
    PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    RESCALE_INTERCEPT,
    RESCALE_SLOPE,
    RESCALE_TYPE,
    VOI_LUT_FUNCTION,
    VOI_LUT_SEQUENCE,
    WINDOW_CENTER,
    WINDOW_WIDTH,
    describe,
)
from radserve_imaging.voi import FileVoi
from radserve_imaging.windowing import Window

_MAX_ASPECT = 20.0
_SAME_ASPECT = 0.01


def read_modality(frame: FrameAttributes, header: PixelHeader) -> ModalityTransform:
    """The modality LUT, else the rescale, else identity (PS3.3 C.11.1)."""
    luts = _filled(frame.top.items(MODALITY_LUT_SEQUENCE))
    if luts:
        table = read_table(luts[0], LUT_DESCRIPTOR, LUT_DATA)
        table = table.signed_first() if header.signed else table
        return ModalityTransform(type=_short_text(luts[0], 0x00283004), table=table, given=True)
    values = frame.macro(PIXEL_VALUE_TRANSFORMATION_SEQUENCE)
    slope, intercept = values.number(RESCALE_SLOPE, "DS"), values.number(RESCALE_INTERCEPT, "DS")
    if slope is None and intercept is None:
        return ModalityTransform()
    if slope == 0:
        raise bad_value(RESCALE_SLOPE, 0, "every pixel would be equal")
    return ModalityTransform(
        1.0 if slope is None else slope,
        0.0 if intercept is None else intercept,
        _short_text(values, RESCALE_TYPE),
        given=slope is not None and intercept is not None,
    )


def read_voi(frame: FrameAttributes, negative_values: bool) -> tuple[FileVoi, list[str]]:
    """The first VOI LUT and the first window (PS3.3 C.11.2), and warnings on what was passed over."""
    values = frame.macro(FRAME_VOI_LUT_SEQUENCE)
    warnings: list[str] = []
    luts = _filled(values.items(VOI_LUT_SEQUENCE))
    table = read_table(luts[0], LUT_DESCRIPTOR, LUT_DATA) if luts else None
    if table is not None and negative_values:
        table = table.signed_first()
    if len(luts) > 1:
        warnings.append(f"the file offers {len(luts)} VOI LUTs; its first counts")
    return FileVoi(table, _read_window(values, warnings)), warnings


def _read_window(values: Attributes, warnings: list[str]) -> Window | None:
    try:
        centers, widths = values.numbers(WINDOW_CENTER, "DS"), values.numbers(WINDOW_WIDTH, "DS")
    except InvalidAttributeError as error:
        warnings.append(f"the file's window was passed over: {error}")
        return None
    if not centers or not widths:
        return None
    if len(centers) > 1:
        warnings.append(f"the file offers {len(centers)} windows; its first counts")
    function = (values.text(VOI_LUT_FUNCTION) or "LINEAR").upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        warnings.append("the file's VOI LUT Function is not one of PS3.3 C.11.2.1.3; LINEAR was taken")
        function = "LINEAR"
    if function == "LINEAR" and 0 < widths[0] < 1:
        warnings.append(
            f"the file's window is {widths[0]:g} wide, too narrow for LINEAR; taken as LINEAR_EXACT"
        )
        function = "LINEAR_EXACT"
    try:
        return Window(centers[0], widths[0], function)  # type: ignore[arg-type]
    except InvalidWindowError as error:
        warnings.append(f"the file's window was passed over: {error}")
        return None


def read_padding(attributes: Attributes, header: PixelHeader) -> tuple[float, float] | None:
    """The inclusive range of stored values that are padding (PS3.3 C.7.5.1.1.2), or None."""
    if header.floating:
        return None
    vr = "SS" if header.signed else "US"
    given = [attributes.integer(tag, vr) for tag in (PIXEL_PADDING_VALUE, PIXEL_PADDING_RANGE_LIMIT)]
    # Some writers give US for a signed image and the other way round: only the bits count.
    size = bytes_for(header.bits_allocated)
    bits = [int(value) % 2 ** (8 * size) for value in given if value is not None]
    if given[0] is None:
        return None
    values = settle(np.array(bits, f"u{size}"), header, header.bits_stored, header.high_bit)
    return float(values.min()), float(values.max())


def read_aspect(frame: FrameAttributes) -> tuple[float, list[str]]:
    """A pixel's height over its width: by spacing in the patient, on the detector, or as a ratio."""
    measures = frame.macro(PIXEL_MEASURES_SEQUENCE)
    told = [
        (tag, aspect)
        for source, tag, vr in (
            (measures, PIXEL_SPACING, "DS"),
            (frame.top, IMAGER_PIXEL_SPACING, "DS"),
            (frame.top, NOMINAL_SCANNED_PIXEL_SPACING, "DS"),
            (frame.top, PIXEL_ASPECT_RATIO, "IS"),
        )
        if (aspect := _read_pair(source, tag, vr)) is not None
    ]
    if not told:
        return 1.0, []
    tag, aspect = told[0]
    if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        return 1.0, [f"{describe(tag)} makes no sense; pixels were taken as square"]
    others = [other for other, value in told[1:] if abs(value / aspect - 1) > _SAME_ASPECT]
    return aspect, [f"{describe(other)} contradicts {describe(tag)}, which counts" for other in others]


def _read_pair(source: Attributes, tag: int, vr: str) -> float | None:
    """First over second of two numbers; None where there are none, 0 where they are not two positive numbers."""
    try:
        pair = source.numbers(tag, vr)
    except InvalidAttributeError:
        return 0.0
    if len(pair) < 2:
        return None
    return pair[0] / pair[1] if min(pair) > 0 else 0.0


def read_descriptor(item: Attributes, tag: int) -> tuple[int, int, int]:
    """A LUT descriptor: how many entries, the first input (unsigned), bits of an entry (C.11.1.1)."""
    descriptor = [int(value) for value in item.numbers(tag, "US")]
    if len(descriptor) != 3:
        raise item.wrong(tag, "must have three values")
    count, first, bits = descriptor[0] % 2**16 or 2**16, descriptor[1] % 2**16, descriptor[2]
    if not 1 <= bits <= 16:
        raise InvalidAttributeError(f"{describe(tag)} declares entries of {bits} bits", tag=describe(tag))
    return count, first, bits


def read_table(item: Attributes, descriptor_tag: int, data_tag: int) -> LookupTable:
    """A LUT by its descriptor and data; raises InvalidAttributeError."""
    count, first, bits = read_descriptor(item, descriptor_tag)
    element, data = item.element(data_tag), item.value(data_tag)
    # Entries of 8 bits may be packed two to a word (PS3.3 C.11.1.1.1).
    size = 1 if bits <= 8 and len(data) < 2 * count else 2
    if element is None or len(data) < size * count:
        name = describe(data_tag)
        raise InvalidAttributeError(
            f"{name} has {len(data):,} bytes for {count:,} entries of {bits} bits", tag=name
        )
    entries = np.frombuffer(data, f"{element.encoding.order}u{size}", count)
    return LookupTable(first, bits, entries.astype(np.uint16))


def _filled(luts: list[Attributes]) -> list[Attributes]:
    """Leave out the empty items that some writers put into LUT sequences."""
    return [lut for lut in luts if LUT_DESCRIPTOR in lut or LUT_DATA in lut]


def _short_text(attributes: Attributes, tag: int) -> str | None:
    text = attributes.text(tag)
    return None if text is None else text[:16]
