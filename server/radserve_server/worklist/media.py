"""What goes in and out of the worklist's routes: DICOM JSON, and nothing else."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from pydicom import Dataset
from starlette.responses import JSONResponse

from radserve_server.bodies import media_type_of, read_body
from radserve_server.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType
from radserve_server.services import services_of
from radserve_server.worklist.dicom_json import MEDIA_TYPE, read_dataset

_MAX_BYTES = 4 * 2**20
_SMALL = 16 * 2**10  # takes some 10 ms to read
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")  # PS3.5 9.1
_READ = (MEDIA_TYPE, "application/json")
_GIVEN = (*_READ, "application/*", "*/*", "")


def check_accept(request: Request) -> None:
    """Raises NotAcceptable where no media range of Accept can be given, such as that of DICOM's XML."""
    ranges = [part.split(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    if not any(one in _GIVEN for one in ranges):
        message = f"work items are given as {MEDIA_TYPE} only, not as XML or in several parts"
        raise NotAcceptable(message, param="Accept")


async def read_attributes(request: Request, *, optional: bool = False) -> Dataset:
    """The data set in a body; an empty one if it may be left out. Raises UnsupportedMediaType, InvalidRequest."""
    found = media_type_of(request)
    if found not in _READ and not (optional and not found):
        message = f"Content-Type is {found[:100] or 'missing'}; send {MEDIA_TYPE}: XML is not read"
        raise UnsupportedMediaType(message, param="Content-Type")
    body = await read_body(request, _MAX_BYTES, services_of(request).settings.body_timeout_s)
    if optional and not body:
        return Dataset()
    return read_dataset(body) if len(body) <= _SMALL else await asyncio.to_thread(read_dataset, body)


def read_uid(request: Request, names: Sequence[str]) -> str | None:
    """The one UID that a query may hold, with one of the names or without; raises InvalidRequest."""
    found = None
    for name, value in request.query_params.multi_items():
        told = value if name in names else name if not value else ""
        if not _UID.fullmatch(told) or len(told) > 64 or found is not None:
            message = f"the query holds one UID, as ?UID or ?{names[0]}=UID; {name[:100]!r} is something else"
            raise InvalidRequest(message, code="unsupported_field", param=name[:100])
        found = told
    return found


def answer_json(content: Any, warnings: Sequence[str] = ()) -> JSONResponse:
    """As DICOM JSON; each Warning is a header of its own."""
    response = JSONResponse(content, media_type=MEDIA_TYPE)
    for warning in warnings:
        response.headers.append("warning", warning)
    return response
