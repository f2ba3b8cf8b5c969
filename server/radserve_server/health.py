"""Liveness, readiness and metrics, for whatever watches over this process."""

from fastapi import APIRouter, Request
from fastapi.security.utils import get_authorization_scheme_param
from starlette.responses import JSONResponse, Response

from radserve_server.documentation import HEALTH, METRICS, READY
from radserve_server.errors import Unauthorized
from radserve_server.metrics import CONTENT_TYPE
from radserve_server.services import services_of

router = APIRouter(tags=["health"])


@router.get("/health/live", **HEALTH)
async def tell_alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@router.get("/health", include_in_schema=False)
@router.get("/health/ready", **READY)
async def tell_ready(request: Request) -> Response:
    """The engine answered when it was last asked, and no answer failed since."""
    watch = services_of(request).watch
    if watch.ready:
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not_ready", "reason": watch.trouble}, 503)


@router.get("/metrics", **METRICS)
async def tell_metrics(request: Request) -> Response:
    """In Prometheus' text format."""
    services = services_of(request)
    if services.keyring.hashes and not services.settings.metrics_open:
        _, key = get_authorization_scheme_param(request.headers.get("authorization"))
        if services.keyring.owner(key) is None:
            raise Unauthorized("metrics need an API key here")
    metrics, admission = services.metrics, services.admission
    metrics.running.set(admission.running)
    metrics.waiting.set(admission.waiting)
    metrics.images_waiting.set(services.pool.waiting)
    metrics.ready.set(services.watch.ready)
    metrics.store_bytes.set(services.store.size)
    metrics.intake_bytes.set(services.intake.bytes)
    metrics.standing_waiting.set(services.intake.questions_waiting)
    return Response(metrics.render(), media_type=CONTENT_TYPE)
