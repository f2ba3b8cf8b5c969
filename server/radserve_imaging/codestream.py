"""What a compressed frame says about itself, read before any decoder runs.

Decoders trust these headers and some return half a picture without a word, so the header must agree with
the DICOM attributes and the end marker must be there (ITU-T T.81 annex B, T.87 annex C, T.800 annex A).
"""

import struct
from dataclasses import dataclass

from radserve_imaging.errors import CorruptPixelDataError

SOI = b"\xff\xd8"
SOC = b"\xff\x4f\xff\x51"
END = b"\xff\xd9"
JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "

_SOS, _APP0, _APP1, _APP14, _JPEG_LS_SOF = 0xDA, 0xE0, 0xE1, 0xEE, 0xF7
_MAX_TILES = 65_535  # ITU-T T.800 A.4.2: a tile's index has 16 bits
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS_SOF}


@dataclass(frozen=True, slots=True)
class Codestream:
    """Size in px, bits and sign per sample, components, and the byte `offset` of the frame header.

    For JPEG also `luma_chroma`: what the JFIF or Adobe marker or the component names say of the coding, or
    None where they say nothing; and `exif`, the first APP1 segment.
    """

    width: int
    height: int
    bits: int
    signed: bool
    components: int
    offset: int
    luma_chroma: bool | None = None
    exif: bytes | None = None


def read_jpeg(frame: bytes) -> Codestream:
    """The frame header of JPEG, JPEG Lossless or JPEG-LS; raises CorruptPixelDataError."""
    if not frame.startswith(SOI):
        raise CorruptPixelDataError("the compressed frame does not start with JPEG's SOI marker")
    applications: dict[int, bytes] = {}
    position = len(SOI)
    while position + 4 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", frame, position + 2)
        segment = frame[position + 4 : position + 2 + length]
        if marker in _START_OF_FRAME:
            return _frame_header(segment, position, applications)
        if marker == _SOS:
            break
        applications.setdefault(marker, segment)
        position += 2 + length
    raise CorruptPixelDataError("the compressed frame has no JPEG frame header (SOF)")


def require_end(frame: bytes, header: Codestream) -> None:
    """Refuse a frame cut off before its end marker, EOI or EOC; bytes after it are allowed.

    Neither JPEG, JPEG-LS nor JPEG 2000 lets the marker's two bytes occur inside coded data.
    """
    if frame.rfind(END) < header.offset:
        raise CorruptPixelDataError(
            "the compressed frame ends without its end marker: it is cut off. Fetch the image again"
        )


def read_jpeg2000(frame: bytes) -> Codestream:
    """The SIZ segment of JPEG 2000 or HTJ2K, in a JP2 container or bare; raises CorruptPixelDataError."""
    start = 0 if frame.startswith(SOC) else _find_codestream(frame)
    if len(frame) < start + 45:
        raise CorruptPixelDataError("the compressed frame ends inside JPEG 2000's SIZ segment")
    x1, y1, x0, y0, tile_width, tile_height = struct.unpack_from(">6I", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    width, height, depth = x1 - x0, y1 - y0, frame[start + 42]
    declared = frame[start + 42 : start + 42 + 3 * components]
    if components == 0 or declared != bytes((depth, 1, 1)) * components:
        raise CorruptPixelDataError("the components of the JPEG 2000 frame differ in depth or sampling")
    if not tile_width or not tile_height or -(-x1 // tile_width) * -(-y1 // tile_height) > _MAX_TILES:
        raise CorruptPixelDataError("the JPEG 2000 frame declares impossible tiles")
    return Codestream(width, height, (depth & 0x7F) + 1, bool(depth & 0x80), components, start)


def _frame_header(segment: bytes, offset: int, applications: dict[int, bytes]) -> Codestream:
    if len(segment) < 6:
        raise CorruptPixelDataError("JPEG's frame header is cut off")
    bits, height, width, components = struct.unpack_from(">BHHB", segment)
    coding = _luma_chroma(applications, bytes(segment[6::3][:components]))
    return Codestream(width, height, bits, False, components, offset, coding, applications.get(_APP1))


def _luma_chroma(applications: dict[int, bytes], names: bytes) -> bool | None:
    """Whether three components are Y, Cb, Cr: by Adobe's marker, JFIF's, or the components' names."""
    adobe = applications.get(_APP14, b"")
    if adobe.startswith(b"Adobe") and len(adobe) >= 12:
        return adobe[11] == 1
    if applications.get(_APP0, b"").startswith(b"JFIF"):
        return True
    return False if names == b"RGB" else None


def _find_codestream(frame: bytes) -> int:
    position = frame.find(SOC) if frame.startswith(JP2_SIGNATURE) else -1
    if position < 0:
        raise CorruptPixelDataError("the compressed frame does not start with JPEG 2000's SOC marker")
    return position
