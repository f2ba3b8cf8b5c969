"""Reads a request's body up to a limit in bytes and in time, and turns it into what was asked."""

import asyncio
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from radserve_server.access import note_arrival
from radserve_server.aside import run_aside
from radserve_server.errors import ClientGone, InvalidRequest, RequestTimeout, TooLarge, UnsupportedMediaType

T = TypeVar("T", bound=BaseModel)
MAX_JSON_BYTES = 4 * 2**20
"""Without images: more text than any engine's context holds, and 5 ms to parse."""

_UNION_TAG = "~"
_UNKNOWN = "extra_forbidden"


def media_type_of(request: Request) -> str:
    """The Content-Type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, max_bytes: int, timeout_s: float) -> bytes:
    """All of it; raises TooLarge before reading what says that it is too large."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLarge(
            f"the body has {int(declared):,} bytes; at most {max_bytes:,} are accepted", param="body"
        )
    pieces, size = [], 0
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.stream():
                size += len(piece)
                if size > max_bytes:
                    raise TooLarge(f"the body is over {max_bytes:,} bytes", param="body")
                pieces.append(piece)
    except TimeoutError:
        raise RequestTimeout(f"the body did not arrive within {timeout_s:g} s", param="body") from None
    except ClientDisconnect:
        raise ClientGone("the client closed the connection before its body was there") from None
    body = pieces[0] if len(pieces) == 1 else await run_aside(size, b"".join, pieces)
    note_arrival(request)
    return body


def require_json(request: Request) -> None:
    """Refuse another Content-Type, which is also what keeps forms of foreign web pages out."""
    found = media_type_of(request)
    if found != "application/json" and not (found.startswith("application/") and found.endswith("+json")):
        message = f"Content-Type is {found or 'missing'}; send application/json"
        raise UnsupportedMediaType(message, param="Content-Type")


def parse_json(model: type[T], body: bytes) -> T:
    """Validate a JSON body, its images taken out; raises InvalidRequest naming the field, or TooLarge."""
    if len(body) > MAX_JSON_BYTES:
        message = f"apart from the base64 of its images, the body has {len(body):,} bytes"
        raise TooLarge(f"{message}; at most {MAX_JSON_BYTES:,} are accepted", param="body")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_fields(error) from None


def parse_fields(model: type[T], fields: dict[str, Any]) -> T:
    """Validate values that came as text, of a form or a query; raises InvalidRequest naming the field."""
    try:
        return model.model_validate(fields, strict=False)
    except ValidationError as error:
        raise invalid_fields(error) from None


def invalid_fields(error: ValidationError) -> InvalidRequest:
    """The first thing wrong, by the field's path; never the value, which may be a patient's."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(str(step) for step in first["loc"] if not str(step).startswith(_UNION_TAG))
    # A field's name is the caller's text too: keep it short and printable.
    path = path[:200].encode("ascii", "backslashreplace").decode()
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return InvalidRequest(f"the body is not valid JSON: {reason}", code="invalid_json", param="body")
    if first["type"] == _UNKNOWN:
        return InvalidRequest(f"field {path} is not supported", code="unsupported_field", param=path)
    code = "missing_field" if first["type"] == "missing" else "invalid_value"
    return InvalidRequest(f"field {path}: {reason}" if path else reason, code=code, param=path or None)
