"""The engine's own process: `python -m radserve_engines.runtime.worker FOLDER DESCRIPTOR`, started by `process`.

OpenVINO GenAI holds the GIL while it encodes and steps, some 2 to 25 ms at a time. Beside Triton's stub it would
hold up every response; here it holds up nobody. What the loop's turns brought leaves as one message: at once when
an answer begins or ends, else no more often than every `STREAM_INTERVAL_S`, because each response costs Triton,
gateway and client more processor time than a small model needs for a token.
"""

import os
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from radserve_engines.acceptance import Acceptance
from radserve_engines.errors import EngineError
from radserve_engines.generation import Delta, joined
from radserve_engines.runtime.loading import load_runtime
from radserve_engines.runtime.messages import Ask, Batch, Cancel, Item, Probe, Refused, Started, Stop
from radserve_engines.runtime.protocol import Handle, Load, Runtime
from radserve_engines.warm_up import warm_up

STREAM_INTERVAL_S = 0.008
# The engine's threads fill every core; tokens on their way out must not queue behind them.
_NICENESS = 10


class Worker:
    """One runtime at the far end of a connection."""

    def __init__(self, folder: Path, acceptance: Acceptance, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._items: dict[int, list[Delta]] = {}
        self._begun: set[int] = set()
        self._urgent = False
        self._sent_at = 0.0
        self._keeping = threading.Lock()
        self._live: set[int] = set()
        self._handles: dict[int, Handle] = {}
        self._runtime: Runtime = load_runtime(folder, acceptance.accept(folder), after_turn=self._flush)
        warm_up(self._runtime)
        self._send(Started(self._runtime.manifest))

    def serve(self) -> None:
        """Until the other side says so, or is gone."""
        while not isinstance(message := self._connection.recv(), Stop):
            match message:
                case Ask():
                    self._ask(message)
                case Cancel(number):
                    if handle := self._handles.get(number):
                        handle.cancel()
                case Probe():
                    self._urgent = True
                    self._runtime.probe(0.0)  # the turn that answers it sends a batch
        self._runtime.close()

    def _ask(self, asked: Ask) -> None:
        number = asked.number
        self._live.add(number)
        try:
            handle = self._runtime.submit(asked.generation, lambda item: self._keep(number, item))
        except EngineError as error:
            self._forget(number)
            self._send(Batch(((number, error),), self._runtime.load()))
            return
        with self._keeping:
            if number in self._live:  # else its last word came before its handle
                self._handles[number] = handle

    def _keep(self, number: int, item: Item) -> None:
        if isinstance(item, EngineError):
            self._forget(number)
            self._send(Batch(((number, item),), self._runtime.load()))
            return
        self._urgent |= number not in self._begun or bool(item.finish_reason)
        self._begun.add(number)
        self._items.setdefault(number, []).append(item)

    def _flush(self, load: Load) -> None:
        now = time.perf_counter()
        if load.running and not self._urgent and now - self._sent_at < STREAM_INTERVAL_S:
            return
        batch = tuple((number, joined(deltas)) for number, deltas in self._items.items())
        for number, delta in batch:
            if delta.finish_reason:
                self._forget(number)
        self._items, self._urgent, self._sent_at = {}, False, now
        self._send(Batch(batch, load))

    def _forget(self, number: int) -> None:
        with self._keeping:
            self._live.discard(number)
            self._handles.pop(number, None)
        self._begun.discard(number)
        self._items.pop(number, None)

    def _send(self, message: Batch | Started) -> None:
        with self._sending:
            self._connection.send(message)


def main() -> None:
    """The process ends with the connection, whatever the engine is doing, and with the engine's thread."""
    folder, descriptor = sys.argv[1:]
    os.nice(_NICENESS)
    threading.excepthook = _end_with_thread
    connection = Connection(int(descriptor))
    try:
        _start(Path(folder), connection).serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)
    os._exit(0)


def _start(folder: Path, connection: Connection) -> Worker:
    """What keeps an engine from starting is told to the other side, in one line instead of a traceback."""
    try:
        return Worker(folder, Acceptance.from_environment(), connection)
    except EngineError as error:
        connection.send(Refused(str(error)))
        os._exit(1)


def _end_with_thread(failure: threading.ExceptHookArgs) -> None:
    """A loop that broke answers nobody: the other side starts another process."""
    traceback.print_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)
    os._exit(1)


if __name__ == "__main__":
    main()
