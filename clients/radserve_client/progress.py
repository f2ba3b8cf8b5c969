"""Tells a person at a terminal that something long is going on, and for how long already."""

import sys
import threading
import time
from types import TracebackType
from typing import TextIO

_SILENCE_S = 2.0  # what takes less needs no word
_TICK_S = 0.5


class Progress:
    """`with Progress("Starting Triton"):` says nothing for two seconds, then counts them; one line, on stderr."""

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self._what = what
        self._stream = stream or sys.stderr
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._began = time.monotonic()
        self._told = False

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._told:
            outcome = "failed" if kind else "done"
            self._write(f"{self._what}: {outcome} after {self._seconds():.0f} s", last=True)

    def _tell(self) -> None:
        if self._ended.wait(_SILENCE_S):
            return
        self._told = True
        self._write(f"{self._what} …", last=not self._stream.isatty())
        while not self._ended.wait(_TICK_S):
            if self._stream.isatty():
                self._write(f"{self._what} … {self._seconds():.0f} s", last=False)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _write(self, text: str, *, last: bool) -> None:
        start = "\r\x1b[K" if self._stream.isatty() else ""
        self._stream.write(start + text + ("\n" if last else ""))
        self._stream.flush()
