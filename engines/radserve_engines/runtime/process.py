"""A runtime in a process of its own: its steps hold up nobody, and its crash is survived."""

import itertools
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from radserve_engines.errors import EngineError, EngineFailed
from radserve_engines.generation import Generation
from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime.messages import Ask, Batch, Cancel, Probe, Refused, Started, Stop
from radserve_engines.runtime.protocol import Load, Sink

_log = logging.getLogger(__name__)
_START_S, _STOP_S, _PAUSE_S = 600.0, 10.0, 1.0


class ProcessRuntime:
    """Speaks the runtime protocol; the engine's loop turns in a child, brought back when it dies.

    A question that the engine refuses reaches its sink, not the caller of `submit`. Raises EngineFailed when the
    engine does not start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._sinks: dict[int, Sink] = {}
        self._load = Load()
        self._turned = threading.Condition()
        self._turns = 0
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self._child, self._connection, self.manifest = self._start()
        self._reader = threading.Thread(target=self._read, name="engine messages", daemon=True)
        self._reader.start()

    @property
    def engine_pid(self) -> int:
        """Process id of the engine."""
        return self._child.pid

    def submit(self, generation: Generation, sink: Sink) -> "RemoteHandle":
        """See `Runtime.submit`."""
        number = next(self._numbers)
        self._sinks[number] = sink
        if not self._send(Ask(number, generation)) and number in self._sinks:
            del self._sinks[number]
            raise EngineFailed("the engine's process is being started again")
        return RemoteHandle(self, number)

    def cancel(self, number: int) -> None:
        """Pass a cancellation on, if the question is still under way."""
        if number in self._sinks:
            self._send(Cancel(number))

    def load(self) -> Load:
        """Counted by the engine, as of its last turn."""
        return self._load

    def probe(self, timeout_s: float) -> bool:
        """See `Runtime.probe`."""
        with self._turned:
            before = self._turns
            return self._send(Probe()) and self._turned.wait_for(lambda: self._turns > before, timeout_s)

    def close(self) -> None:
        """See `Runtime.close`."""
        self._closing.set()
        self._send(Stop())
        try:
            self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._reader.join()
        self._connection.close()

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection, EngineManifest]:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = (
                _python(),
                "-m",
                "radserve_engines.runtime.worker",
                str(self._folder),
                str(theirs.fileno()),
            )
            child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),))
        connection = Connection(ours.detach())
        try:
            while connection.poll(_START_S):
                match connection.recv():
                    case Started(manifest):
                        return child, connection, manifest
                    case Refused(reason):
                        connection.close()
                        child.wait()
                        raise EngineFailed(f"the engine is not served: {reason}", code="not_served")
        except (EOFError, OSError):
            pass
        connection.close()
        child.kill()
        raise EngineFailed(
            f"the engine's process did not start (exit status {child.wait()}); its words stand above"
        )

    def _send(self, message: Ask | Cancel | Probe | Stop) -> bool:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            return False
        return True

    def _read(self) -> None:
        while True:
            try:
                while isinstance(message := self._connection.recv(), Batch):
                    self._deliver(message)
            except (EOFError, OSError):
                self._lose_all()
            if self._closing.is_set():
                return
            self._restart()

    def _deliver(self, batch: Batch) -> None:
        self._load = batch.load
        with self._turned:
            self._turns += 1
            self._turned.notify_all()
        for number, item in batch.items:
            last = isinstance(item, EngineError) or bool(item.finish_reason)
            sink = self._sinks.pop(number, None) if last else self._sinks.get(number)
            if sink:
                sink(item)

    def _lose_all(self) -> None:
        self._load = Load()
        while self._sinks:
            _, sink = self._sinks.popitem()
            sink(EngineFailed("the engine's process ended in the middle of this answer"))

    def _restart(self) -> None:
        _log.error("the engine's process ended with status %s; starting it again", self._child.wait())
        while not self._closing.wait(_PAUSE_S):
            try:
                child, connection, manifest = self._start()
            except EngineFailed:
                _log.exception("the engine could not be started again")
                continue
            with self._sending:
                self._connection.close()
                self._child, self._connection = child, connection
            self.manifest = manifest  # the folder may hold another engine by now, and answers name theirs
            if self._closing.is_set():
                self._send(Stop())  # `close` spoke to the one before
            return


class RemoteHandle:
    """A question under way in the engine's process."""

    def __init__(self, runtime: ProcessRuntime, number: int) -> None:
        self._runtime = runtime
        self._number = number

    def cancel(self) -> None:
        """See `Handle.cancel`."""
        self._runtime.cancel(self._number)


def _python() -> str:
    """Inside Triton's stub sys.executable may be the stub; the Python that it found on PATH is the right one."""
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    found = shutil.which("python3")
    if not found:
        raise EngineFailed("there is no python3 on PATH to start the engine with")
    return found
