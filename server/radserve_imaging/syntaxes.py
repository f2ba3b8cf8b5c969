"""The transfer syntaxes of PS3.5 annex A that rendering knows, by their UIDs."""

import re
from typing import Literal

from pydicom.uid import RE_VALID_UID, UID

from radserve_imaging.elements import Encoding
from radserve_imaging.errors import UnsupportedTransferSyntaxError
from radserve_imaging.record import NamedUid

Family = Literal["native", "rle", "jpeg", "jpeg-lossless", "jpeg-ls", "jpeg2000"]

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

_FAMILIES: dict[str, Family] = {
    IMPLICIT_LITTLE: "native",
    EXPLICIT_LITTLE: "native",
    DEFLATED: "native",
    EXPLICIT_BIG: "native",
    "1.2.840.10008.1.2.5": "rle",
    "1.2.840.10008.1.2.4.50": "jpeg",
    "1.2.840.10008.1.2.4.51": "jpeg",
    "1.2.840.10008.1.2.4.53": "jpeg",  # retired, as the next: the same decoder reads them
    "1.2.840.10008.1.2.4.55": "jpeg",
    "1.2.840.10008.1.2.4.57": "jpeg-lossless",
    "1.2.840.10008.1.2.4.70": "jpeg-lossless",
    "1.2.840.10008.1.2.4.80": "jpeg-ls",
    "1.2.840.10008.1.2.4.81": "jpeg-ls",
    "1.2.840.10008.1.2.4.90": "jpeg2000",
    "1.2.840.10008.1.2.4.91": "jpeg2000",
    # HTJ2K too, by OpenJPEG. imagecodecs 2026.1.14's OpenJPH is faster, but lets lossy values above the range
    # wrap to 0, and returns uninitialised memory for a damaged frame, its error ignored.
    "1.2.840.10008.1.2.4.201": "jpeg2000",
    "1.2.840.10008.1.2.4.202": "jpeg2000",
    "1.2.840.10008.1.2.4.203": "jpeg2000",
}


DECODED = tuple(_FAMILIES)
"""The UIDs of all transfer syntaxes that are decoded."""

_NEWER = {  # than pydicom 3.0's dictionary
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}


def encoding_of(syntax: str) -> Encoding:
    """How a data set in this transfer syntax is encoded; all but two are explicit VR little endian."""
    return Encoding(implicit=syntax == IMPLICIT_LITTLE, big_endian=syntax == EXPLICIT_BIG)


def family_of(syntax: str) -> Family:
    """Which decoder reads the pixels; raises UnsupportedTransferSyntaxError naming the syntax."""
    family = _FAMILIES.get(syntax)
    if family is None:
        name = name_uid(syntax).name
        raise UnsupportedTransferSyntaxError(
            f"(0002,0010) Transfer Syntax UID is {syntax[:64]!r} ({name}), which is not decoded here; ask the "
            f"archive to transcode to Explicit VR Little Endian ({EXPLICIT_LITTLE})",
            tag="(0002,0010) Transfer Syntax UID",
        )
    return family


def name_uid(uid: str) -> NamedUid:
    """A registered UID with its name (PS3.6 annex A); any other is private, and its text is not kept."""
    if uid in _NEWER:
        return NamedUid(uid, _NEWER[uid])
    known = len(uid) <= 64 and re.fullmatch(RE_VALID_UID, uid) and not UID(uid).is_private
    name = str(UID(uid).name) if known else uid  # pydicom gives an unknown UID its own text as name
    return NamedUid("", "private or unknown") if name == uid else NamedUid(uid, name)
