"""multipart/form-data (RFC 7578) out of a body that is in memory already: nothing is spooled to disk."""

from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from radserve_server.aside import cut, find
from radserve_server.errors import InvalidRequest

_MAX_PARTS = 128
_MAX_HEADER = 8192


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form; `filename` is None unless it is a file."""

    name: str
    filename: str | None
    media_type: str
    data: bytes

    def text(self) -> str:
        """The value of a field that is text; raises InvalidRequest."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"field {self.name} is not UTF-8 text", param=self.name) from None


def parse_multipart(content_type: str, body: bytes) -> list[Part]:
    """The parts in their order; raises InvalidRequest."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046 5.1.1
        raise _malformed("its Content-Type has no boundary of 1 to 70 characters")
    delimiter = b"\r\n--" + boundary
    at = -2 if body.startswith(delimiter[2:]) else find(body, delimiter, 0, len(body))
    parts: list[Part] = []
    while at != -1:
        start = at + len(delimiter)
        if body.startswith(b"--", start):
            return parts
        if len(parts) == _MAX_PARTS:
            raise _malformed(f"it has more than {_MAX_PARTS} parts")
        at = find(body, delimiter, start, len(body))
        if at != -1:
            parts.append(_parse_part(body, start, at))
    raise _malformed("its closing boundary is missing: was it cut off?")


def _parse_part(body: bytes, start: int, end: int) -> Part:
    """Padding up to the line's end, headers, an empty line, the content."""
    blank = body.find(b"\r\n\r\n", start, min(end, start + _MAX_HEADER))
    padding, *lines = body[start:blank].split(b"\r\n") if blank != -1 else [b"no header"]
    if padding.strip(b" \t"):
        raise _malformed("a part has no header that ends within 8 KiB")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    disposition, options = parse_options_header(headers.get(b"content-disposition", b""))
    if disposition != b"form-data" or b"name" not in options:
        raise _malformed("a part has no Content-Disposition: form-data with a name")
    filename = options.get(b"filename")
    return Part(
        name=options[b"name"].decode("ascii", "backslashreplace")[:200],
        filename=None if filename is None else filename.decode("utf-8", "replace"),
        media_type=headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1"),
        data=cut(body, blank + 4, end),
    )


def _malformed(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"the multipart body cannot be read: {reason}", code="invalid_multipart", param="body"
    )
