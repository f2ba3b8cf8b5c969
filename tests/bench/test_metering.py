"""CPU time and memory are those of whole process trees; a machine's limits are of its own size; a GPU is optional."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from radserve_bench.metering.bystanders import Bystanders
from radserve_bench.metering.gpu import GpuMeter, Gpus, find_gpus
from radserve_bench.metering.machine import allowed_cores, describe, measure_limits
from radserve_bench.metering.processes import ProcessMeter, processes_listening
from radserve_bench.metering.roofline import decoded_together, limits_of_gpu, roofline_points
from radserve_bench.metering.work import Stored, stored_as, work_of
from radserve_bench.record import Usage
from radserve_bench.targets.locality import listeners
from radserve_engines.assets import demo_checkpoint, demo_engine
from radserve_engines.manifest import read_manifest
from radserve_engines.planning.gpus import GPUS
from radserve_engines.planning.roofline import Roofline
from radserve_engines.precision import PRECISIONS

pytestmark = pytest.mark.timed

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


def test_memory_of_a_short_time_is_seen_too():
    """80 MB come and stay, within less than it takes from one sample to the next."""
    code = f"""
import os, sys
{WAIT}
more = bytearray(os.urandom({MB})) * 80
print("done", flush=True)
sys.stdin.readline()
"""
    with running(code) as child:
        meter = ProcessMeter([child.pid])
        meter.start()
        tell(child)
        used = meter.stop()
    assert used.memory_bytes is not None and used.memory_bytes > 80 * MB


def test_a_program_that_runs_beside_is_a_bystander():
    """Half a second of a core; unless it is the target's, when it is taken off."""
    spinning = f"{WAIT}{SPIN.format(s=0.5)}print('done', flush=True)\nsys.stdin.readline()\n"
    with running(spinning) as child:
        meter = Bystanders()
        meter.start()
        began = time.perf_counter()
        tell(child)
        share = meter.stop(0.0)
        all_of_it = (time.perf_counter() - began) * os.cpu_count()
        without = meter.stop(0.5)
    assert 0.4 / all_of_it < share <= 1
    assert without < share - 0.3 / all_of_it or without == 0


@pytest.mark.parametrize(("name", "here"), [("ssh", False), ("server", True)])
def test_a_tunnel_is_not_what_answers(tmp_path, name, here):
    """At the other end of `ssh -L` is another machine: its work is not that of the process that listens here."""
    program = tmp_path / name
    program.symlink_to(os.path.realpath(sys.executable))
    code = "import socket, sys\nat = socket.create_server(('127.0.0.1', 0))\nprint(at.getsockname()[1], flush=True)\n"
    with subprocess.Popen(
        [program, "-I", "-c", code + "sys.stdin.readline()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        port = int(child.stdout.readline())
        found = listeners(f"http://127.0.0.1:{port}")
        child.kill()
    assert found == ([child.pid] if here else None)


def test_a_process_that_is_long_to_weigh_is_weighed_seldom(monkeypatch):
    """The kernel walks all pages of a process and holds up its memory meanwhile: 1.5 GB take 23 ms."""
    weighed = []

    def slowly(process):
        time.sleep(0.06)
        weighed.append(time.perf_counter())
        return 1

    monkeypatch.setattr("radserve_bench.metering.processes.memory_of", slowly)
    with running(WAIT) as child:
        meter = ProcessMeter([child.pid])
        meter.start()
        began = time.perf_counter()
        time.sleep(1.0)
        ended = time.perf_counter()
        meter.stop()
    assert sum(began < at < ended for at in weighed) == 0 and len(weighed) == 2


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


def test_the_machines_limits_are_what_it_does():
    """A bound that no machine of today leaves, and the same again: the best of several hardly varies."""
    began = time.perf_counter()
    first = measure_limits()
    assert time.perf_counter() - began < 10  # 1.4 s on two quiet cores
    again = measure_limits()
    for value in ("bandwidth", "flops"):
        assert 1 / 3 < getattr(first, value) / getattr(again, value) < 3
    assert 5e8 < first.bandwidth < 2e12 and 1e9 < first.flops < 1e14
    assert f"{allowed_cores()} cores" in first.source


def test_the_machine_is_described_without_its_name():
    told = json.dumps(describe())
    assert socket.gethostname() not in told and "processor" in told and "radserve" in told


@pytest.mark.parametrize("name", ["qwen2.5-vl-3b", "qwen2.5-vl-7b", "llava-1.5-7b", "medgemma-4b"])
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_bytes_of_a_step_are_the_planners_where_all_is_bf16(name, batch):
    work = work_of(name, Stored(2, 2, 2, 2), answer=128)
    reader = replace(GPUS["H100"], bandwidth=1.0, bf16=math.inf)  # its seconds are bytes
    planned = Roofline(work.size, reader, PRECISIONS["bf16"], work.question)
    assert work.decode(batch).read == pytest.approx(planned.step(batch))
    assert work.vision().read == pytest.approx(planned.vision())


def test_an_engine_at_its_limits_has_the_share_one():
    """Qwen2.5-VL-3B on an H100: 1.86 ms a token, 12 ms to the first, as the planner has it."""
    work = work_of("qwen2.5-vl-3b", Stored(2, 2, 2, 2), answer=128)
    limits = limits_of_gpu("NVIDIA H100 80GB HBM3", PRECISIONS["bf16"])
    best = Roofline(work.size, GPUS["H100"], PRECISIONS["bf16"], work.question)
    decode = [(batch, best.tokens_per_second(batch)) for batch in (1, 64)]
    decode.append((512, best.tokens_per_second(512) / 2))
    points = roofline_points(work, limits, decode=decode, vision_s=best.vision(), prefill_s=best.prefill())
    assert [point.name for point in points] == [
        "vision",
        "prefill",
        *(f"decode, {n} at once" for n in (1, 64, 512)),
    ]
    assert [point.share for point in points] == pytest.approx([1, 1, 1, 1, 0.5], rel=1e-3)
    assert points[1].limit_flops == 990e12 and points[2].limit_flops < 10e12
    assert points[2].intensity_flop_per_byte == pytest.approx(1, abs=0.1)  # 2 FLOP for each 2 bytes
    (both,) = roofline_points(work, limits, prefill_s=best.ttft())
    assert both.share == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("spans", "together"),
    [
        ([(0, 1), (1, 2), (2, 3)], 1),  # in line: none sees another
        ([(5, 6), (5, 6), (5, 6)], 3),
        ([(0, 4), (2, 4)], (2 * 1 + 4 * 2) / 6),  # of six seconds of answering, four had company
        ([(0, 1), (9, 10)], 1),  # nothing under way in between counts nothing
        ([], 1),
    ],
)
def test_answers_that_wait_in_line_are_not_decoded_together(spans, together):
    assert decoded_together(spans) == pytest.approx(together)


def test_a_prompt_is_as_long_as_usage_says():
    work = work_of("qwen2.5-vl-3b", Stored(2, 2, 2, 2), answer=32, prompt=1100)
    assert work.question.prompt == 1100 and work.question.answer == 32


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA A100-SXM4-40GB", "A100-40"),
        ("NVIDIA A100-SXM4-80GB", "A100-80"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA A100 80GB PCIe", None),
        ("Tesla T4", None),
    ],
)
def test_cards_are_known_by_nvmls_name(name, known):
    limits = limits_of_gpu(name, PRECISIONS["bf16"])
    assert (limits and limits.bandwidth) == (known and GPUS[known].bandwidth)


def test_the_demo_engine_reads_a_byte_a_weight():
    """What its layers and head take on disk is what a step reads of them, within the scales."""
    folder = demo_engine()
    stored = stored_as(read_manifest(folder))
    assert stored == Stored(1, 1, 1, 1)
    language = work_of(folder, stored, answer=32, image=(224, 224)).size.language
    on_disk = (folder / "openvino_language_model.bin").stat().st_size
    assert language.linear + language.head == pytest.approx(on_disk, rel=0.05)
    assert stored_as(read_manifest(demo_checkpoint())) == Stored(4, 4, 4, 4)
