"""The gateway as an ASGI app: parts, routes, error handlers, start and end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response

from radserve_server import chat, feedback, health, images, models, renderings, series, vqa
from radserve_server.access import AccessLayer
from radserve_server.answer_store import SHARED
from radserve_server.asking import ask_about
from radserve_server.backend import Backend
from radserve_server.body_gate import BodyBudget, BodyGate
from radserve_server.disconnect import cancel
from radserve_server.documentation import DESCRIPTION, describe_api
from radserve_server.errors import GatewayError, InvalidRequest, RequestTimeout, Unauthorized
from radserve_server.host_names import LoopbackDoor
from radserve_server.http_errors import answer_http_error
from radserve_server.intake import routes as intake
from radserve_server.pacs.archive import Archives
from radserve_server.release import own_version
from radserve_server.reports import routes as reports
from radserve_server.services import Services, build_services, services_of
from radserve_server.settings import Settings
from radserve_server.worklist import routes as worklist
from radserve_server.worklist.performer import Performer

_LOG = logging.getLogger(__name__)
_ROUTERS = (
    chat.router,
    vqa.router,
    images.router,
    series.router,
    renderings.router,
    reports.router,
    feedback.router,
    intake.router,
    worklist.router,
    models.router,
    health.router,
)


def create_app(settings: Settings, backend: Backend, archives: Archives | None = None) -> FastAPI:
    """The app; its lifespan starts the decoding workers and the watch over the engine.

    `archives` are the settings' own unless given.
    """
    app = FastAPIOffline(  # its pages load nothing from outside: hospitals have no way out
        title="radserve",
        version=own_version(),
        description=DESCRIPTION,
        lifespan=_lifespan,
        middleware=_list_layers(settings),
        redoc_url=None,
        exception_handlers={
            GatewayError: _answer_gateway_error,
            RequestValidationError: _answer_validation_error,
            HTTPException: answer_http_error,
        },
    )
    app.state.services = build_services(settings, backend, archives)
    for router in _ROUTERS:
        app.include_router(router)
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    return app


def _list_layers(settings: Settings) -> list[Middleware]:
    """From the outside in; what asks for no key and is not open on purpose is for this machine alone."""
    door = [] if settings.api_keys_file or settings.insecure_open else [Middleware(LoopbackDoor)]
    return [
        Middleware(AccessLayer),
        *door,
        Middleware(BodyGate, budget=BodyBudget(settings.bodies_bytes)),
    ]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    tasks: list[asyncio.Future[None]] = []
    performer = Performer(services)
    try:
        await services.pool.start()
        await services.watch.probe()
        tasks += [asyncio.ensure_future(services.watch.run()), asyncio.ensure_future(services.sweep())]
        await services.intake.start(partial(ask_about, services, SHARED), services.renderer.forget_fetched)
        performer.start()
        yield
    finally:
        await performer.stop()
        await services.intake.stop()
        await cancel(*tasks)
        await services.pool.stop()
        await services.archives.close()
        await services.backend.close()
        await services.worklist.close()
        await asyncio.to_thread(services.audit.close)


async def _answer_gateway_error(request: Request, error: Exception) -> Response:
    """The table of errors is the class itself."""
    if not isinstance(error, GatewayError):
        raise error
    services_of(request).metrics.note_failure(error)
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.warning is not None:
        headers["warning"] = error.warning
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, RequestTimeout):
        headers["connection"] = (
            "close"  # elsewhere the rest of a body is drained, so that the client can read
        )
    return JSONResponse(error.to_json(), error.status, headers)


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    """FastAPI's own, of path parameters."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    refused = InvalidRequest(str(first["msg"]), param=".".join(str(step) for step in first["loc"][1:]))
    return await _answer_gateway_error(request, refused)
