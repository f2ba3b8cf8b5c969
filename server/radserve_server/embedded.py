"""The gateway inside a program that looks after signals itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from radserve_server.app import create_app
from radserve_server.backend import Backend
from radserve_server.serve import configure
from radserve_server.settings import Settings


class Gateway(uvicorn.Server):
    """uvicorn around the app. Its owner ends it by `should_exit`; raises ValueError for a bad key file."""

    def __init__(self, settings: Settings, backend: Backend) -> None:
        super().__init__(configure(settings, create_app(settings, backend)))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise each signal again once it has stopped, and so kill what still has to be ended."""
        yield
