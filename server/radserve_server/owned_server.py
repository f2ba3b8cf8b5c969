"""uvicorn inside a program that looks after signals itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class OwnedServer(uvicorn.Server):
    """Takes no signals: its owner ends it by `should_exit`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise each signal again once it has stopped, and so kill what still has to be ended."""
        yield
