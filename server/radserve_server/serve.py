"""Runs the gateway in this process until SIGTERM or Ctrl-C."""

import logging
import sys

import uvicorn

from radserve_server.app import create_app
from radserve_server.settings import Settings, load_settings
from radserve_server.triton import TritonBackend


def serve(arguments: list[str]) -> int:
    """Exit status 2 for wrong settings, said in a line; else what the server ended with."""
    try:
        settings = load_settings(arguments)
        app = create_app(settings, TritonBackend(settings.triton_url, settings.triton_model))
    except (ValueError, OSError) as error:
        print(f"radserve_server: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    server = uvicorn.Server(configure(settings, app))
    server.run()
    return 0 if server.started else 1


def configure(settings: Settings, app: object) -> uvicorn.Config:
    """uvicorn's own access log is off: it holds query strings. Ours is access.py."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_s,
    )
