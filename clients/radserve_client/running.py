"""A server of our own for the time of a block: `radserve up` on free ports."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from radserve_client.errors import RadserveError

T = TypeVar("T")
_START_S, _STOP_S = 120.0, 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens: the gateway's address, and Triton's gRPC host and port."""

    url: str
    triton_url: str


@asynccontextmanager
async def running_server(*arguments: str) -> AsyncIterator[Server]:
    """Up and ready inside the block, gone after it; `arguments` are `radserve up`'s.

    Raises RadserveError when it does not come up, or ends ill.
    """
    words = ("-m", "radserve_client", "up", "--port", "0", "--log-level", "warning", *arguments)
    async with running_child("the server", words, _addresses) as (server, _):
        yield server


@asynccontextmanager
async def running_child(
    name: str, words: Sequence[str], read: Callable[[str], T | None], *, quiet: bool = False
) -> AsyncIterator[tuple[T, int]]:
    """Python with these words, once `read` makes something of what it has said on stdout: that, and its process id.

    It is gone after the block; `quiet` drops what it says on stderr. Raises RadserveError as `running_server` does.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if quiet else None,
    )
    try:
        try:
            found = await asyncio.wait_for(_listen(process, name, read), _START_S)
        except TimeoutError as error:
            raise RadserveError(f"{name} was not ready within {_START_S:g} s") from error
        yield found, process.pid
    finally:
        status = await _end(process)
    if status not in (0, -signal.SIGTERM):  # the latter when Ctrl-C had already ended it all but itself
        raise RadserveError(f"{name} ended with status {status}")


async def _end(process: asyncio.subprocess.Process) -> int:
    """Its exit status; one that does not end within 30 s is killed."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        return await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        return await process.wait()


async def _listen(process: asyncio.subprocess.Process, name: str, read: Callable[[str], T | None]) -> T:
    said = ""
    while process.stdout and (line := (await process.stdout.readline()).decode()):
        said += line
        if (found := read(said)) is not None:
            return found
    await process.wait()
    raise RadserveError(
        f"{name} did not start; what it said stands above, and `radserve doctor` says what is missing"
    )


def _addresses(said: str) -> Server | None:
    """From what `radserve up` says once it is ready."""
    gateway = re.search(r"gateway\s+(http://\S+)", said)
    triton = re.search(r"Triton\s+grpc://(\S+)", said)
    return Server(gateway[1], triton[1]) if gateway and triton else None
