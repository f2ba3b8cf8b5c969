"""HTTP with one PACS: a bounded pool of connections, and one place where what went wrong gets its name."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from radserve_server.errors import (
    ArchiveBroken,
    ArchiveError,
    ArchiveRefused,
    ArchiveTimeout,
    ArchiveUnreachable,
    GatewayError,
)
from radserve_server.metrics import Metrics
from radserve_server.pacs.archive import missing
from radserve_server.pacs.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: the path below the DICOMweb root, and `what` it is about, for errors."""

    path: str
    accept: str
    what: str
    query: Sequence[tuple[str, str]] = ()
    body: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    statuses: tuple[int, ...] = (200, 204)


class Answer:
    """A PACS's answer whose headers are there; its content comes piece by piece."""

    def __init__(self, endpoint: Endpoint, response: aiohttp.ClientResponse, metrics: Metrics) -> None:
        self._endpoint = endpoint
        self._response = response
        self._bytes = metrics.archive_bytes.labels(endpoint.name)
        self.status = response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Without regard to capitals."""
        return self._response.headers

    @property
    def media_type(self) -> str:
        """Of the Content-Type; empty if there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """As they come; raises ArchiveError once they are more than `max_bytes`, or say that they will be."""
        if (self._response.content_length or 0) > max_bytes:
            raise self.too_large(max_bytes)
        size = 0
        async for piece in self._response.content.iter_any():
            size += len(piece)
            self._bytes.inc(len(piece))
            if size > max_bytes:
                raise self.too_large(max_bytes)
            yield piece

    async def read(self, max_bytes: int) -> bytes:
        """All of it."""
        return b"".join([piece async for piece in self.pieces(max_bytes)])

    def too_large(self, max_bytes: int) -> ArchiveError:
        """What came is over the limit."""
        message = f"{self._endpoint.name} sends more than {max_bytes:,} bytes at once, which is the limit"
        return ArchiveError(message, code="archive_too_large")

    def wrong_type(self, wanted: str) -> ArchiveError:
        """What came is not what was asked for."""
        told = self.media_type[:60].encode("ascii", "replace").decode() or "nothing"
        message = f"{self._endpoint.name} answered {told} where {wanted} was asked for: is its url right?"
        return ArchiveBroken(message, code="archive_wrong_type")


class Exchange:
    """Connections to one PACS, `parallel` at most; they are made when the first is needed."""

    def __init__(self, endpoint: Endpoint, metrics: Metrics) -> None:
        self._endpoint = endpoint
        self._metrics = metrics
        self._places = asyncio.Semaphore(endpoint.parallel)
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncIterator[Answer]:
        """The answer inside the block, with one of the statuses that the request expects. Raises GatewayError."""
        outcome = "ok"
        try:
            async with self._places:
                try:
                    async with await self._send(ask) as response:
                        self._check_status(ask, response)
                        yield Answer(self._endpoint, response, self._metrics)
                except (aiohttp.ClientError, TimeoutError, ssl.SSLError) as error:
                    raise self._explain(error) from None
        except GatewayError as error:
            outcome = error.code
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        finally:
            self._metrics.archive_requests.labels(self._endpoint.name, outcome).inc()

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, ask: Ask) -> aiohttp.ClientResponse:
        """A GET whose connection was closed before any answer is sent once more, by aiohttp; a POST is not."""
        if self._session is None:
            self._session = self._connect()
        headers = {"accept": ask.accept, "accept-encoding": "identity"}
        if ask.content_type is not None:
            headers["content-type"] = ask.content_type
        return await self._session.request(
            "GET" if ask.body is None else "POST",
            f"{self._endpoint.url}/{ask.path}",
            params=list(ask.query),
            data=ask.body,
            headers=headers | self._endpoint.credentials.headers(self._endpoint.name),
            allow_redirects=False,  # credentials are for this address only
        )

    def _connect(self) -> aiohttp.ClientSession:
        endpoint = self._endpoint
        connector = aiohttp.TCPConnector(limit=endpoint.parallel, ssl=endpoint.tls or True)
        timeout = aiohttp.ClientTimeout(
            total=endpoint.whole_s, sock_connect=endpoint.connect_s, sock_read=endpoint.idle_s
        )
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    def _check_status(self, ask: Ask, response: aiohttp.ClientResponse) -> None:
        """By PS3.18 8.5: raises what the status means."""
        name, status = self._endpoint.name, response.status
        if status in ask.statuses:
            return
        if status == 401:
            message = f"{name} does not take the gateway's credentials (HTTP 401): look at its configuration"
            raise ArchiveRefused(message)
        if status == 403:
            raise ArchiveRefused(f"{name} does not let the gateway see this {ask.what} (HTTP 403)")
        if status in (404, 410):
            raise missing(ask.what, name)
        if 300 <= status < 400:
            message = (
                f"{name} sends the gateway on to another address (HTTP {status}): set its url to that one"
            )
            raise ArchiveError(message, code="archive_redirected")
        raise ArchiveError(f"{name} failed when it was asked for this {ask.what} (HTTP {status})")

    def _explain(self, error: Exception) -> GatewayError:
        """What the connection died of. Its own words are not told: they hold addresses."""
        name = self._endpoint.name
        if isinstance(error, TimeoutError):
            return self._explain_timeout(error)
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            message = (
                f"the certificate of {name} is not trusted, or its TLS does not fit: look at its ca_file"
            )
            return ArchiveUnreachable(message, code="archive_untrusted")
        if isinstance(error, aiohttp.ClientConnectorError):
            return ArchiveUnreachable(f"{name} cannot be reached: is it running, and is its url right?")
        if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
            message = f"{name} does not take the gateway's certificate: look at its client_certificate"
            return ArchiveRefused(message)
        if isinstance(error, aiohttp.ServerDisconnectedError) and self._endpoint.tls is not None:
            # With TLS 1.3 a certificate is refused only after the handshake, and often without a word.
            message = f"{name} closed the connection without an answer; does it take the client_certificate?"
            return ArchiveBroken(message, code="archive_cut_off")
        message = f"{name} broke off before its answer was complete; ask again"
        return ArchiveBroken(message, code="archive_cut_off")

    def _explain_timeout(self, error: TimeoutError) -> ArchiveTimeout:
        end = self._endpoint
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return ArchiveTimeout(f"{end.name} could not be reached within {end.connect_s:g} s")
        if isinstance(error, aiohttp.SocketTimeoutError):
            return ArchiveTimeout(f"{end.name} sent nothing for {end.idle_s:g} s; ask again")
        return ArchiveTimeout(f"{end.name} did not answer within {end.whole_s:g} s; ask again")
