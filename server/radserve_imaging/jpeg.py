"""The markers of JPEG, JPEG Lossless and JPEG-LS, from SOI to EOI (ITU-T T.81 annex B, T.87 annex C).

Inside coded data, 0xFF is followed by 0 (in JPEG-LS, by anything below 0x80). Whatever else follows it is a
marker, so all of them are found without decoding: restart markers must count up from 0 and be as many as the
interval asks for, each further scan must be well formed, and EOI must come.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.codestream import SOI, Codestream, cut_off
from radserve_imaging.errors import CorruptPixelDataError

_EOI, _SOS, _DRI, _APP0, _APP1, _APP14 = 0xD9, 0xDA, 0xDD, 0xE0, 0xE1, 0xEE
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
_RESTARTS = range(0xD0, 0xD8)
_STANDALONE = frozenset({0x01, *_RESTARTS})
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS}
_MAX_SCANS = 1000  # a progressive JPEG has some ten
_MAX_SEGMENTS = 5000  # before a scan
_CHUNK = 1 << 18  # bytes searched at a time, so that they stay in the cache


@dataclass(frozen=True, slots=True)
class _Segment:
    marker: int
    start: int
    data: bytes

    @property
    def end(self) -> int:
        return self.start + 4 + len(self.data)


def read_jpeg(frame: bytes) -> Codestream:
    """Walk a whole frame of JPEG, JPEG Lossless or JPEG-LS; raises CorruptPixelDataError."""
    if not frame.startswith(SOI):
        raise CorruptPixelDataError("the compressed frame does not start with JPEG's SOI marker")
    found: dict[int, _Segment] = {}
    frame_header = None
    for segment in _segments(frame, len(SOI)):
        if segment.marker in _START_OF_FRAME:
            if frame_header is not None:
                raise CorruptPixelDataError("the compressed frame has two JPEG frame headers (SOF)")
            frame_header = segment
        found.setdefault(segment.marker, segment)
    if frame_header is None or segment.marker != _SOS:
        raise CorruptPixelDataError("the compressed frame has no JPEG frame header (SOF) or no scan (SOS)")
    if len(frame_header.data) < 6 or len(frame_header.data) != 6 + 3 * frame_header.data[5]:
        raise CorruptPixelDataError("JPEG's frame header has not the length that its components need")
    _check_scans(frame, frame_header, segment, _interval(found.get(_DRI)))
    return _describe(frame_header, found)


def _segments(frame: bytes, position: int) -> Iterator[_Segment]:
    """Marker segments from `position` up to and with the next SOS or EOI."""
    for _ in range(_MAX_SEGMENTS):
        if position + 2 > len(frame):
            break
        if frame[position] != 0xFF:
            raise CorruptPixelDataError(f"the compressed frame has no JPEG marker at byte {position:,}")
        marker = frame[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == _EOI:
            yield _Segment(marker, position, b"")
            return
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        if length < 2 or position + 2 + length > len(frame):
            break
        segment = _Segment(marker, position, frame[position + 4 : position + 2 + length])
        yield segment
        if marker == _SOS:
            return
        position = segment.end
    raise cut_off()


def _check_scans(frame: bytes, frame_header: _Segment, scan: _Segment, interval: int) -> None:
    """From the first SOS to EOI."""
    at, codes = _markers(frame, scan.end, 0x80 if frame_header.marker == _JPEG_LS else 0x01)
    ends = np.flatnonzero((codes < _RESTARTS.start) | (codes >= _RESTARTS.stop))
    for _ in range(_MAX_SCANS):
        _check_scan_header(scan, frame_header)
        first = int(np.searchsorted(at, scan.end))
        after = ends[np.searchsorted(ends, first) :]
        if not len(after):
            raise cut_off()
        _check_restarts(codes[first : after[0]], _expected_restarts(frame_header, scan, interval))
        for segment in _segments(frame, int(at[after[0]])):
            interval = _interval(segment) if segment.marker == _DRI else interval
        if segment.marker == _EOI:
            return
        scan = segment
    raise CorruptPixelDataError(f"the compressed frame has more than {_MAX_SCANS} scans")


def _markers(frame: bytes, start: int, least: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Where markers stand from `start` on, and their codes, of `least` and above."""
    octets = np.frombuffer(frame, np.uint8)
    found = [np.empty(0, np.intp)]
    for first in range(start, len(frame) - 1, _CHUNK):
        after = octets[first + 1 : first + 1 + _CHUNK]
        marked = octets[first : first + after.size] == 0xFF
        marked &= after >= least
        if marked.any():
            found.append(np.flatnonzero(marked) + first)
    at = np.concatenate(found)
    codes = octets[at + 1]
    real = codes != 0xFF  # 0xFF before a marker fills up
    return at[real], codes[real]


def _check_scan_header(scan: _Segment, frame_header: _Segment) -> None:
    count = scan.data[0] if scan.data else 0
    if not 1 <= count <= frame_header.data[5] or len(scan.data) != 4 + 2 * count:
        raise CorruptPixelDataError("a JPEG scan header (SOS) does not fit the frame header")


def _check_restarts(codes: NDArray[np.uint8], expected: int | None) -> None:
    """T.81 E.1.4: restart markers count from 0 to 7 and begin again, so that a lost one shows."""
    if expected is not None and len(codes) != expected:
        raise CorruptPixelDataError(
            f"a JPEG scan has {len(codes):,} restart markers, where its restart interval needs {expected:,}"
        )
    if not np.array_equal(codes, _RESTARTS.start + np.arange(len(codes)) % 8):
        raise CorruptPixelDataError("the restart markers of a JPEG scan are out of sequence")


def _expected_restarts(frame_header: _Segment, scan: _Segment, interval: int) -> int | None:
    """How many a scan of all components needs; None for other scans, whose units are counted otherwise."""
    _, height, width, components = struct.unpack_from(">BHHB", frame_header.data)
    if interval == 0:
        return 0
    if scan.data[0] != components or components not in (1, 3) or frame_header.marker == _JPEG_LS:
        return None
    block = 1 if frame_header.marker == _LOSSLESS else 8
    sampling = frame_header.data[7::3][:components]
    # T.81 A.2.2: with one component, a unit is one block whatever its sampling factors say.
    across = 1 if components == 1 else max(factors >> 4 for factors in sampling)
    down = 1 if components == 1 else max(factors & 15 for factors in sampling)
    units = -(-width // (block * max(across, 1))) * -(-height // (block * max(down, 1)))
    return int(units - 1) // interval


def _interval(segment: _Segment | None) -> int:
    """The restart interval of a DRI segment, in units; T.87 C.2.5 allows more than two bytes."""
    return 0 if segment is None else int.from_bytes(segment.data, "big")


def _describe(header: _Segment, found: dict[int, _Segment]) -> Codestream:
    bits, height, width, components = struct.unpack_from(">BHHB", header.data)
    applications = {marker: segment.data for marker, segment in found.items()}
    coding = _luma_chroma(applications, header.data[6::3][:components])
    lossy = header.marker not in (_LOSSLESS, _JPEG_LS)
    return Codestream(width, height, bits, False, components, lossy, coding, applications.get(_APP1))


def _luma_chroma(applications: dict[int, bytes], names: bytes) -> bool | None:
    """Whether three components are Y, Cb, Cr: by Adobe's marker, JFIF's, or the components' names."""
    adobe = applications.get(_APP14, b"")
    if adobe.startswith(b"Adobe") and len(adobe) >= 12:
        return adobe[11] == 1
    if applications.get(_APP0, b"").startswith(b"JFIF"):
        return True
    return False if names == b"RGB" else None
