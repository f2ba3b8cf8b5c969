"""A server of our own for the time of a block: `radserve up` on free ports."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from radserve_client.errors import RadserveError

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
    words = ("up", "--port", "0", "--log-level", "warning", *arguments)
    command = (sys.executable, "-m", "radserve_client", *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        try:
            server = await asyncio.wait_for(_addresses(process), _START_S)
        except TimeoutError as error:
            raise RadserveError(f"the server was not ready within {_START_S:g} s") from error
        yield server
    finally:
        status = await _end(process)
    if status not in (0, -signal.SIGTERM):  # the latter when Ctrl-C had already ended it all but itself
        raise RadserveError(f"the server ended with status {status}")


async def _end(process: asyncio.subprocess.Process) -> int:
    """Its exit status; one that does not end within 30 s is killed."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        return await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        return await process.wait()


async def _addresses(process: asyncio.subprocess.Process) -> Server:
    """Read from what `radserve up` says once it is ready."""
    said = ""
    while process.stdout and (line := (await process.stdout.readline()).decode()):
        said += line
        gateway = re.search(r"gateway\s+(http://\S+)", said)
        triton = re.search(r"Triton\s+grpc://(\S+)", said)
        if gateway and triton:
            return Server(gateway[1], triton[1])
    await process.wait()
    raise RadserveError(
        "the server did not start; what it said stands above, and `radserve doctor` says what this machine lacks"
    )
