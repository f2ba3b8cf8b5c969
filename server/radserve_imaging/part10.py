"""Opens a DICOM file, PS3.10 clause 7: preamble, file meta information, transfer syntax, data set."""

import struct
import zlib
from dataclasses import dataclass

from radserve_imaging.attributes import Attributes
from radserve_imaging.elements import Encoding, Walker
from radserve_imaging.errors import MalformedDicomError, TooLargeError, TruncatedDicomError
from radserve_imaging.limits import Limits
from radserve_imaging.media import DICOM_PREFIX, PREAMBLE
from radserve_imaging.stopwatch import counted_as_decoding
from radserve_imaging.syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    encoding_of,
)
from radserve_imaging.tags import TRANSFER_SYNTAX_UID


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A data set in its `buffer` (inflated where the file was deflated), and what was odd about the file."""

    buffer: bytes
    attributes: Attributes
    transfer_syntax: str
    warnings: tuple[str, ...] = ()


def open_part10(data: bytes, limits: Limits) -> DicomFile:
    """Find the data set's elements up to the pixel data; raises ImagingError. `data` is not copied."""
    start = PREAMBLE + 4 if data[PREAMBLE : PREAMBLE + 4] == DICOM_PREFIX else 0
    warnings = [] if start else ["the file has no DICOM preamble"]
    walker = Walker(data, limits)
    meta, position = walker.walk(start, len(data), Encoding(), group=0x0002)
    syntax = Attributes(walker, meta).text(TRANSFER_SYNTAX_UID)
    if syntax is None:
        syntax = _guess_syntax(data, position)
        warnings.append("the file names no transfer syntax; its encoding was inferred from the first element")
    if syntax == DEFLATED:
        data, position = _inflate(data[position:], limits), 0
        walker = Walker(data, limits)
    encoding = encoding_of(syntax)
    if encoding.implicit and _has_vr(data, position):
        encoding = Encoding(implicit=False)
        warnings.append("the transfer syntax says implicit VR, but the data set has explicit VR")
    elements, _ = walker.walk(position, len(data), encoding)
    return DicomFile(data, Attributes(walker, elements), syntax, tuple(warnings))


def _guess_syntax(data: bytes, position: int) -> str:
    if len(data) < position + 8:
        raise TruncatedDicomError("the file ends before its data set begins; fetch it again")
    little, big = struct.unpack_from("<H", data, position)[0], struct.unpack_from(">H", data, position)[0]
    if min(little, big) > 0x0020:
        raise MalformedDicomError("what follows the file meta information is not a DICOM data set")
    if not _has_vr(data, position):
        return IMPLICIT_LITTLE
    return EXPLICIT_LITTLE if little <= big else EXPLICIT_BIG


def _has_vr(data: bytes, position: int) -> bool:
    """Whether an explicit VR stands where one would: no length is likely to look like two capitals."""
    vr = data[position + 4 : position + 6]
    return len(vr) == 2 and vr.isalpha() and vr.isupper() and vr.isascii()


@counted_as_decoding
def _inflate(deflated: bytes, limits: Limits) -> bytes:
    """Undo PS3.5 A.5's deflation (RFC 1951), up to `max_inflated_bytes`."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, limits.max_inflated_bytes)
    except zlib.error as error:
        raise MalformedDicomError(f"the deflated data set cannot be inflated: {error}") from error
    if inflater.unconsumed_tail:
        raise TooLargeError(
            f"the deflated data set grows beyond {limits.max_inflated_bytes:,} bytes; send it uncompressed"
        )
    if not inflater.eof:
        raise TruncatedDicomError("the deflated data set ends early; fetch it again")
    return inflated
