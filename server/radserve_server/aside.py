"""Keeps the event loop free of what takes long with large bodies; small ones are not worth a thread.

Hashing, joining and file access give the interpreter's lock back while they work. Searching and slicing do
not, so `find` and `cut` go piece by piece, with a pause after each in which the event loop gets its turn.
"""

import asyncio
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SMALL = 2**20
"""Hashing or copying this many bytes takes about half a millisecond, a thread's hop 0.1."""

_PAUSE_S = 0.0001


async def run_aside(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function`, in a thread if `size` is large."""
    if size <= SMALL:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


def find(body: bytes, wanted: bytes, start: int, end: int) -> int:
    """`body.find(wanted, start, end)`."""
    for begin in range(start, end, SMALL):
        found = body.find(wanted, begin, min(begin + SMALL + len(wanted) - 1, end))
        if found != -1:
            return found
        if begin + SMALL < end:
            time.sleep(_PAUSE_S)
    return -1


def cut(body: bytes, start: int, end: int) -> bytes:
    """`body[start:end]`."""
    if end - start <= SMALL:
        return body[start:end]
    pieces = []
    for begin in range(start, end, SMALL):
        pieces.append(body[begin : min(begin + SMALL, end)])
        time.sleep(_PAUSE_S)
    return b"".join(pieces)
