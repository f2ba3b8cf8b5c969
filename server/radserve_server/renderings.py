"""POST /v1/render: what the model would see of an image, and the record of how that came about."""

import asyncio
import base64
import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from radserve_imaging import encode_png
from radserve_server.answer_store import Seen
from radserve_server.answering import check_image_count
from radserve_server.audit_events import list_images
from radserve_server.auth import Caller
from radserve_server.bodies import media_type_of, parse_fields, parse_json, read_body
from radserve_server.conversation import ArchiveImages
from radserve_server.disconnect import gather_or_cancel, while_connected
from radserve_server.documentation import RENDER
from radserve_server.engine_watch import Engine
from radserve_server.errors import EngineUnavailable, InvalidRequest
from radserve_server.images import read_raw_image
from radserve_server.multipart import Part
from radserve_server.pictures import Picture, encode_base64
from radserve_server.rendering import Rendered, Renderer, list_all_seen
from radserve_server.services import Services, services_of
from radserve_server.sources import Shown, SourceReader
from radserve_server.vqa import FORM, open_form, read_image_parts
from radserve_server.vqa_schema import RenderRequest, gather_fields

_MOST_IN_HEADER = 4096
_WHAT = ("image_id", "series_id", "image_dicom")
RECORD_HEADER = "x-radserve-record"
router = APIRouter(tags=["images"])


@router.post("/v1/render", **RENDER)
async def render_image(request: Request, caller: Caller) -> Response:
    """Show an image or a series by the engine's policy: as PNG or, with `Accept: application/json`, as all images."""
    services = services_of(request)
    engine = _last_known(services)
    reader = SourceReader(services.store, services.series, caller, engine.policy, services.archives)
    shown, wanted = await _read(request, services, reader)
    found, rendered = await while_connected(
        request.receive, _render(services.renderer, engine, reader, shown, wanted)
    )
    seen = list_images(found)
    services.audit.note("render", caller, images=seen)
    if "application/json" in request.headers.get("accept", ""):
        images = [
            {"png_base64": encode_base64(await _encode(image)), "record": image.record} for image in rendered
        ]
        return JSONResponse({"images": images, "seen": seen})
    if len(rendered) > 1:
        raise InvalidRequest(
            f"the model sees {len(rendered)} images of this; ask for them with Accept: application/json",
            code="several_images",
            param="Accept",
        )
    headers = {RECORD_HEADER: _header_of(rendered[0].record)}
    return Response(await _encode(rendered[0]), media_type="image/png", headers=headers)


async def _render(
    renderer: Renderer, engine: Engine, reader: SourceReader, shown: Shown, wanted: RenderRequest
) -> tuple[tuple[Seen, ...], list[Rendered]]:
    (sources,) = await reader.read_each([shown], wanted)
    check_image_count(engine, len(sources), "image_dicom")
    several = await gather_or_cancel(
        *(renderer.render(source, engine.policy, engine.policy_digest) for source in sources)
    )
    images = [rendition.images for rendition in several]
    return list_all_seen(sources, images), [image for one in images for image in one]


def _header_of(record: dict[str, Any]) -> str:
    """The record as base64, unless it is larger than what proxies let pass in a header (a montage's)."""
    compact = json.dumps(record, separators=(",", ":")).encode()
    header = base64.urlsafe_b64encode(compact).decode()
    return header if len(header) <= _MOST_IN_HEADER else "too long; ask with Accept: application/json"


async def _encode(image: Rendered) -> bytes:
    return await asyncio.to_thread(encode_png, image.pixels)


def _last_known(services: Services) -> Engine:
    """To render takes the engine's policy, but not the engine."""
    if services.watch.engine is None:
        raise EngineUnavailable("the engine's image policy is not known yet: it has never answered")
    return services.watch.engine


async def _read(request: Request, services: Services, reader: SourceReader) -> tuple[Shown, RenderRequest]:
    """The image and the wish, out of JSON, a form, or a raw body with a query."""
    settings = services.settings
    media_type = media_type_of(request)
    if media_type not in (FORM, "application/json"):
        wanted = parse_fields(RenderRequest, gather_fields(request.query_params.multi_items()))
        _refuse_ids(wanted, "image_id, series_id and image_dicom go into a JSON body")
        return await read_raw_image(request, services), wanted
    body = await read_body(request, settings.max_body_bytes, settings.body_timeout_s)
    if media_type == FORM:
        return await _read_form(await open_form(request, body), settings.max_image_bytes)
    wanted = parse_json(RenderRequest, body)
    if sum(getattr(wanted, name) is not None for name in _WHAT) != 1:
        raise InvalidRequest(f"give one of {', '.join(_WHAT)}", code="missing_field", param="image_id")
    if wanted.image_dicom is not None:
        return ArchiveImages(wanted.image_dicom, "image_dicom"), wanted
    if wanted.series_id is not None:
        return reader.find_series(wanted.series_id, "series_id"), wanted
    return reader.find_image(str(wanted.image_id), "image_id"), wanted


async def _read_form(parts: list[Part], max_bytes: int) -> tuple[Picture, RenderRequest]:
    pictures = await read_image_parts(parts, max_bytes)
    if len(pictures) != 1:
        raise InvalidRequest(f"one image is rendered at a time; {len(pictures)} were sent", param="image")
    fields: Any = [
        (part.name, part.text()) for part in parts if part.filename is None and part.name != "image"
    ]
    wanted = parse_fields(RenderRequest, gather_fields(fields))
    _refuse_ids(wanted, "send an image or its id, not both")
    return pictures[0], wanted


def _refuse_ids(wanted: RenderRequest, why: str) -> None:
    for name in _WHAT:
        if getattr(wanted, name) is not None:
            raise InvalidRequest(why, param=name)
