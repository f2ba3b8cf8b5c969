"""Says how far a run is, on stderr: a line for each point, and at a terminal what is being measured now."""

import os
import statistics
import sys
import time
from typing import TextIO

from radserve_bench.record import Point

_MESSAGE = 120


class Progress:
    """Of `total` points."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._total = total
        self._done = 0
        self._stream = stream or sys.stderr
        self._began = time.monotonic()

    def begin(self, point: Point) -> None:
        """This point is measured now."""
        if self._stream.isatty():
            line = f"{self._place(self._done + 1, point)} …"
            self._stream.write(f"\r\x1b[K{line[: self._columns() - 1]}")
            self._stream.flush()

    def end(self, point: Point) -> None:
        """It is finished, and found this."""
        self._done += 1
        start = "\r\x1b[K" if self._stream.isatty() else ""
        self._stream.write(f"{start}{self._place(self._done, point)}: {_found(point)} · {self._left()}\n")
        self._stream.flush()

    def _columns(self) -> int:
        """Of the terminal: a longer line would be left standing when the next is written over it."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _place(self, number: int, point: Point) -> str:
        what = f"round {point.round}" if point.round else "warm-up"
        return f"[{number}/{self._total}] {what} · {point.workload} · {point.load} · {point.target}"

    def _left(self) -> str:
        passed = time.monotonic() - self._began
        left = passed / self._done * (self._total - self._done)
        return f"{_clock(passed)}, about {_clock(left)} left"


def _found(point: Point) -> str:
    answered = [record for record in point.records if record.answered]
    said = []
    if answered:
        ttft = statistics.median(record.ttft_s or 0.0 for record in answered)
        tokens = sum(record.tokens for record in answered)
        said = [f"TTFT {1e3 * ttft:.1f} ms", f"{tokens / point.wall_s:,.0f} tokens/s"]
    if failed := [record for record in point.records if not record.answered]:
        message = next((record.message for record in failed if record.message), "no answer")
        said.append(f"{len(failed)} of {len(point.records)} failed: {message[:_MESSAGE]}")
    return ", ".join(said) or "nothing answered"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
