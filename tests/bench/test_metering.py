"""CPU time and memory are those of whole process trees; a machine's limits are of its own size; a GPU is optional."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import pytest

from radserve_bench.metering.gpu import GpuMeter, Gpus, find_gpus
from radserve_bench.metering.processes import ProcessMeter, processes_listening
from radserve_bench.record import Usage

MB = 1024 * 1024
SPIN = "import time\nuntil = time.process_time() + {s}\nwhile time.process_time() < until: pass\n"
WAIT = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"


@contextmanager
def running(code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said that it is ready; it ends with the block."""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        try:
            yield child
        finally:
            child.kill()


def tell(child: subprocess.Popen[str]) -> None:
    """Let it go on, and wait until it says so."""
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "done\n"


def test_cpu_time_is_the_trees_own_and_only_since_the_start():
    """0.4 s were burnt before; then 0.2 s by itself, and 0.3 s by a child that ended in between."""
    code = f"""
import subprocess, sys
{SPIN.format(s=0.4)}
{WAIT}
{SPIN.format(s=0.2)}
subprocess.run([sys.executable, "-c", {SPIN.format(s=0.3)!r}], check=True)
print("done", flush=True)
sys.stdin.readline()
"""
    with running(code) as child:
        meter = ProcessMeter([child.pid])
        meter.start()
        tell(child)
        used = meter.stop()
    assert used.cpu_s == pytest.approx(0.2 + 0.3, abs=0.12)  # and what it takes to start Python


def test_a_living_descendant_counts_once_even_if_it_is_named_too():
    burning = WAIT + SPIN.format(s=0.3) + "print('done', flush=True)\nsys.stdin.readline()\n"
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {burning!r}])
child.wait()
"""
    with running(code) as parent:
        (grandchild,) = psutil.Process(parent.pid).children()
        meter = ProcessMeter([parent.pid, grandchild.pid])
        meter.start()
        tell(parent)
        used = meter.stop()
        grandchild.kill()
    assert used.cpu_s == pytest.approx(0.3, abs=0.1)


def test_a_process_that_ended_and_left_nobody_is_not_forgotten():
    """Its time is gone from /proc; what the last look saw is kept."""
    code = f"{WAIT}{SPIN.format(s=0.5)}print('done', flush=True)\nsys.stdin.readline()\n"
    with running(code) as child:
        meter = ProcessMeter([child.pid])
        meter.start()
        tell(child)
        time.sleep(1.2)  # a look falls in here
        child.kill()
        child.wait()
        assert meter.stop().cpu_s == pytest.approx(0.5, abs=0.1)


def test_memory_is_the_peak_of_the_tree_and_shared_pages_count_once():
    """80 MB that a fork shares are 80 MB, not 160; 60 MB more that are freed before the end are seen."""
    code = f"""
import os, sys, time
shared = bytearray(os.urandom({MB})) * 80
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
{WAIT}
more = bytearray(os.urandom({MB})) * 60
time.sleep(0.7)
del more
print("done", flush=True)
sys.stdin.readline()
"""
    with running(code) as child:
        meter = ProcessMeter([child.pid])
        meter.start()
        tell(child)
        used = meter.stop()
        for one in psutil.Process(child.pid).children():
            one.kill()
    assert used.memory_bytes is not None
    assert 140 * MB < used.memory_bytes < 175 * MB


def test_a_process_that_is_gone_uses_nothing():
    with running(WAIT) as child:
        pid = child.pid
    meter = ProcessMeter([pid])
    meter.start()
    used = meter.stop()
    assert used.cpu_s == 0 and used.memory_bytes is None


def test_who_listens_is_found_by_port():
    code = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print("ready", flush=True)
print(server.getsockname()[1], flush=True)
input()
"""
    with running(code) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert processes_listening(port) == [child.pid]
    with socket.socket() as bound:  # bound, and nobody listens
        bound.bind(("127.0.0.1", 0))
        assert processes_listening(bound.getsockname()[1]) == []


class NVMLError(Exception):
    """As `pynvml` raises it."""


class Nvml:
    """Two cards as `pynvml` shows them: 100 W and 50 W, and memory that rises and falls; with a counter or without."""

    NVMLError = NVMLError

    def __init__(self, counter: bool) -> None:
        self.began = time.perf_counter()
        self.counter = counter
        self.open = 0
        self.asked = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index > 1:
            raise NVMLError("no such card")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if uuid != "GPU-1":
            raise NVMLError("no such card")
        return 1

    def nvmlDeviceGetName(self, handle: int) -> str:
        return f"card {handle}"

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"555.1"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if not self.counter:
            raise NVMLError("not supported")
        return 7_000_000 + int(1e3 * (time.perf_counter() - self.began) * (100, 50)[handle])

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return (100_000, 50_000)[handle]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(used=(9 if self.asked == 3 else 1) * MB)


@pytest.mark.parametrize("counter", [True, False])
def test_gpu_energy_is_that_of_all_cards_by_counter_or_by_power(monkeypatch, counter):
    nvml = Nvml(counter)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert find_gpus() == Gpus(("card 0", "card 1"), "555.1")
    meter = GpuMeter()
    began = time.perf_counter()
    meter.start()
    time.sleep(0.35)
    used = meter.stop()
    elapsed = time.perf_counter() - began
    assert used.gpu_energy_j == pytest.approx(150 * elapsed, rel=0.05)
    assert used.gpu_power_w == pytest.approx(150, rel=0.05)
    assert used.gpu_memory_bytes == 10 * MB
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("visible", "watts"), [("1", 50), ("GPU-1", 50), ("0,1", 150), ("-1", None), ("", None)]
)
def test_only_visible_cards_count(monkeypatch, visible, watts):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(counter=True))
    meter = GpuMeter()
    meter.start()
    time.sleep(0.05)
    assert meter.stop().gpu_power_w == (None if watts is None else pytest.approx(watts, rel=0.2))


@pytest.mark.parametrize("there", [True, False])
def test_without_driver_or_package_nothing_is_said_of_gpus(monkeypatch, there):
    class Driverless(Nvml):
        def nvmlInit(self) -> None:
            raise NVMLError("driver not loaded")

    monkeypatch.setitem(sys.modules, "pynvml", Driverless(counter=True) if there else None)
    meter = GpuMeter()
    meter.start()
    assert meter.stop() == Usage() and find_gpus() == Gpus()
