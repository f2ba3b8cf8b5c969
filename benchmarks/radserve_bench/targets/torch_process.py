"""The PyTorch process from the benchmark's side: a line of messages, one of them under way."""

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from radserve_bench.errors import BenchError

_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class _Job:
    message: Any
    reply: "asyncio.Future[Any]"


class TorchProcess:
    """A child that answers each message before it takes the next; belongs to the event loop that started it."""

    def __init__(self) -> None:
        self._waiting: deque[_Job] = deque()
        self._running: _Job | None = None
        self._dead: BenchError | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    async def start(self, module: str, arguments: Sequence[str]) -> Any:
        """Run `python -m module SOCKET arguments…`; returns its first message. Raises BenchError with its words."""
        self._loop = asyncio.get_running_loop()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (stop closes it)
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._child = subprocess.Popen(
                [sys.executable, "-m", module, str(number), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                pass_fds=(number,),
                process_group=0,  # Ctrl-C is the benchmark's to hear: it ends its child itself
            )
        self._connection = Connection(ours.detach())
        self._running = _Job(None, self._loop.create_future())
        self._loop.add_reader(self._connection.fileno(), self._read)
        return await self._running.reply

    async def call(self, message: Any) -> Any:
        """Wait in line, send, and return the reply. Raises BenchError with the child's last words if it has died.

        Cancelled in line, the message is never sent; cancelled later, it runs to its end and the next one waits.
        """
        if self._dead:
            raise self._dead
        job = _Job(message, self._loop.create_future())
        self._waiting.append(job)
        self._advance()
        return await job.reply

    async def stop(self) -> None:
        """Let it end; what it still works on is given up."""
        if self._dead is None:
            self._loop.remove_reader(self._connection.fileno())
            self._dead = BenchError("the PyTorch process was stopped")
            self._fail_all()
        self._connection.close()
        if self._running is not None:
            self._child.kill()
        try:
            await asyncio.to_thread(self._child.wait, _STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._said.close()

    def _advance(self) -> None:
        while self._running is None and self._waiting:
            job = self._waiting.popleft()
            if job.reply.done():
                continue
            self._running = job
            try:
                self._connection.send(job.message)
            except OSError:
                self._mourn()

    def _read(self) -> None:
        try:
            reply = self._connection.recv()
        except (EOFError, OSError):
            self._mourn()
            return
        job, self._running = self._running, None
        if job is not None and not job.reply.done():
            job.reply.set_result(reply)
        self._advance()

    def _mourn(self) -> None:
        if self._dead:
            return
        self._loop.remove_reader(self._connection.fileno())
        status = self._child.wait(_STOP_S)
        self._said.seek(0)
        words = self._said.read().decode(errors="replace").strip().splitlines()
        self._dead = BenchError(
            f"the PyTorch process ended with status {status}: {words[-1] if words else 'it said nothing'}"
        )
        self._fail_all()
        self._running = None

    def _fail_all(self) -> None:
        jobs = [*([self._running] if self._running else []), *self._waiting]
        self._waiting.clear()
        for job in jobs:
            if not job.reply.done():
                job.reply.set_exception(self._dead or BenchError("the PyTorch process is gone"))
