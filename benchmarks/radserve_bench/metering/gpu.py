"""Energy, power and memory of this machine's GPUs, through NVML; without its package or its driver, None everywhere.

Energy is the driver's own counter (there since Volta); for a GPU without one, the integral of its power, sampled ten
times a second. Mean power is energy over the time that passed. Memory is what is taken on the cards, by whomever.
All GPUs that CUDA_VISIBLE_DEVICES names count together, idle ones too, and without it all that are there.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from radserve_bench.record import Usage

_SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Gpus:
    """Names in NVML's order, and the driver's version; empty and None where there is no GPU."""

    names: tuple[str, ...] = ()
    driver: str | None = None


def find_gpus() -> Gpus:
    """What NVML sees."""
    nvml = _open_nvml()
    if nvml is None:
        return Gpus()
    try:
        names = tuple(_text(nvml.nvmlDeviceGetName(handle)) for handle in _handles(nvml))
        return Gpus(names, _text(nvml.nvmlSystemGetDriverVersion()))
    finally:
        nvml.nvmlShutdown()


class GpuMeter:
    """Between `start` and `stop`, each called once."""

    def __init__(self) -> None:
        self._nvml = _open_nvml()
        self._devices = (
            [] if self._nvml is None else [_Device(self._nvml, one) for one in _handles(self._nvml)]
        )
        self._peak = 0
        self._began = 0.0
        self._ending = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="GPU meter", daemon=True)

    def start(self) -> None:
        """Begin to count."""
        self._began = time.perf_counter()
        for device in self._devices:
            device.start()
        if self._devices:
            self._sampler.start()

    def stop(self) -> Usage:
        """GPU energy, mean power and greatest memory since `start`; None for what a GPU does not tell."""
        if self._nvml is None or not self._devices:
            return Usage()
        self._ending.set()
        self._sampler.join()
        elapsed = time.perf_counter() - self._began
        energies = [device.joules() for device in self._devices]
        self._nvml.nvmlShutdown()
        told = [one for one in energies if one is not None]
        energy = sum(told) if len(told) == len(energies) else None
        power = None if energy is None else energy / elapsed
        return Usage(gpu_energy_j=energy, gpu_power_w=power, gpu_memory_bytes=self._peak or None)

    def _sample(self) -> None:
        last, ended = self._began, False
        while not ended:
            ended = self._ending.wait(_SAMPLE_S)
            now = time.perf_counter()
            for device in self._devices:
                device.integrate(now - last)
            self._peak = max(self._peak, sum(device.memory() for device in self._devices))
            last = now


class _Device:
    """One GPU. Counter in mJ, power in mW, as NVML gives them."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self._counted: int | None = None
        self._integral: float | None = None

    def start(self) -> None:
        self._counted = self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption)

    def integrate(self, elapsed_s: float) -> None:
        if self._counted is not None:
            return
        milliwatts = self._ask(self._nvml.nvmlDeviceGetPowerUsage)
        if milliwatts is not None:
            self._integral = (self._integral or 0.0) + elapsed_s * milliwatts / 1e3

    def joules(self) -> float | None:
        if self._counted is None:
            return self._integral
        now = self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption)
        return None if now is None else (now - self._counted) / 1e3

    def memory(self) -> int:
        found = self._ask(self._nvml.nvmlDeviceGetMemoryInfo)
        return 0 if found is None else int(found.used)

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            return question(self._handle)
        except self._nvml.NVMLError:  # not supported by this card, or the card is gone
            return None


def _open_nvml() -> Any:
    """NVML's module, initialised; None without the package (nvidia-ml-py) or without a driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _handles(nvml: Any) -> list[Any]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    words = [word.strip() for word in named.split(",") if word.strip()]
    try:
        return [
            nvml.nvmlDeviceGetHandleByIndex(int(word))
            if word.isdigit()
            else nvml.nvmlDeviceGetHandleByUUID(word)
            for word in words
        ]
    except nvml.NVMLError:  # "-1", NoDevFiles: none is to be seen
        return []


def _text(value: str | bytes) -> str:
    """Older versions of the package give bytes."""
    return value.decode() if isinstance(value, bytes) else value
