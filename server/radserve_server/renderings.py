"""POST /v1/render: what the model would see of an image, and the record of how that came about."""

import base64
import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from radserve_server.auth import Caller
from radserve_server.bodies import media_type_of, parse_fields, parse_json, read_body
from radserve_server.disconnect import while_connected
from radserve_server.documentation import RENDER
from radserve_server.engine_watch import Engine
from radserve_server.errors import EngineUnavailable, InvalidRequest
from radserve_server.images import read_raw_image
from radserve_server.multipart import Part
from radserve_server.pictures import Picture, encode_base64, read_as
from radserve_server.services import Services, services_of
from radserve_server.vqa import FORM, open_form, read_image_parts
from radserve_server.vqa_schema import RenderRequest, gather_fields

RECORD_HEADER = "x-radserve-record"
router = APIRouter(tags=["images"])


@router.post("/v1/render", **RENDER)
async def render_image(request: Request, caller: Caller) -> Response:
    """Show an image by the engine's policy, as PNG or, with `Accept: application/json`, with its record."""
    services = services_of(request)
    engine = _last_known(services)
    picture, wanted = await _read(request, services, caller)
    source = read_as([picture], wanted)[0]
    png, record = await while_connected(request.receive, services.renderer.render_png(source, engine.policy))
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"png_base64": encode_base64(png), "record": record})
    compact = json.dumps(record, separators=(",", ":")).encode()
    header = base64.urlsafe_b64encode(compact).decode()
    return Response(png, media_type="image/png", headers={RECORD_HEADER: header})


def _last_known(services: Services) -> Engine:
    """To render takes the engine's policy, but not the engine."""
    if services.watch.engine is None:
        raise EngineUnavailable("the engine's image policy is not known yet: it has never answered")
    return services.watch.engine


async def _read(request: Request, services: Services, caller: str) -> tuple[Picture, RenderRequest]:
    """The image and the wish, out of JSON, a form, or a raw body with a query."""
    settings = services.settings
    media_type = media_type_of(request)
    if media_type not in (FORM, "application/json"):
        wanted = parse_fields(RenderRequest, gather_fields(request.query_params.multi_items()))
        if wanted.image_id is not None:
            raise InvalidRequest("image_id goes into a JSON body", param="image_id")
        return await read_raw_image(request, services), wanted
    body = await read_body(request, settings.max_body_bytes, settings.body_timeout_s)
    if media_type == FORM:
        return await _read_form(await open_form(request, body), settings.max_image_bytes)
    wanted = parse_json(RenderRequest, body)
    if wanted.image_id is None:
        raise InvalidRequest("field image_id is missing", code="missing_field", param="image_id")
    image = services.store.get(caller, wanted.image_id, "image_id")
    return Picture(image.image_id, image.media_type, image.data, "image_id"), wanted


async def _read_form(parts: list[Part], max_bytes: int) -> tuple[Picture, RenderRequest]:
    pictures = await read_image_parts(parts, max_bytes)
    if len(pictures) != 1:
        raise InvalidRequest(f"one image is rendered at a time; {len(pictures)} were sent", param="image")
    fields: Any = [
        (part.name, part.text()) for part in parts if part.filename is None and part.name != "image"
    ]
    wanted = parse_fields(RenderRequest, gather_fields(fields))
    if wanted.image_id is not None:
        raise InvalidRequest("send an image or an image_id, not both", param="image_id")
    return pictures[0], wanted
