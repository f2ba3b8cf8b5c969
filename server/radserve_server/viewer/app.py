"""The reading room's one address: OHIF, the panel, the archive's DICOMweb and the gateway, from one origin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from radserve_server.access import AccessLayer
from radserve_server.errors import GatewayError, InvalidRequest, NotFound
from radserve_server.http_errors import answer_http_error
from radserve_server.release import own_version
from radserve_server.viewer.guard import Guard
from radserve_server.viewer.ohif_config import write_app_config
from radserve_server.viewer.policy import page_policy
from radserve_server.viewer.settings import ViewerSettings
from radserve_server.viewer.static_files import Folder
from radserve_server.viewer.upstream import Forwarder, PassedOn

_PAGE = "index.html"
_NOT_KEPT = {"cache-control": "no-cache"}


def create_viewer(settings: ViewerSettings) -> Starlette:
    """The app; raises OSError naming index.html where `settings.bundle` is not OHIF's `dist`."""
    policy = page_policy((settings.bundle / _PAGE).read_bytes())
    app = Starlette(
        routes=[
            Route("/app-config.js", _show_app_config),
            Route("/radserve/config.json", _show_config),
            Mount("/radserve", Folder(settings.panel)),
            Route("/dicom-web/{path:path}", _ask_archive, methods=["GET", "HEAD", "POST"]),
            Route("/v1/{path:path}", _ask_gateway, methods=["GET", "HEAD", "POST"]),
            Mount("/", Folder(settings.bundle, page=_PAGE)),
        ],
        middleware=[
            Middleware(AccessLayer),
            Middleware(Guard, hosts=settings.hosts, keyring=settings.keyring, policy=policy),
        ],
        exception_handlers={GatewayError: _answer_error, HTTPException: answer_http_error},
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.archive = Forwarder(settings.archive)
    app.state.gateway = Forwarder(settings.gateway)
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    forwarders: tuple[Forwarder, ...] = (app.state.archive, app.state.gateway)
    for forwarder in forwarders:
        await forwarder.open()
    try:
        yield
    finally:
        for forwarder in forwarders:
            await forwarder.close()


async def _show_app_config(request: Request) -> Response:
    script = write_app_config(request.app.state.settings.pacs_name)
    return Response(script, media_type="text/javascript", headers=_NOT_KEPT)


async def _show_config(request: Request) -> Response:
    """What the panel has to know: under which name the gateway has the archive that the browser sees."""
    shown = {"pacs": request.app.state.settings.pacs_name, "version": own_version()}
    return JSONResponse(shown, headers=_NOT_KEPT)


async def _ask_archive(request: Request) -> PassedOn:
    """QIDO-RS and WADO-RS, and of what writes only STOW-RS (PS3.18 10.5)."""
    path = _inner_path(request, "/dicom-web/")
    if request.method == "POST" and path != "studies":
        raise InvalidRequest("only new instances may be sent to the archive: POST /dicom-web/studies")
    forwarder: Forwarder = request.app.state.archive
    return await forwarder.forward(request, path)


async def _ask_gateway(request: Request) -> PassedOn:
    forwarder: Forwarder = request.app.state.gateway
    return await forwarder.forward(request, "v1/" + _inner_path(request, "/v1/"))


def _inner_path(request: Request, prefix: str) -> str:
    """The path behind `prefix`, percent-encoded as it came; one that climbs out of it is not found."""
    path = str(request.scope["raw_path"].decode("latin-1")).removeprefix(prefix)
    steps = [step.partition(";")[0] for step in unquote(path).replace("\\", "/").split("/")]
    if "." in steps or ".." in steps:  # also as ..;x, which some servers read as ..
        raise NotFound("there is no such path")
    return path


async def _answer_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        raise error
    return JSONResponse(error.to_json(), error.status, _NOT_KEPT)
