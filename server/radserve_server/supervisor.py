"""Keeps one child process alive: starts it, waits until it answers, brings it back when it dies, ends it cleanly."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1  # prctl(2)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _HEALTHY_S = 0.2, 10.0, 30.0


class ChildFailed(Exception):
    """The child ended before it ever answered, or did not answer in time; the message says which."""


class Supervisor:
    """One child in a process group of its own. `answers` tells whether the child does its work.

    What the child says on stderr is passed on, but for lines that contain one of `noise`.
    Should this process be killed outright, the kernel ends the child (PR_SET_PDEATHSIG).
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        answers: Callable[[], Awaitable[bool]],
        *,
        noise: Sequence[str] = (),
        grace_s: float = 10.0,
    ) -> None:
        self.name = name
        self._arguments = tuple(arguments)
        self._environment = dict(environment)
        self._answers = answers
        self._noise = tuple(noise)
        self._grace_s = grace_s
        self._child: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, timeout_s: float = 120.0) -> None:
        """Start the child, wait until it answers, and keep it alive from then on. Raises ChildFailed."""
        child = await self._spawn()
        deadline = time.monotonic() + timeout_s
        while not await self._answers():
            if child.returncode is not None:
                self._end_group(child)
                raise ChildFailed(f"{self.name} ended with status {child.returncode} while it started")
            if time.monotonic() > deadline:
                await self.stop()
                raise ChildFailed(f"{self.name} did not answer within {timeout_s:g} s")
            await asyncio.sleep(0.05)
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> None:
        """SIGTERM, then after the grace period SIGKILL, to the whole group. Idempotent."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        child = self._child
        if child is None:
            return
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), self._grace_s)
            except TimeoutError:
                _log.warning("%s did not end within %g s of SIGTERM: killing it", self.name, self._grace_s)
        self._end_group(child)
        await child.wait()
        self._child = None

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE_S
        while (child := self._child) is not None:
            born = time.monotonic()
            status = await child.wait()
            self._end_group(child)
            pause = (
                _FIRST_PAUSE_S if time.monotonic() - born > _HEALTHY_S else min(2 * pause, _LONGEST_PAUSE_S)
            )
            _log.warning("%s ended with status %s; starting it again in %.1f s", self.name, status, pause)
            await asyncio.sleep(pause)
            await self._spawn()

    async def _spawn(self) -> asyncio.subprocess.Process:
        read_end, write_end = os.pipe()
        try:
            # Not asyncio's own pipe: its `wait` returns only when every holder of the pipe is gone, and a child
            # that crashed may leave one behind.
            self._child = await asyncio.create_subprocess_exec(
                *self._arguments,
                env=self._environment,
                stderr=write_end,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        finally:
            os.close(write_end)
        relay = threading.Thread(
            target=self._pass_on, args=(read_end,), name=f"stderr of {self.name}", daemon=True
        )
        relay.start()
        return self._child

    def _pass_on(self, read_end: int) -> None:
        with open(read_end, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.strip() and not any(noise in line for noise in self._noise):
                    sys.stderr.write(line)

    def _end_group(self, child: asyncio.subprocess.Process) -> None:
        """Whatever the child started and left behind goes with it."""
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
