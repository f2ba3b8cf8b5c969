"""Keeps the event loop free of what takes long with large bodies; small ones are not worth a thread."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SMALL = 2**20
"""Hashing, copying and the like of this many bytes take about half a millisecond, a thread's hop 0.1."""


async def run_aside(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function`, in a thread if `size` is large; only for what gives the interpreter's lock back."""
    if size <= SMALL:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
