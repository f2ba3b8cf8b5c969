"""CPU time and memory of processes with all their descendants.

CPU time of a process that has ended is not lost: the kernel adds it to its parent's once the parent has waited for
it (`cutime`), so a tree's time is the sum over its living members of their own and their waited-for children's, and
nothing counts twice. One whose parent went first is remembered at its last sample.

Memory is the proportional set size, in which a page that n processes share counts 1/n in each; where the system
refuses it, the resident set size, which counts shared pages in each.
"""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import psutil

from radserve_bench.record import Usage

_SAMPLE_S = 0.25
_PAUSE = 20  # times as long as a sample took: weighing a large process holds up its memory, and takes a core
_SAMPLES_A_LOOK = (
    4  # looking for new descendants reads all of /proc: seldom, for it holds up the load generator
)
_ANYWHERE = ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::")  # Triton listens on the third


class ProcessMeter:
    """Between `start` and `stop`: CPU seconds of the trees, and their greatest memory.

    Memory is seen at both ends, and every 0.25 s between them, less often where it takes long to see.
    `pids` may hold a process and its descendant: each counts once. A process that is gone counts nothing.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        self._known: dict[psutil.Process, tuple[float, int]] = {}  # CPU seconds, and the parent
        self._lost = 0.0
        self._began = 0.0
        self._peak = 0
        self._took = 0.0
        self._ending = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="process meter", daemon=True)

    def start(self) -> None:
        """Begin to count; once only."""
        self._look()
        self._began = self._cpu()
        self._weigh()
        self._sampler.start()

    def stop(self) -> Usage:
        """What was used since `start`; memory is None where no sample was had."""
        self._ending.set()
        self._sampler.join()
        self._look()
        return Usage(cpu_s=max(self._cpu() - self._began, 0.0), memory_bytes=self._peak or None)

    def _sample(self) -> None:
        samples, ended = 0, False
        while not ended:
            ended = self._ending.wait(max(_SAMPLE_S, _PAUSE * self._took))
            samples += 1
            if ended or samples % _SAMPLES_A_LOOK == 0:
                self._look()
            self._weigh()

    def _weigh(self) -> None:
        began = time.perf_counter()
        self._peak = max(self._peak, sum(memory_of(process) for process in self._known))
        self._took = time.perf_counter() - began

    def _look(self) -> None:
        """Who is there now, with CPU times; who is gone without a parent that is, has its time kept."""
        found = {process for root in self._roots for process in _tree(root)}
        living: dict[psutil.Process, tuple[float, int]] = {}
        for process in found | self._known.keys():
            try:
                living[process] = cpu_of(process), process.ppid()
            except psutil.Error:
                continue
        pids = {process.pid for process in living}
        for process, (seconds, parent) in self._known.items():
            if process not in living and parent not in pids:
                self._lost += seconds
        self._known = living

    def _cpu(self) -> float:
        return self._lost + sum(seconds for seconds, _ in self._known.values())


def cpu_of(process: psutil.Process) -> float:
    """Seconds, its own and those of the descendants that were waited for. Raises psutil.Error."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def memory_of(process: psutil.Process) -> int:
    """Bytes: proportional set size, else resident set size, and 0 for a process that is gone."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        pass
    except psutil.Error:
        return 0
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def name_of(pid: int) -> str:
    """Of its program; "" for a process that is gone."""
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return ""


def processes_listening(port: int) -> list[int]:
    """Process ids of this user that listen on a loopback address (or on all) at that TCP port; [] if none does."""
    own = os.getuid()
    found = set()
    for process in psutil.process_iter():
        try:
            if process.uids().real == own and any(
                _listens(one, port) for one in process.net_connections("tcp")
            ):
                found.add(process.pid)
        except psutil.Error:
            continue
    return sorted(found)


def _listens(connection: Any, port: int) -> bool:
    at = connection.laddr
    return bool(connection.status == psutil.CONN_LISTEN and at and at.port == port and at.ip in _ANYWHERE)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
