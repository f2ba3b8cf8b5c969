"""uvicorn inside a program that looks after signals itself."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class OwnedServer(uvicorn.Server):
    """Takes no signals: its owner ends it by `should_exit`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise each signal again once it has stopped, and so kill what still has to be ended."""
        yield


@contextmanager
def serving(server: uvicorn.Server) -> Iterator[str]:
    """Its address, while it runs in a thread of its own; RuntimeError if it does not start."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
