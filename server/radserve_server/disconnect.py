"""Notices that nobody is left to answer, and stops the work at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from radserve_server.errors import ClientGone

T = TypeVar("T")


async def wait_until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection; the body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do `work`, but cancel it and raise ClientGone if the client goes away."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(wait_until_gone(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone("the client closed the connection")
    finally:
        await cancel(working, gone)


async def gather_or_cancel(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Do all at once; what is still under way when one fails is cancelled, and that failure raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        await cancel(*tasks)
        raise


async def cancel(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks and wait until they have cleaned up."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
