"""POST /v1/chat/completions: OpenAI's way of asking."""

from collections.abc import AsyncGenerator, Mapping

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from radserve_server.access import arrived_at, started_at
from radserve_server.answering import Asked, RunningAnswer, check_image_count
from radserve_server.answers import ChatShape
from radserve_server.aside import run_aside
from radserve_server.auth import Caller
from radserve_server.backend import Delta
from radserve_server.bodies import parse_json, read_body, require_json
from radserve_server.chat_schema import ChatRequest
from radserve_server.conversation import ArchiveImages, ImageReference, read_conversation, spread_images
from radserve_server.disconnect import while_connected
from radserve_server.documentation import CHAT
from radserve_server.payloads import Payload, lift_payloads
from radserve_server.pictures import fetch_picture
from radserve_server.series_store import SERIES_SCHEME
from radserve_server.services import Services, services_of
from radserve_server.sources import Shown, SourceReader
from radserve_server.sse import DONE, EventStream, encode_event

router = APIRouter(tags=["ask"])


@router.post("/v1/chat/completions", **CHAT)
async def complete_chat(request: Request, caller: Caller) -> Response:
    """Answer a question about images in OpenAI's shape, at once or as server-sent events."""
    services = services_of(request)
    settings = services.settings
    require_json(request)
    body = await read_body(request, settings.max_body_bytes, settings.body_timeout_s)
    wanted, payloads = await _read(body)
    asked = await while_connected(request.receive, _ask(services, wanted, payloads, caller, request))
    shape = ChatShape(asked.engine.name, bool(wanted.logprobs))
    if not wanted.stream:
        return JSONResponse(await while_connected(request.receive, _complete(services, asked, shape)))
    answer = await while_connected(request.receive, RunningAnswer.begin(services, asked))
    include_usage = bool(wanted.stream_options and wanted.stream_options.include_usage)
    return EventStream(_events(answer, shape, include_usage), answer.close, services.metrics.note_failure)


async def _read(body: bytes) -> tuple[ChatRequest, Mapping[str, Payload]]:
    """The request, and the base64 of its large images apart."""
    letter = await run_aside(len(body), lift_payloads, body)
    wanted = parse_json(ChatRequest, letter.text)
    if not letter.payloads:
        return wanted, {}
    images = read_conversation(wanted.messages).images
    carried = {image.payload for image in images if isinstance(image, ImageReference)}
    if letter.payloads.keys() <= carried:
        return wanted, letter.payloads
    kept = letter.keep(carried)  # what else looked like an image is part of a text
    return parse_json(ChatRequest, kept.text), kept.payloads


async def _ask(
    services: Services, wanted: ChatRequest, payloads: Mapping[str, Payload], caller: str, request: Request
) -> Asked:
    engine = services.watch.require(wanted.model)
    conversation = read_conversation(wanted.messages)
    check_image_count(engine, len(conversation.images), "messages")
    reader = SourceReader(services.store, services.series, caller, engine.policy, services.archives)
    shown = [await _open(image, reader, services, payloads) for image in conversation.images]
    found = await reader.read_each(shown, wanted.clinical)
    sources = tuple(source for several in found for source in several)
    check_image_count(engine, len(sources), "messages")
    messages = spread_images(conversation.messages, [len(several) for several in found])
    times = started_at(request), arrived_at(request)
    return Asked(engine, messages, sources, wanted.sampling(), *times, caller)


async def _open(
    image: ImageReference | ArchiveImages,
    reader: SourceReader,
    services: Services,
    payloads: Mapping[str, Payload],
) -> Shown:
    if isinstance(image, ArchiveImages):
        return image
    if image.url.startswith(SERIES_SCHEME):
        return reader.find_series(image.url, image.param)
    limit = services.settings.max_image_bytes
    return await fetch_picture(image, payloads, reader.owner, services.store, limit)


async def _complete(services: Services, asked: Asked, shape: ChatShape) -> dict[str, object]:
    answer = await RunningAnswer.begin(services, asked)
    try:
        deltas: list[Delta] = []
        async for batch in answer.batches():
            deltas += batch
        return shape.completion(deltas, answer.ending)
    finally:
        await answer.close()


async def _events(
    answer: RunningAnswer, shape: ChatShape, include_usage: bool
) -> AsyncGenerator[bytes, None]:
    opening = encode_event(shape.opening())
    async for batch in answer.batches():
        if any(delta.text or delta.token_ids for delta in batch):
            yield opening + encode_event(shape.content(batch))
            opening = b""
    yield opening + encode_event(shape.closing(answer.ending))
    if include_usage:
        yield encode_event(shape.usage(answer.ending))
    yield DONE
