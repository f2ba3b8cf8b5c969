"""Palette colour lookup tables, plain (PS3.3 C.7.6.3.1.5 and .6) or segmented (C.7.9.2)."""

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.attributes import Attributes
from radserve_imaging.errors import InvalidAttributeError, UnsupportedPhotometricError
from radserve_imaging.lut import LookupTable
from radserve_imaging.presentation import read_descriptor, read_table
from radserve_imaging.tags import (
    PALETTE_DATA,
    PALETTE_DESCRIPTORS,
    PHOTOMETRIC_INTERPRETATION,
    SEGMENTED_PALETTE_DATA,
    describe,
)

_DISCRETE, _LINEAR, _INDIRECT = range(3)


def read_palettes(attributes: Attributes) -> list[NDArray[np.uint8]]:
    """Red, green and blue, each as 8-bit levels by entry; their first input is that of `first_input`."""
    tables = _tables(attributes)
    # Some writers declare 16 bits and use the lower 8 only.
    narrow = all(int(table.entries.max()) < 256 for table in tables)
    return [_to_bytes(table, narrow) for table in tables]


def first_input(attributes: Attributes, signed: bool) -> int:
    """The stored value that takes the first entry (the descriptors must agree: C.7.6.3.1.5)."""
    _, first, _ = read_descriptor(attributes, PALETTE_DESCRIPTORS[0])
    return first - 2**16 if signed and first >= 2**15 else first


def _tables(attributes: Attributes) -> list[LookupTable]:
    if PALETTE_DATA[0] in attributes:
        pairs = zip(PALETTE_DESCRIPTORS, PALETTE_DATA, strict=True)
        return [read_table(attributes, descriptor, data) for descriptor, data in pairs]
    if SEGMENTED_PALETTE_DATA[0] in attributes:
        pairs = zip(PALETTE_DESCRIPTORS, SEGMENTED_PALETTE_DATA, strict=True)
        return [_read_segmented(attributes, descriptor, data) for descriptor, data in pairs]
    name = describe(PHOTOMETRIC_INTERPRETATION)
    raise UnsupportedPhotometricError(
        f"{name} is PALETTE COLOR, but {describe(PALETTE_DATA[0])} is missing; ask the archive to convert to RGB",
        tag=name,
    )


def _to_bytes(table: LookupTable, narrow: bool) -> NDArray[np.uint8]:
    """The upper 8 bits: writers of 8-bit levels fill the lower ones with zeros, or with the same bits again."""
    narrow = narrow or table.bits <= 8
    return (table.entries if narrow else table.entries >> (table.bits - 8)).astype(np.uint8)


def _read_segmented(attributes: Attributes, descriptor_tag: int, data_tag: int) -> LookupTable:
    count, first, bits = read_descriptor(attributes, descriptor_tag)
    element = attributes.element(data_tag)
    kind = "u1" if bits == 8 else f"{'<' if element is None else element.encoding.order}u2"
    data = attributes.value(data_tag)
    words = np.frombuffer(data, kind, len(data) // np.dtype(kind).itemsize).astype(np.int64).tolist()
    entries = _expand(words, count, 4 // np.dtype(kind).itemsize)
    if len(entries) < count:
        name = describe(data_tag)
        raise InvalidAttributeError(f"{name} gives {len(entries):,} of {count:,} entries", tag=name)
    return LookupTable(first, bits, np.array(entries[:count], np.uint16))


def _expand(words: list[int], count: int, offset_words: int) -> list[int]:
    """Up to `count` entries; stops at what makes no sense, so that too few show."""
    entries: list[int] = []
    position = 0
    while position + 2 < len(words) and len(entries) < count:
        if words[position] != _INDIRECT:
            position = _append(entries, words, position)
            continue
        # An indirect segment repeats segments from a byte offset, given as two words, or four bytes.
        segments, digits = words[position + 1], words[position + 2 : position + 2 + offset_words]
        base = 2 ** (32 // offset_words)
        source = sum(digit * base**i for i, digit in enumerate(digits)) // (4 // offset_words)
        position += 2 + offset_words
        for _ in range(segments):
            if source + 2 >= len(words) or words[source] == _INDIRECT or len(entries) >= count:
                break
            source = _append(entries, words, source)
    return entries


def _append(entries: list[int], words: list[int], position: int) -> int:
    """Add one discrete or linear segment; where the next one starts."""
    code, length = words[position], words[position + 1]
    if code == _DISCRETE:
        entries += words[position + 2 : position + 2 + length]
        return position + 2 + length
    if code == _LINEAR and entries:
        start, end = entries[-1], words[position + 2]
        entries += [start + round((end - start) * i / length) for i in range(1, length + 1)]
        return position + 3
    return len(words)
