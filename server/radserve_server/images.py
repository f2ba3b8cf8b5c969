"""POST /v1/images: send an image once, ask about it often. DELETE /v1/images/{image_id}."""

import time

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from radserve_imaging import ImagePolicy, Reading
from radserve_server.access import arrived_at, started_at
from radserve_server.auth import Caller
from radserve_server.bodies import media_type_of, read_body
from radserve_server.disconnect import while_connected
from radserve_server.documentation import DELETE_IMAGE, UPLOAD
from radserve_server.errors import UnsupportedMediaType
from radserve_server.pictures import MEDIA_TYPES, UNDECLARED, Picture, open_picture
from radserve_server.rendering import Examination, Source
from radserve_server.services import Services, services_of

router = APIRouter(tags=["images"])


@router.post("/v1/images", status_code=201, **UPLOAD)
async def upload_image(request: Request, caller: Caller) -> Response:
    """Keep an image or a presentation state in memory for a while; a bad one is refused here, for it is decoded now."""
    services = services_of(request)
    picture = await read_raw_image(request, services)
    examined = await while_connected(request.receive, _examine(services, picture))
    plane = examined.plane
    image = services.store.put(caller, picture.image_id, picture.media_type, picture.data, plane)
    timings = {
        "body_ms": (arrived_at(request) - started_at(request)) * 1000,
        **examined.times.to_ms(),
        "total_ms": (time.perf_counter() - started_at(request)) * 1000,
    }
    answer = {
        "image_id": image.image_id,
        "object": "image",
        "media_type": image.media_type,
        "bytes": len(image.data),
        "expires_at": image.expires_at,
        "timings": {name: round(value, 3) for name, value in timings.items()},
    }
    return JSONResponse(answer, 201)


@router.delete("/v1/images/{image_id}", **DELETE_IMAGE)
async def delete_image(request: Request, image_id: str, caller: Caller) -> Response:
    """Forget an image and what was made of it."""
    services = services_of(request)
    services.store.delete(caller, image_id)
    for known_as in (image_id, *services.series.forget_image(caller, image_id)):
        services.renderer.forget(known_as)
    return JSONResponse({"image_id": image_id, "object": "image", "deleted": True})


async def read_raw_image(request: Request, services: Services) -> Picture:
    """A body that is one image; a media type that is none is refused before the body is read."""
    declared = media_type_of(request)
    if declared not in (*MEDIA_TYPES, *UNDECLARED):
        message = f"Content-Type {declared[:100]} is not one of {', '.join(MEDIA_TYPES)}"
        raise UnsupportedMediaType(message, param="Content-Type")
    settings = services.settings
    body = await read_body(request, settings.max_image_bytes, settings.body_timeout_s)
    services.metrics.body_seconds.observe(arrived_at(request) - started_at(request))
    return await open_picture(body, declared, "body")


async def _examine(services: Services, picture: Picture) -> Examination:
    """Render as the engine would: the first question finds it done. Without an engine, by a default policy."""
    engine = services.watch.engine
    policy = ImagePolicy() if engine is None else engine.policy
    digest = policy.digest() if engine is None else engine.policy_digest
    source = Source(picture.image_id, (picture.data,), Reading(), "body")
    return await services.renderer.examine(source, policy, digest)
