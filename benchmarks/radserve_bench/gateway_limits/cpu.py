"""CPU time of a gateway: of its own process, where HTTP is done, and of the workers that decode images."""

import os
import time
from dataclasses import dataclass

import psutil

from radserve_bench.metering.bystanders import busy_s
from radserve_bench.metering.processes import cpu_of


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds, since something; `generator` is this process's own, `at` on time.perf_counter."""

    at: float
    gateway: float
    workers: float
    generator: float

    def __sub__(self, earlier: "CpuTimes") -> "CpuTimes":
        return CpuTimes(
            self.at - earlier.at,
            self.gateway - earlier.gateway,
            self.workers - earlier.workers,
            self.generator - earlier.generator,
        )

    @property
    def both(self) -> float:
        """Of gateway and workers together."""
        return self.gateway + self.workers


class CpuClock:
    """Reads the times of one or more gateways, given by their process ids. Linux counts them in 10 ms."""

    def __init__(self, *pids: int) -> None:
        self._gateways = [psutil.Process(pid) for pid in pids]
        self._workers = [child for one in self._gateways for child in one.children(recursive=True)]

    def read(self) -> CpuTimes:
        """Now. Raises psutil.Error if one of them is gone."""
        return CpuTimes(
            time.perf_counter(),
            sum(cpu_of(one) for one in self._gateways),
            sum(cpu_of(one) for one in self._workers),
            time.process_time(),
        )


class OthersClock:
    """CPU time of what is not of this process: itself, and children that it started and waited for, do not count."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._then = busy_s() - _own()

    def cores(self) -> float:
        """Seconds a second, since it was made."""
        return max(0.0, (busy_s() - _own() - self._then) / (time.perf_counter() - self._began))


def _own() -> float:
    return sum(os.times()[:4])


def two_cores() -> tuple[int, int] | None:
    """One for the gateway and one for the load; None where this process may run on one only."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else None
