"""POST /v1/vqa: the short way of asking, by a form or by the ids of uploaded images.

With `Accept: text/event-stream`: events `delta` ({"delta": text}), then one `answer` with all that the JSON
answer has, or one `error` in the error shape.
"""

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from radserve_server.access import arrived_at, started_at
from radserve_server.answering import Asked, RunningAnswer, check_image_count
from radserve_server.answers import join_text
from radserve_server.aside import run_aside
from radserve_server.auth import Caller
from radserve_server.bodies import media_type_of, parse_fields, parse_json, read_body, require_json
from radserve_server.conversation import ask_about_images
from radserve_server.disconnect import while_connected
from radserve_server.documentation import VQA
from radserve_server.errors import InvalidRequest
from radserve_server.multipart import Part, parse_multipart
from radserve_server.pictures import Picture, open_picture
from radserve_server.services import Services, services_of
from radserve_server.sources import SeriesPicture, SourceReader
from radserve_server.sse import EventStream, encode_event
from radserve_server.vqa_schema import VqaRequest, gather_fields

FORM = "multipart/form-data"
router = APIRouter(tags=["ask"])


@router.post("/v1/vqa", **VQA)
async def answer_question(request: Request, caller: Caller) -> Response:
    """Answer one question about one or more images."""
    services = services_of(request)
    settings = services.settings
    is_form = media_type_of(request) == FORM
    if not is_form:
        require_json(request)
    body = await read_body(request, settings.max_body_bytes, settings.body_timeout_s)
    parts = await open_form(request, body) if is_form else []
    wanted = _read_form(parts) if is_form else parse_json(VqaRequest, body)
    asked = await while_connected(request.receive, _ask(services, wanted, parts, caller, request))
    if "text/event-stream" in request.headers.get("accept", ""):
        answer = await while_connected(request.receive, RunningAnswer.begin(services, asked))
        return EventStream(
            _events(answer, asked.engine.name), answer.close, services.metrics.note_failure, "error"
        )
    return JSONResponse(await while_connected(request.receive, _complete(services, asked)))


async def open_form(request: Request, body: bytes) -> list[Part]:
    """The parts of a form; a large one is taken apart in a thread."""
    return await run_aside(len(body), parse_multipart, request.headers["content-type"], body)


async def read_image_parts(parts: list[Part], max_bytes: int) -> list[Picture]:
    """The files of a form, which must be called `image`."""
    files = [part for part in parts if part.filename is not None or part.name == "image"]
    for part in files:
        if part.name != "image":
            raise InvalidRequest(f"file {part.name} is not supported; call it image", param=part.name)
        if len(part.data) > max_bytes:
            raise InvalidRequest(f"the image is over {max_bytes:,} bytes", code="too_large", param="image")
    return [
        await open_picture(part.data, part.media_type if part.filename is not None else "", "image")
        for part in files
    ]


def _read_form(parts: list[Part]) -> VqaRequest:
    fields = [(part.name, part.text()) for part in parts if part.filename is None and part.name != "image"]
    return parse_fields(VqaRequest, gather_fields(fields))


async def _ask(
    services: Services, wanted: VqaRequest, parts: list[Part], caller: str, request: Request
) -> Asked:
    engine = services.watch.require(wanted.model)
    reader = SourceReader(services.store, services.series, caller, engine.policy, services.archives)
    sent = await read_image_parts(parts, services.settings.max_image_bytes)
    count = len(sent) + len(wanted.image_ids) + len(wanted.series_ids) + len(wanted.image_dicom)
    check_image_count(engine, count, "image_ids" if not parts else "image")
    if not count:
        raise InvalidRequest(
            "there is no image: send image files, image_ids, series_ids or image_dicom", param="image_ids"
        )
    pictures: list[Picture | SeriesPicture] = [
        *sent,
        *(reader.find_image(image_id, "image_ids") for image_id in wanted.image_ids),
        *(reader.find_series(series_id, "series_ids") for series_id in wanted.series_ids),
    ]
    sources = await reader.read_all(pictures, wanted.image_dicom, wanted)
    check_image_count(engine, len(sources), "image_dicom")
    messages = ask_about_images(wanted.question, len(sources))
    times = started_at(request), arrived_at(request)
    return Asked(engine, messages, sources, wanted.sampling(), *times, caller)


async def _complete(services: Services, asked: Asked) -> dict[str, Any]:
    answer = await RunningAnswer.begin(services, asked)
    try:
        text = "".join([join_text(batch) async for batch in answer.batches()])
        return _whole(answer, text, asked.engine.name)
    finally:
        await answer.close()


async def _events(answer: RunningAnswer, model: str) -> AsyncGenerator[bytes, None]:
    pieces = []
    async for batch in answer.batches():
        pieces.append(join_text(batch))
        if pieces[-1]:
            yield encode_event({"delta": pieces[-1]}, "delta")
    yield encode_event(_whole(answer, "".join(pieces), model), "answer")


def _whole(answer: RunningAnswer, text: str, model: str) -> dict[str, Any]:
    ending = answer.ending
    return {
        "answer": text,
        "model": model,
        "finish_reason": ending.finish_reason,
        "usage": ending.usage,
        "clinical": ending.clinical,
    }
