"""How long an image will take to decode, told from its first kilobyte and its size."""

import struct
from collections.abc import Iterable

_MS_PER_MB = {
    "1.2.840.10008.1.2.1.99": 10.0,  # deflated
    "1.2.840.10008.1.2.4.50": 80.0,  # JPEG
    "1.2.840.10008.1.2.4.51": 80.0,
    "1.2.840.10008.1.2.4.57": 20.0,  # JPEG Lossless
    "1.2.840.10008.1.2.4.70": 20.0,
    "1.2.840.10008.1.2.4.80": 60.0,  # JPEG-LS
    "1.2.840.10008.1.2.4.81": 60.0,
    "1.2.840.10008.1.2.4.90": 140.0,  # JPEG 2000
    "1.2.840.10008.1.2.4.91": 140.0,
    "1.2.840.10008.1.2.4.201": 40.0,  # HTJ2K
    "1.2.840.10008.1.2.4.202": 40.0,
    "1.2.840.10008.1.2.4.203": 40.0,
    "1.2.840.10008.1.2.5": 20.0,  # RLE
}
_NATIVE, _PNG, _JPEG = 5.0, 30.0, 80.0
_LEAST_S = 0.002
_HEAD = 1024
_PATIENCE = 10.0
_TRANSFER_SYNTAX = b"\x02\x00\x10\x00UI"


def estimate_seconds(data: bytes) -> float:
    """Seconds of one core to decode and render `data`; what it is for is an order, not a promise.

    The rates are milliseconds per megabyte of file, of the largest single-frame files of each transfer syntax
    among 140 real ones. A file of many frames takes less than this says, because one of them is decoded.
    """
    return _LEAST_S + _rate(data) * len(data) / 1e9


def rank_job(arrived_s: float, parts: Iterable[bytes]) -> float:
    """The place in the line of a job on some files that arrived at a time; the lowest is served first.

    A job lets others pass that come within ten times the seconds it will take, so small ones hardly wait for large
    ones; but none that comes later, so a large one does not wait for ever.
    """
    return arrived_s + _PATIENCE * sum(estimate_seconds(part) for part in parts)


def _rate(data: bytes) -> float:
    if data.startswith(b"\x89PNG"):
        return _PNG
    if data.startswith(b"\xff\xd8\xff"):
        return _JPEG
    at = data.find(_TRANSFER_SYNTAX, 0, _HEAD)  # the file meta information is explicit little endian
    if at < 0 or len(data) < at + 8:
        return _NATIVE
    (length,) = struct.unpack_from("<H", data, at + 6)
    syntax = data[at + 8 : at + 8 + min(length, 64)].rstrip(b"\0 ").decode("latin-1")
    return _MS_PER_MB.get(syntax, _NATIVE)
