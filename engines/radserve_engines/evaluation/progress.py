"""How far an evaluation has got, on stderr: one line that is redrawn on a terminal, a line every ten seconds else."""

import sys
import time
from types import TracebackType
from typing import TextIO

from radserve_engines.evaluation.judging import Judged

_REDRAW_S, _LINE_S = 0.2, 10.0
_BAR = 24


class EvaluationProgress:
    """Counts what is answered; when the run is cut short it says how far it got and that it can go on."""

    def __init__(self, total: int, kept: int, where: str, stream: TextIO | None = None) -> None:
        self._total, self._kept, self._where = total, kept, where
        self._stream = stream or sys.stderr
        self._done = self._right = self._original = self._errors = 0
        self._began = self._told = time.monotonic()

    def __enter__(self) -> "EvaluationProgress":
        if self._kept:
            self._write(f"{self._kept} of {self._total} answers are there already; going on", last=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            self._write(self._line(), last=True)
            return
        how = f"stopped at {self._kept + self._done} of {self._total} answers; they are kept in {self._where}"
        self._write(f"{how}, and the same command goes on from there", last=True)

    def note(self, judged: Judged) -> None:
        """One more answer."""
        self._done += 1
        self._errors += judged.outcome.error is not None
        if judged.ask.condition == "original":
            self._original += 1
            self._right += judged.correct
        now = time.monotonic()
        tty = self._stream.isatty()
        if now - self._told >= (_REDRAW_S if tty else _LINE_S):
            self._told = now
            self._write(self._line(), last=not tty)

    def _line(self) -> str:
        done = self._kept + self._done
        filled = _BAR * done // max(self._total, 1)
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        parts = [f"{'█' * filled}{'░' * (_BAR - filled)} {done}/{self._total}", f"{rate:.1f}/s"]
        if self._original:
            parts.append(f"{100 * self._right / self._original:.1f} % right")
        if self._errors:
            parts.append(f"{self._errors} errors")
        if rate and done < self._total:
            left = round((self._total - done) / rate)
            parts.append(f"{left // 60}:{left % 60:02} left")
        return " · ".join(parts)

    def _write(self, text: str, *, last: bool) -> None:
        start = "\r\x1b[K" if self._stream.isatty() else ""
        self._stream.write(start + text + ("\n" if last else ""))
        self._stream.flush()
