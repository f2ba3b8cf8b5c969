"""The outermost layer: a request id, one log line without anything of the request's content, the last resort."""

import logging
import re
import time
import uuid
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radserve_server.errors import GatewayError

_LOG = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STARTED = "radserve.started"
_ARRIVED = "radserve.arrived"


def started_at(request: Request) -> float:
    """When the request's headers had arrived, on time.perf_counter."""
    started: float = request.scope[_STARTED]
    return started


def note_arrival(request: Request) -> None:
    """The whole body is here."""
    request.scope[_ARRIVED] = time.perf_counter()


def arrived_at(request: Request) -> float:
    """When the whole body had arrived, on time.perf_counter; `read_body` notes it."""
    arrived: float = request.scope[_ARRIVED]
    return arrived


@dataclass(slots=True)
class _Exchange:
    """One request and what became of it."""

    send: Send
    request_id: str
    status: int = 0

    async def pass_on(self, message: Message) -> None:
        """Send, with the request's id among the headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self.request_id
        await self.send(message)


class AccessLayer:
    """Pure ASGI middleware, so that streaming and disconnects pass through it untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope[_STARTED] = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        exchange = _Exchange(send, given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
        try:
            await self._app(scope, receive, exchange.pass_on)
        except Exception:  # the process's edge
            _LOG.exception("request %s failed", exchange.request_id)
            if exchange.status:
                raise
            failure = GatewayError(f"the server failed; its log has more on request {exchange.request_id}")
            await JSONResponse(failure.to_json(), failure.status)(scope, receive, exchange.pass_on)
        finally:
            self._log(scope, exchange)

    def _log(self, scope: Scope, exchange: _Exchange) -> None:
        """Method, route, status, time: the route's pattern, never the path, which may hold an image id."""
        route = getattr(scope.get("route"), "path", "-")
        took = (time.perf_counter() - scope[_STARTED]) * 1000
        _LOG.info("%s %s %s %d %.1f ms", exchange.request_id, scope["method"], route, exchange.status, took)
