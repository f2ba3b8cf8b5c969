"""The viewer's server as uvicorn runs it."""

import asyncio
import socket

import uvicorn

from radserve_server.owned_server import OwnedServer
from radserve_server.viewer.app import create_viewer
from radserve_server.viewer.settings import ViewerSettings

_SHUTDOWN_S = 3


class ViewerServer(OwnedServer):
    """`ready` is set once it answers. Raises OSError where `settings.bundle` holds no viewer."""

    def __init__(self, settings: ViewerSettings) -> None:
        self.ready = asyncio.Event()
        config = uvicorn.Config(
            create_viewer(settings),
            loop="uvloop",
            http="httptools",
            ws="none",
            access_log=False,  # it holds query strings, and so UIDs
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell the owner when it is done."""
        await super().startup(sockets)
        self.ready.set()
