"""The servers behind the viewer, and how a request is passed on to one and its answer back, as it comes."""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from yarl import URL

from radserve_server.disconnect import while_connected
from radserve_server.errors import ClientGone, GatewayError

_LOG = logging.getLogger(__name__)
_SENT_ON = (
    *("accept", "accept-encoding", "accept-language", "authorization", "content-type", "content-length"),
    *("if-match", "if-modified-since", "if-none-match", "if-range", "range", "x-request-id"),
)
_SENT_BACK = (
    *("accept-ranges", "cache-control", "content-encoding", "content-language", "content-length"),
    *("content-range", "content-type", "etag", "expires", "last-modified", "retry-after"),
    *("vary", "warning", "x-accel-buffering", "x-request-id"),
)
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=180)
_READ_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server behind the viewer. `title` is what an error calls it.

    `login` gives headers of our own, which no browser sees; `passes_login` says whether the browser's Authorization
    goes on to it.
    """

    title: str
    url: str = field(repr=False)  # it may hold a password
    failure: type[GatewayError]
    login: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)
    tls: ssl.SSLContext | bool = True
    passes_login: bool = True


class Forwarder:
    """Passes requests on to one server, over connections that are kept from `open` to `close`."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._base = upstream.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; connects to nothing yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._upstream.tls),
            cookie_jar=aiohttp.DummyCookieJar(),  # one browser's cookies are not another's
            auto_decompress=False,
            timeout=_TIMEOUT,
            read_bufsize=_READ_BYTES,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: Request, path: str) -> "PassedOn":
        """The answer to this request for `path`, percent-encoded as it came; raises the upstream's `failure`."""
        query = request.scope["query_string"].decode("latin-1")
        url = URL(f"{self._base}/{path}" + (f"?{query}" if query else ""), encoded=True)
        body = _Body(request)
        try:
            answer = await while_connected(body.receive, self._ask(request, url, body))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._upstream.failure(_explain(self._upstream.title, error)) from error
        if answer.status in (301, 302, 303, 307, 308):
            answer.close()
            raise self._upstream.failure(f"{self._upstream.title} sends elsewhere: is its address right?")
        return PassedOn(self._upstream.title, answer)

    async def _ask(self, request: Request, url: URL, body: "_Body") -> aiohttp.ClientResponse:
        if self._session is None:
            raise GatewayError("the viewer's server has not started")
        return await self._session.request(
            request.method,
            url,
            headers=self._headers(request),
            data=body.read() if body.is_there else None,
            allow_redirects=False,
        )

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {name: request.headers[name] for name in _SENT_ON if name in request.headers}
        if not self._upstream.passes_login:
            headers.pop("authorization", None)
        # RFC 7239, so that an archive that writes URLs writes those that the browser can use; unquoted, for Orthanc.
        headers["forwarded"] = f"host={request.headers['host']};proto={request.url.scheme}"
        return headers | dict(self._upstream.login())


class PassedOn:
    """An upstream's answer as an ASGI response: bytes go out as they come in; ends with whichever side leaves first."""

    def __init__(self, title: str, answer: aiohttp.ClientResponse) -> None:
        self._title = title
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the upstream or the browser ends."""
        try:
            with suppress(ClientGone):
                await while_connected(receive, self._write(send))
        finally:
            self._answer.close()

    async def _write(self, send: Send) -> None:
        headers = {name: self._answer.headers[name] for name in _SENT_BACK if name in self._answer.headers}
        headers.setdefault("cache-control", "no-store")  # patients' data stays out of the browser's files
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self._answer.status, "headers": raw})
        try:
            async for chunk in self._answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (aiohttp.ClientError, TimeoutError):
            # Left unfinished: the server then cuts the connection, and the browser knows that this is not all.
            _LOG.warning("%s broke off in the middle of an answer", self._title)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Body:
    """A request's body, read once; only after it can the client's leaving be seen."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._read = asyncio.Event()
        self.is_there = any(name in request.headers for name in ("content-length", "transfer-encoding"))
        if not self.is_there:
            self._read.set()

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Its pieces as they come."""
        try:
            async for chunk in self._request.stream():
                if chunk:
                    yield chunk
        finally:
            self._read.set()

    async def receive(self) -> Message:
        """What comes after the body."""
        await self._read.wait()
        return await self._request.receive()


def _explain(title: str, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return f"the connection to {title} is not safe: its certificate was refused"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{title} cannot be reached: is it running, and is its address right?"
    if isinstance(error, TimeoutError):
        return f"{title} did not answer in time"
    return f"{title} broke off before it answered"
