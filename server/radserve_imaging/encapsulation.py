"""Finds one frame among the fragments of encapsulated pixel data, PS3.5 A.4, trusting no offset table."""

import struct
from dataclasses import dataclass

from radserve_imaging.codestream import SOC, SOI
from radserve_imaging.elements import ITEM, SEQUENCE_END, Element
from radserve_imaging.errors import CorruptPixelDataError, TooLargeError, TruncatedDicomError
from radserve_imaging.tags import PIXEL_DATA, describe

_TAG = describe(PIXEL_DATA)
_MAX_FRAGMENTS = 200_000  # ten times the most frames


@dataclass(frozen=True, slots=True)
class Fragments:
    """Fragments as (start, end) within `buffer`, `origin` being where the first one's item begins."""

    buffer: bytes
    spans: list[tuple[int, int]]
    origin: int
    offsets: list[int]

    def frame(self, index: int, count: int, extended_offsets: list[int]) -> bytes:
        """The bytes of frame `index` (from 0) out of `count`."""
        if count == 1:
            return self._join(0, len(self.spans))
        if len(self.spans) == count:
            return self._join(index, index + 1)
        starts = self._frame_starts(count, extended_offsets)
        return self._join(starts[index], starts[index + 1])

    def _frame_starts(self, count: int, extended_offsets: list[int]) -> list[int]:
        """The first fragment of each frame, and the number of fragments."""
        marked = [i for i, (at, _) in enumerate(self.spans) if self.buffer.startswith((SOI, SOC), at)]
        if len(marked) == count and marked[0] == 0:  # better than any table: each frame does begin there
            return [*marked, len(self.spans)]
        by_offset = {start - 8 - self.origin: i for i, (start, _) in enumerate(self.spans)}
        for table in (extended_offsets, self.offsets):
            starts = [by_offset.get(offset, -1) for offset in table]
            if len(starts) == count and starts[0] == 0 and starts == sorted(set(starts)):
                return [*starts, len(self.spans)]
        raise CorruptPixelDataError(
            f"{_TAG} has {len(self.spans)} fragments for {count} frames, and no offset table that fits them",
            tag=_TAG,
        )

    def _join(self, first: int, last: int) -> bytes:
        return b"".join(self.buffer[start:end] for start, end in self.spans[first:last])


def read_fragments(buffer: bytes, pixel_data: Element) -> Fragments:
    """Walk the items of encapsulated pixel data; raises ImagingError where they do not add up."""
    spans: list[tuple[int, int]] = []
    position, end = pixel_data.start, pixel_data.end
    while position + 8 <= end:
        group, element, length = struct.unpack_from("<HHI", buffer, position)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            break
        if tag != ITEM:
            raise CorruptPixelDataError(f"{_TAG} holds {describe(tag)[:11]} among its fragments", tag=_TAG)
        if position + 8 + length > end:
            raise TruncatedDicomError(
                f"{_TAG} ends inside a fragment of {length:,} bytes; fetch the image again", tag=_TAG
            )
        if len(spans) > _MAX_FRAGMENTS:
            raise TooLargeError(f"{_TAG} has more than {_MAX_FRAGMENTS:,} fragments", tag=_TAG)
        spans.append((position + 8, position + 8 + length))
        position += 8 + length
    if len(spans) < 2:
        raise CorruptPixelDataError(f"{_TAG} holds no fragment", tag=_TAG)
    table, *fragments = spans
    offsets = list(struct.unpack_from(f"<{(table[1] - table[0]) // 4}I", buffer, table[0]))
    return Fragments(buffer, fragments, table[1], offsets)
