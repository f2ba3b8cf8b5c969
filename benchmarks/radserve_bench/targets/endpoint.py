"""One HTTP server as a load generator wants it: connections are kept, none ever waits for another, errors are ours."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import aiohttp

from radserve_bench.errors import BenchError, Broken, Refused, RequestFailed
from radserve_bench.targets.answer_stream import AnswerStream, error_message

JSON = "application/json"
_BUSY = (429, 503)
_CHUNK = 1 << 18
_GET_S = 10.0
_IDLE_S = 3.0  # less than servers keep an idle connection, so that none is used that they are closing


class StatusFailed(RequestFailed):
    """The server answered with an error; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class Endpoint:
    """Paths are below `url`. Raises RequestFailed with the server's words."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"accept-encoding": "identity", "user-agent": "radserve-bench"}
        if api_key:
            if not (api_key.isascii() and api_key.isprintable()):
                raise BenchError(f"the API key for {self.url} has characters that no header may have")
            self._headers["authorization"] = f"Bearer {api_key}"
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str) -> Any:
        """The JSON at a path, which must come within 10 s."""
        try:
            with self._failures():
                async with asyncio.timeout(_GET_S), self._http().get(self.url + path) as response:
                    return await _read(response)
        except TimeoutError as error:
            raise RequestFailed(f"{self.url}{path} did not answer within {_GET_S:g} s") from error

    async def post(self, path: str, parts: Sequence[bytes], media_type: str = JSON) -> Any:
        """Send a body and read JSON."""
        with self._failures():
            async with self._request(path, parts, media_type) as response:
                return await _read(response)

    async def stream(self, path: str, parts: Sequence[bytes]) -> AnswerStream:
        """Ask, and read the answer's events to the end. Raises Broken where it ends too early."""
        answer = AnswerStream()
        with self._failures():
            async with self._request(path, parts, JSON) as response:
                if response.status != 200:
                    await _read(response)
                try:
                    while data := await response.content.readany():
                        answer.feed(data, time.perf_counter())
                except aiohttp.ClientError as error:
                    raise Broken(f"the connection broke in the middle of the answer: {error}") from error
        return answer

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S, ttl_dns_cache=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0),
            )
        return self._session

    def _request(self, path: str, parts: Sequence[bytes], media_type: str) -> Any:
        size = sum(map(len, parts))
        headers = {"content-type": media_type, "content-length": str(size)}
        body = b"".join(parts) if size <= _CHUNK else _chunks(parts)
        return self._http().post(self.url + path, data=body, headers=headers)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except aiohttp.InvalidURL as error:
            raise BenchError(f"{self.url} is not an address") from error
        except aiohttp.ClientConnectorError as error:
            raise RequestFailed(f"no server answers at {self.url}: {_reason(error)}") from error
        except aiohttp.ClientError as error:
            raise RequestFailed(f"{self.url} gave no answer: {error or type(error).__name__}") from error


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """The system's words for it, without asyncio's account of addresses."""
    if isinstance(error, aiohttp.ClientConnectorSSLError | aiohttp.ClientConnectorDNSError):
        return error.strerror or str(error)
    return os.strerror(error.errno) if error.errno else str(error)


async def _chunks(parts: Sequence[bytes]) -> AsyncIterator[memoryview]:
    for part in parts:
        view = memoryview(part)
        for at in range(0, len(view), _CHUNK):
            yield view[at : at + _CHUNK]


async def _read(response: aiohttp.ClientResponse) -> Any:
    text = await response.read()
    try:
        body = json.loads(text)
    except ValueError:
        body = text[:500].decode(errors="replace")
        if response.ok:
            raise RequestFailed(f"{response.url} answered what is no JSON: {body}") from None
    if response.status in _BUSY:
        raise Refused(error_message(body))
    if response.status >= 300:
        raise StatusFailed(response.status, error_message(body))
    return body
