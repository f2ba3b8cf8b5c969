"""POST /v1/series: sort uploaded images into stacks, each of which can be asked about as a whole."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from radserve_imaging import Plane, sort_planes
from radserve_server.auth import Caller
from radserve_server.bodies import parse_json, read_body, require_json
from radserve_server.documentation import SERIES
from radserve_server.errors import InvalidRequest
from radserve_server.series_store import StoredSeries
from radserve_server.services import Services, services_of
from radserve_server.vqa_schema import SeriesRequest

_MANY = 500  # take about 5 ms to sort
router = APIRouter(tags=["images"])


@router.post("/v1/series", status_code=201, **SERIES)
async def sort_series(request: Request, caller: Caller) -> Response:
    """Sort images by geometry: the stack with most slices first, then what is in none, and why."""
    services = services_of(request)
    require_json(request)
    body = await read_body(request, services.settings.max_body_bytes, services.settings.body_timeout_s)
    image_ids = tuple(dict.fromkeys(parse_json(SeriesRequest, body).image_ids))
    planes, left_out = _planes(services, caller, image_ids)
    found = await asyncio.to_thread(sort_planes, planes) if len(planes) > _MANY else sort_planes(planes)
    left_out += [_left_out(image_ids[item.plane.file], item.reason) for item in found.left_out]
    if not found.stacks:
        raise InvalidRequest(
            "none of the images is a slice: " + "; ".join(sorted({item["reason"] for item in left_out})),
            code="no_series",
            param="image_ids",
        )
    data = [_describe(services.series.put(caller, stack, image_ids)) for stack in found.stacks]
    return JSONResponse({"object": "list", "data": data, "left_out": left_out}, 201)


def _planes(
    services: Services, caller: str, image_ids: tuple[str, ...]
) -> tuple[list[Plane], list[dict[str, str]]]:
    """The plane of each image, its `file` being the image's place among `image_ids`; and what has none."""
    planes, left_out = [], []
    for number, image_id in enumerate(image_ids):
        image = services.store.get(caller, image_id, "image_ids")
        if image.plane is not None:
            planes.append(image.plane.of_file(number))
        else:
            left_out.append(_left_out(image_id, "not a DICOM image of one frame"))
    return planes, left_out


def _left_out(image_id: str, reason: str) -> dict[str, str]:
    return {"image_id": image_id, "reason": reason}


def _describe(series: StoredSeries) -> dict[str, Any]:
    stack = series.stack
    positions = stack.positions
    return {
        "series_id": series.series_id,
        "object": "series",
        "description": stack.describe(),
        "modality": stack.planes[0].modality,
        "slices": len(stack.planes),
        "extent_mm": None if positions is None else round(positions[-1] - positions[0], 3),
        "warnings": list(stack.warnings),
        "image_ids": series.ordered_ids(),
        "expires_at": series.expires_at,
    }
