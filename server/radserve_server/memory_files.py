"""Anonymous files in memory, by which gateway and decoding worker exchange bytes without copying by pieces."""

import os
from collections.abc import Iterable


def write_file(file: int, parts: Iterable[bytes]) -> None:
    """Write all `parts`, one after another, from the beginning of `file`."""
    offset = 0
    for part in parts:
        view = memoryview(part)
        while view:
            written = os.pwrite(file, view, offset)
            view, offset = view[written:], offset + written


def read_file(file: int, size: int, start: int = 0) -> bytes:
    """`size` bytes of `file` from `start`; raises EOFError if it is shorter."""
    pieces, offset = [], 0
    while offset < size:
        piece = os.pread(file, size - offset, start + offset)
        if not piece:
            raise EOFError(f"the file ends after {offset} of {size} bytes")
        pieces.append(piece)
        offset += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
