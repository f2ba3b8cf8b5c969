"""The client: `async with AsyncClient(url) as client: answer = await client.ask(["ct.dcm"], "Which organ?")`."""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from radserve_client.errors import AnswerBroken, ApiError, InvalidRequest, ServerBusy, ServerUnreachable
from radserve_client.sse import Event, events

DEFAULT_URL = "http://127.0.0.1:8000"
_PATIENCE = httpx.Timeout(10.0, read=120.0)
_BUSY = (429, 503)

Image = str | Path | bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `clinical` holds provenance, rendering records, confidence, warnings and timings."""

    text: str
    model: str
    finish_reason: str
    usage: Mapping[str, Any] = field(default_factory=dict)
    clinical: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the model would see: a PNG, and the record of how it came about."""

    png: bytes
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """A stack of uploaded images; `image_ids` are in the order of its slices."""

    series_id: str
    description: str
    slices: int
    warnings: Sequence[str]
    image_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class SortedSeries:
    """The series among some images, the one with most slices first, and which images are in none, and why."""

    series: Sequence[Series]
    left_out: Sequence[Mapping[str, str]]


class AsyncClient:
    """One connection pool to one server. `transport` is httpx's seam, for tests and proxies."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: httpx.Timeout = _PATIENCE,
    ) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, transport=transport, timeout=timeout)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def upload(self, image: Image) -> str:
        """Send one DICOM, PNG or JPEG; the returned image id serves later questions."""
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        response = await self._send(
            "POST", "/v1/images", content=data, headers={"content-type": media_type(data)}
        )
        return str(response.json()["image_id"])

    async def sort_series(self, image_ids: Sequence[str]) -> SortedSeries:
        """Sort uploaded images into series; the ids of these go into `series_ids` of a question."""
        response = await self._send("POST", "/v1/series", json={"image_ids": list(image_ids)})
        body = response.json()
        names = [field.name for field in fields(Series)]
        series = [Series(**{name: item[name] for name in names}) for item in body["data"]]
        return SortedSeries(series, body["left_out"])

    async def stream(
        self, images: Sequence[Image], question: str, **options: Any
    ) -> AsyncIterator[str | Answer]:
        """Pieces of text as the model says them, and last the whole Answer; options as in `stream_about`."""
        image_ids = [await self.upload(image) for image in images]
        async for item in self.stream_about(image_ids, question, **options):
            yield item

    async def stream_about(
        self, image_ids: Sequence[str], question: str, **options: Any
    ) -> AsyncIterator[str | Answer]:
        """Like `stream`, about images that were uploaded before.

        `options` are the fields of /v1/vqa: series_ids, max_tokens, temperature, frame, slices, window
        ({"center", "width"} or a preset's name) …
        """
        body = {"image_ids": list(image_ids), "question": question, **options}
        request = self._http.build_request(
            "POST", "/v1/vqa", json=body, headers={"accept": "text/event-stream"}
        )
        response = await self._connect(request, stream=True)
        try:
            async for event in events(response.aiter_lines()):
                yield (item := _read_event(event))
                if isinstance(item, Answer):
                    return
        except httpx.HTTPError as error:
            raise AnswerBroken(f"the connection broke in the middle of the answer: {error}") from error
        finally:
            await response.aclose()
        raise AnswerBroken("the server ended the stream before the answer was finished")

    async def ask(self, images: Sequence[Image], question: str, **options: Any) -> Answer:
        """The whole answer at once; options as in `stream`."""
        async for item in self.stream(images, question, **options):
            if isinstance(item, Answer):
                return item
        raise AnswerBroken("the server sent no answer")

    async def render(self, image: Image, **options: Any) -> list[Rendered]:
        """What the model would see of this image: one picture, or several where the policy shows several frames."""
        return await self.render_about(image_id=await self.upload(image), **options)

    async def render_about(self, **options: Any) -> list[Rendered]:
        """The same of what was uploaded before; `options` are the fields of /v1/render: image_id or series_id …"""
        response = await self._send(
            "POST", "/v1/render", json=options, headers={"accept": "application/json"}
        )
        return [_read_rendered(image) for image in response.json()["images"]]

    async def models(self) -> list[Mapping[str, Any]]:
        """The engines that this server has."""
        return list((await self._send("GET", "/v1/models")).json()["data"])

    async def ready(self) -> bool:
        """Whether the engine answers; False also when no server does."""
        try:
            return (await self._http.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def _send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        return await self._connect(self._http.build_request(method, path, **parts), stream=False)

    async def _connect(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        try:
            response = await self._http.send(request, stream=stream)
            if response.is_error:
                await response.aread()
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"{request.url.host} did not answer in time") from error
        except httpx.TransportError as error:
            raise ServerUnreachable(
                f"no server answers at {self._http.base_url}: is `radserve up` running?"
            ) from error
        if response.is_error:
            raise _api_error(response)
        return response


def media_type(data: bytes) -> str:
    """By the first bytes; what is not recognised is sent as DICOM, and the server says what is wrong with it."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "application/dicom"


def _read_event(event: Event) -> str | Answer:
    value = json.loads(event.data)
    if event.name == "error":
        raise AnswerBroken(str(value["error"]["message"]))
    if event.name == "delta":
        return str(value["delta"])
    return Answer(value["answer"], value["model"], value["finish_reason"], value["usage"], value["clinical"])


def _read_rendered(value: Mapping[str, Any]) -> Rendered:
    return Rendered(base64.b64decode(value["png_base64"]), value["record"])


def _api_error(response: httpx.Response) -> ApiError:
    try:
        error = response.json()["error"]
        message, code, param = str(error["message"]), error.get("code"), error.get("param")
    except (ValueError, LookupError, TypeError):
        message, code, param = f"HTTP {response.status_code}", None, None
    wait = response.headers.get("retry-after", "")
    kind = (
        ServerBusy
        if response.status_code in _BUSY
        else InvalidRequest
        if response.is_client_error
        else ApiError
    )
    return kind(
        message,
        status=response.status_code,
        code=code,
        param=param,
        retry_after=float(wait) if wait.isdigit() else None,
    )
