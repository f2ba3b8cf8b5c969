"""Starlette's own errors in the shape of ours: no such route, file or method."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from radserve_server.errors import InvalidRequest

_CODES = {404: "not_found", 405: "method_not_allowed"}


async def answer_http_error(_: Request, error: Exception) -> Response:
    """An exception handler for HTTPException."""
    if not isinstance(error, HTTPException):
        raise error
    refused = InvalidRequest(str(error.detail), code=_CODES.get(error.status_code))
    return JSONResponse(refused.to_json(), error.status_code, error.headers)
