"""What this machine can do at most, measured: the roof over its engines.

- Memory bandwidth: a matrix larger than the caches times a vector, in fp32, a slice for each core. It reads every
  byte once and writes next to nothing, as a decode step does with the weights, so that bytes read are all that
  crosses the bus: there is no write-allocate to guess at. A model that fits into the caches may well exceed it.
- Arithmetic: the product of two square fp32 matrices, 2 n³ FLOP. Engines that multiply in int8 or bf16 may exceed it.

Both are the best of several, by NumPy's BLAS on the cores that this process may use, in less than three seconds.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_bench.metering.gpu import find_gpus
from radserve_engines.provenance import describe_machine, list_versions

_COLUMNS = 4096
_LEAST, _MOST = 128 << 20, 1 << 30  # bytes of the matrix that is read
_CACHES = 4  # times the last-level cache at least
_SQUARE = 2048
_REPEATS, _FOR_S = 3, 0.6


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a second from memory, FLOP a second, and whose they are ("fp32, measured on 2 cores")."""

    bandwidth: float
    flops: float
    source: str


def measure_limits() -> Limits:
    """Run both; the machine should be idle otherwise."""
    cores = allowed_cores()
    return Limits(_bandwidth(cores), _arithmetic(), f"fp32, measured on {cores} cores")


def describe() -> dict[str, Any]:
    """Machine, GPUs and versions as JSON values; nothing that names the machine or its owner."""
    gpus = find_gpus()
    machine = {
        **describe_machine(),
        "allowed_cores": allowed_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": list(gpus.names),
        "gpu_driver": gpus.driver,
    }
    return {"machine": machine, "versions": list_versions()}


def allowed_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def _bandwidth(cores: int) -> float:
    size = min(max(_LEAST, _CACHES * _last_level_cache()), _MOST)
    matrix = np.empty((size // 4 // _COLUMNS, _COLUMNS), np.float32)
    vector = np.ones(_COLUMNS, np.float32)
    slices = np.array_split(matrix, cores)
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(_touch, slices))
        return matrix.nbytes / _best(lambda: list(pool.map(lambda part: part @ vector, slices)))


def _touch(part: NDArray[np.float32]) -> None:
    """Pages that were never written are all the same page of zeros."""
    part.fill(1.0)


def _arithmetic() -> float:
    square = np.ones((_SQUARE, _SQUARE), np.float32)
    return float(2 * _SQUARE**3 / _best(lambda: square @ square))


def _best(work: Callable[[], object]) -> float:
    """Seconds of the fastest; a few at least, more while there is time."""
    times: list[float] = []
    while len(times) < _REPEATS or sum(times) < _FOR_S:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def _last_level_cache() -> int:
    """Bytes; 0 where the system does not tell."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        sizes.append(int(path.read_text().strip().removesuffix("K")) * 1024)
    return max(sizes)
