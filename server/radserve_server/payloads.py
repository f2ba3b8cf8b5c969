"""Takes the images out of a large JSON body before it is parsed.

A JSON parser holds the interpreter's lock for 1.3 ms a megabyte, and decodes text that nobody reads. So the
base64 of large data: URIs is cut out first, each replaced by a token that no client can guess.
"""

import secrets
from collections.abc import Mapping, Set
from dataclasses import dataclass

from radserve_server.aside import SMALL, find

Payload = bytes | memoryview
_MARKER = b";base64,"
_LEAST = 2**14


@dataclass(frozen=True, slots=True)
class Letter:
    """`text` is JSON; the base64 behind each token in it is in `payloads`."""

    text: bytes
    payloads: Mapping[str, Payload]

    def keep(self, tokens: Set[str]) -> "Letter":
        """With the payloads of `tokens` only; the others are put back where they were."""
        text = self.text
        for token in self.payloads.keys() - tokens:
            text = text.replace(token.encode(), self.payloads[token])
        return Letter(text, {token: self.payloads[token] for token in self.payloads.keys() & tokens})


def lift_payloads(body: bytes) -> Letter:
    """Cut out what is surely base64 in a JSON string; a small body stays as it is."""
    if len(body) <= SMALL:
        return Letter(body, {})
    secret = secrets.token_hex(16)
    payloads: dict[str, Payload] = {}
    pieces, kept, position = [], 0, 0
    while (found := find(body, _MARKER, position, len(body))) != -1:
        start = found + len(_MARKER)
        end = position = find(body, b'"', start, len(body))
        if end == -1:
            break
        payload = _read_payload(body, start, end) if end - start >= _LEAST else None
        if payload is not None:
            token = f"{secret}.{len(payloads)}"
            payloads[token] = payload
            pieces += [body[kept:start], token.encode()]
            kept = end
    return Letter(b"".join([*pieces, body[kept:]]), payloads) if payloads else Letter(body, {})


def _read_payload(body: bytes, start: int, end: int) -> Payload | None:
    r"""From `start` to the quotation mark at `end`; None if an escape other than `\/` stands between them."""
    if find(body, b"\\", start, end) == -1:
        return memoryview(body)[start:end]
    pieces = []
    while start < end:
        stop = min(start + SMALL, end)
        stop += stop < end and body[stop - 1] == ord("\\")  # an escape stays in one piece
        piece = body[start:stop].replace(rb"\/", b"/")
        if b"\\" in piece:
            return None
        pieces.append(piece)
        start = stop
    return b"".join(pieces)
