"""How long decoding takes within a rendering, told beside the results and never in them: a record is content."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """`seconds` of decoding so far."""

    def __init__(self) -> None:
        self.seconds = 0.0


_RUNNING: ContextVar[Stopwatch | None] = ContextVar("decoding", default=None)


@contextmanager
def timing_decoding() -> Iterator[Stopwatch]:
    """Within the block, and in this thread or task only, the time of decoding adds up."""
    stopwatch = Stopwatch()
    token = _RUNNING.set(stopwatch)
    try:
        yield stopwatch
    finally:
        _RUNNING.reset(token)


def counted_as_decoding(function: Callable[P, T]) -> Callable[P, T]:
    """A function whose time is decoding; such functions do not call each other."""

    @wraps(function)
    def timed(*args: P.args, **kwargs: P.kwargs) -> T:
        stopwatch = _RUNNING.get()
        if stopwatch is None:
            return function(*args, **kwargs)
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            stopwatch.seconds += time.perf_counter() - began

    return timed
