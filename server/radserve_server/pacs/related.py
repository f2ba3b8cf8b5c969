"""multipart/related (RFC 2387) as DICOMweb uses it, PS3.18 8.6.1.2: written whole, read as it arrives."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

_MAX_HEADER = 8192
_MAX_BOUNDARY = 128  # RFC 2046 5.1.1 allows 70; Orthanc sends 73


class RelatedError(ValueError):
    """What arrived is no multipart/related message, or not all of one."""


class PartTooLarge(RelatedError):
    """A part is over its limit."""


@dataclass(frozen=True, slots=True)
class RelatedPart:
    """One part: its media type in lower case without parameters, and its content."""

    media_type: str
    data: bytes


def make_boundary() -> str:
    """A new one, that no content holds."""
    return f"radserve-{uuid.uuid4().hex}"


def write_related(parts: Sequence[bytes], boundary: str, media_type: str = "application/dicom") -> bytes:
    """The whole message; every part is of the same media type."""
    pieces: list[bytes] = []
    for part in parts:
        pieces += [f"--{boundary}\r\nContent-Type: {media_type}\r\n\r\n".encode(), part, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


class RelatedReader:
    """`feed` it what arrives; each part comes out when it is complete. Keeps one part of at most `max_bytes`.

    Raises RelatedError, from the Content-Type on.
    """

    def __init__(self, content_type: str, max_bytes: int, max_parts: int = 1) -> None:
        media_type, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if media_type != b"multipart/related" or not 1 <= len(boundary) <= _MAX_BOUNDARY:
            raise RelatedError("it is not multipart/related with a boundary")
        self._delimiter = b"\r\n--" + boundary
        self._max_bytes = max_bytes
        self._max_parts = max_parts
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter is like the others
        self._searched = 0
        self._begun = 0
        self.complete = False

    @property
    def held(self) -> int:
        """How many bytes of a part that is not complete yet are kept here."""
        return len(self._buffer)

    def feed(self, piece: bytes) -> list[RelatedPart]:
        """Take in what arrived next; the parts that are complete with it."""
        if self.complete:
            return []  # PS3.18 8.6.1.2.1: an epilogue has no meaning
        self._buffer += piece
        found: list[RelatedPart] = []
        while not self.complete and (at := self._find()) != -1:
            after = bytes(self._buffer[at + len(self._delimiter) :][:2])
            if len(after) < 2:
                break  # the next piece says whether it was the last one
            if self._begun:
                found.append(self._cut(at))
            self.complete = after == b"--"
            self._begun += not self.complete
            if self._begun > self._max_parts:
                raise RelatedError(f"it has more than {self._max_parts} parts")
            del self._buffer[: at + len(self._delimiter)]
            self._searched = 0
        if not self.complete and len(self._buffer) > self._max_bytes + _MAX_HEADER:
            raise PartTooLarge(f"a part is over {self._max_bytes:,} bytes")
        return found

    def finish(self) -> None:
        """Nothing more comes: raises RelatedError unless the closing boundary was there."""
        if not self.complete:
            raise RelatedError("its closing boundary is missing")

    def _find(self) -> int:
        at = self._buffer.find(self._delimiter, self._searched)
        self._searched = max(0, len(self._buffer) - len(self._delimiter)) if at == -1 else at
        return at

    def _cut(self, end: int) -> RelatedPart:
        """Padding up to the line's end, headers, an empty line, the content."""
        blank = self._buffer.find(b"\r\n\r\n", 0, min(end, _MAX_HEADER))
        if blank == -1:
            raise RelatedError("a part has no header that ends within 8 KiB")
        with memoryview(self._buffer) as whole:
            data = bytes(whole[blank + 4 : end])
        if len(data) > self._max_bytes:
            raise PartTooLarge(f"a part is over {self._max_bytes:,} bytes")
        kind = b""
        for line in bytes(self._buffer[:blank]).split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
        return RelatedPart(kind.decode("latin-1"), data)
