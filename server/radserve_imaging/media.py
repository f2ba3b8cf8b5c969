"""Tells DICOM, PNG and JPEG apart by their bytes; a name or a Content-Type proves nothing."""

import struct
from typing import Literal

from radserve_imaging.errors import NotAnImageError

MediaType = Literal["application/dicom", "image/png", "image/jpeg"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
DICOM_PREFIX = b"DICM"
PREAMBLE = 128


def sniff(data: bytes) -> MediaType:
    """The media type of `data`; raises NotAnImageError.

    A DICOM data set without preamble and prefix is accepted if it opens like one: old archives send them.
    """
    if data[PREAMBLE : PREAMBLE + 4] == DICOM_PREFIX:
        return "application/dicom"
    if data.startswith(PNG_SIGNATURE):
        return "image/png"
    if data.startswith(JPEG_SIGNATURE):
        return "image/jpeg"
    if _opens_like_a_data_set(data):
        return "application/dicom"
    raise NotAnImageError(
        "the bytes are neither DICOM (no DICM prefix at byte 128) nor PNG nor JPEG; "
        "send application/dicom, image/png or image/jpeg"
        if data
        else "the input is empty"
    )


def _opens_like_a_data_set(data: bytes) -> bool:
    """Whether the first element is of group 0002 or 0008, with a VR or a length that can be (PS3.5 7.1)."""
    if len(data) < 16:
        return False
    for order in "<>":
        group, element = struct.unpack_from(f"{order}HH", data)
        if group not in (0x0002, 0x0008) or element > 0x0070:
            continue
        explicit = data[4:6] in (b"UL", b"UI", b"CS", b"OB", b"SH", b"LO", b"DA", b"TM", b"SQ", b"ST")
        (length,) = struct.unpack_from(f"{order}I", data, 4)
        if explicit or (length % 2 == 0 and length <= 1024):
            return True
    return False
