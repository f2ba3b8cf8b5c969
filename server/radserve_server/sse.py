"""Server-sent events: their format, and the response that stops its source when the reader goes away."""

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from radserve_server.disconnect import while_connected
from radserve_server.errors import ClientGone, GatewayError

_LOG = logging.getLogger(__name__)
DONE = b"data: [DONE]\n\n"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # so that no proxy holds tokens back


def encode_event(value: dict[str, Any], event: str | None = None) -> bytes:
    """One event; JSON has no line breaks, so one data line is enough."""
    name = b"" if event is None else f"event: {event}\n".encode()
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return name + b"data: " + data.encode() + b"\n\n"


class EventStream(Response):
    """Sends what `source` yields as it comes, an error as the last event; calls `close` in every case."""

    media_type = "text/event-stream"

    def __init__(
        self,
        source: AsyncGenerator[bytes, None],
        close: Callable[[], Awaitable[None]],
        note_failure: Callable[[GatewayError], None],
        error_event: str | None = None,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._source = source
        self._close = close
        self._note_failure = note_failure
        self._error_event = error_event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the source or the client ends."""
        try:
            await while_connected(receive, self._write(send))
        except ClientGone as error:
            self._note_failure(error)
        finally:
            await self._source.aclose()
            await self._close()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for event in self._source:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except GatewayError as error:
            await self._send_error(send, error)
        except Exception:  # the process's edge: the status has been sent, so this can only be said here
            _LOG.exception("an answer failed after its first byte")
            await self._send_error(send, GatewayError("the server failed; see its log"))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_error(self, send: Send, error: GatewayError) -> None:
        self._note_failure(error)
        body = encode_event(error.to_json(), self._error_event)
        await send({"type": "http.response.body", "body": body, "more_body": True})
