"""A viewer's server on a real socket, before servers of the tests' own that remember what they were asked."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from radserve_server.errors import ArchiveUnreachable, GatewayUnreachable
from radserve_server.owned_server import OwnedServer, serving
from radserve_server.viewer.serving import ViewerServer
from radserve_server.viewer.settings import ViewerSettings
from radserve_server.viewer.upstream import Upstream

MIB = 2**20
INDEX = "<html><script>window.one = 1</script><script defer src='/app.js'></script></html>"
SCRIPT = b"const shown = 'the viewer';" * 200


@dataclass
class Behind:
    """A server behind the viewer: what it was asked, and how far it has come with a long answer."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    pieces: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    async def echo(self, request: Request) -> Response:
        body = await request.body()
        path = request.scope["raw_path"].decode()
        asked = {"method": request.method, "path": path, "query": request.url.query, "body": body}
        self.asked.append({**asked, "headers": dict(request.headers)})
        return JSONResponse({"path": path}, headers={"server": "secret/1.0", "set-cookie": "a=b"})

    async def stream(self, request: Request) -> Response:
        """Events, of which the second is not sent before the test says so."""
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        go_on, left = (
            self.go_on,
            self.left,
        )  # of the test that asked: its answer may end in the time of the next
        try:
            yield b"data: first\n\n"
            await asyncio.to_thread(go_on.wait, 10)
            yield b"data: second\n\n"
        finally:
            left.set()

    async def send_much(self, request: Request) -> Response:
        return StreamingResponse(self._pieces(256), media_type="application/octet-stream")

    async def _pieces(self, count: int) -> AsyncIterator[bytes]:
        for self.pieces in range(1, count + 1):
            yield bytes(MIB)

    async def break_off(self, request: Request) -> Response:
        return Half()

    async def send_packed(self, request: Request) -> Response:
        return Response(gzip.compress(SCRIPT, mtime=0), headers={"content-encoding": "gzip"})

    async def wait_long(self, request: Request) -> Response:
        """No answer; notices that the client has left."""
        left = self.left
        self.asked.append({"path": request.url.path})
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left.set()
        return Response()

    async def send_elsewhere(self, request: Request) -> Response:
        return Response(status_code=302, headers={"location": "http://login.example/"})


class Half(Response):
    """An answer in chunks that ends without the last one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})


def app_of(behind: Behind) -> Starlette:
    routes = [
        Route("/{root}/stream", behind.stream),
        Route("/{root}/much", behind.send_much),
        Route("/{root}/half", behind.break_off),
        Route("/{root}/packed", behind.send_packed),
        Route("/{root}/long", behind.wait_long, methods=["GET", "POST"]),
        Route("/{root}/elsewhere", behind.send_elsewhere),
        Route("/{rest:path}", behind.echo, methods=["GET", "HEAD", "POST"]),
    ]
    return Starlette(routes=routes)


@contextmanager
def standing_behind() -> Iterator[Behind]:
    behind = Behind()
    config = uvicorn.Config(
        app_of(behind), port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    with serving(OwnedServer(config)) as behind.url:
        yield behind


@pytest.fixture(scope="session")
def _archive() -> Iterator[Behind]:
    with standing_behind() as behind:
        yield behind


@pytest.fixture(scope="session")
def _gateway() -> Iterator[Behind]:
    with standing_behind() as behind:
        yield behind


@pytest.fixture
def archive(_archive: Behind) -> Behind:
    return as_new(_archive)


@pytest.fixture
def gateway(_gateway: Behind) -> Behind:
    return as_new(_gateway)


def as_new(behind: Behind) -> Behind:
    behind.asked.clear()
    behind.pieces = 0
    behind.go_on.set()  # what still waits for an earlier test
    behind.go_on, behind.left = threading.Event(), threading.Event()
    return behind


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As OHIF's dist is made, but small."""
    folder = tmp_path_factory.mktemp("dist")
    (folder / "index.html").write_text(INDEX)
    for name in ("app.bundle.0f6159c501addfe9.js", "plain.js"):
        (folder / name).write_bytes(SCRIPT)
        (folder / f"{name}.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "0ddf166f7a343eda.wasm").write_bytes(b"\0asm")
    (folder / "app.bundle.js.map").write_text("{}")
    (folder.parent / "secret.txt").write_text("not for you")
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    return folder


@pytest.fixture(scope="session")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panel")
    (folder / "panel.mjs").write_text("export default {};")
    return folder


@pytest.fixture(scope="session")
def start_viewer(bundle: Path, panel: Path) -> Callable[..., Any]:
    """A viewer before these two addresses; further words are its settings'."""

    @contextmanager
    def start(
        archive_url: str, gateway_url: str, archive: Any = (), gateway: Any = (), **settings: Any
    ) -> Iterator[httpx.Client]:
        behind = ViewerSettings(
            archive=Upstream("the archive ward", archive_url, ArchiveUnreachable, **dict(archive)),
            gateway=Upstream("the gateway", gateway_url, GatewayUnreachable, **dict(gateway)),
            bundle=bundle,
            panel=panel,
            **settings,
        )
        server = ViewerServer(behind)
        server.config.port = 0
        with serving(server) as url, httpx.Client(base_url=url, timeout=10) as http:
            yield http

    return start


@pytest.fixture(scope="session")
def shared_viewer(start_viewer: Any, _archive: Behind, _gateway: Behind) -> Iterator[httpx.Client]:
    with start_viewer(f"{_archive.url}/dicom-web/", _gateway.url, pacs_name="ward") as http:
        yield http


@pytest.fixture
def viewer(shared_viewer: httpx.Client, archive: Behind, gateway: Behind) -> httpx.Client:
    """With both servers behind it as new."""
    return shared_viewer
