"""Anonymous files in memory, by which gateway and decoding worker exchange bytes without copying by pieces."""

import os


def write_file(file: int, data: bytes) -> None:
    """Write all of `data` at the beginning of `file`."""
    view, offset = memoryview(data), 0
    while offset < len(view):
        offset += os.pwrite(file, view[offset:], offset)


def read_file(file: int, size: int) -> bytes:
    """The first `size` bytes of `file`; raises EOFError if it is shorter."""
    pieces, offset = [], 0
    while offset < size:
        piece = os.pread(file, size - offset, offset)
        if not piece:
            raise EOFError(f"the file ends after {offset} of {size} bytes")
        pieces.append(piece)
        offset += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
