"""The whole chain as a user has it: `radserve up` with Triton and the shipped engine, on free ports."""

import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydicom.data import get_testdata_file

_START_S, _STOP_S = 120, 30


@dataclass(frozen=True)
class Chain:
    """A running `radserve up`."""

    process: subprocess.Popen[str]
    url: str
    triton_metrics: str

    def count(self, name: str) -> int:
        """The engine's own count, as Triton's metrics endpoint shows it."""
        text = httpx.get(self.triton_metrics).text
        found = re.search(rf"^radserve_engine_{name}{{.*}} (\d+)", text, re.MULTILINE)
        assert found, f"Triton shows no radserve_engine_{name}"
        return int(found[1])

    def triton_pid(self) -> int:
        """The process id of Triton, a child of `radserve up`."""
        return next(pid for pid in children(self.process.pid) if b"tritonserver" in command_line(pid))

    def ready(self) -> bool:
        return httpx.get(f"{self.url}/health/ready").status_code == 200

    def until(self, wanted: Callable[[], bool], within_s: float) -> float:
        """Seconds until `wanted` holds; fails the test when it does not in time."""
        began = time.monotonic()
        while not wanted():
            assert time.monotonic() - began < within_s, f"still not so after {within_s} s"
            time.sleep(0.01)
        return time.monotonic() - began


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def start(*arguments: str) -> Chain:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RADSERVE_")}
    command = [sys.executable, "-m", "radserve_client", "up", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    said, deadline = "", time.monotonic() + _START_S
    while time.monotonic() < deadline and process.stdout and (line := process.stdout.readline()):
        said += line
        found = [
            re.search(pattern, said) for pattern in (r"gateway\s+(http://\S+)", r"metrics\s+(http://\S+)")
        ]
        if all(found):
            return Chain(process, *(match[1] for match in found if match))
    process.kill()
    raise AssertionError(f"radserve up did not become ready; it said: {said!r}")


def stop(chain: Chain) -> int:
    chain.process.send_signal(signal.SIGTERM)
    try:
        return chain.process.wait(_STOP_S)
    finally:
        chain.process.kill()
        if chain.process.stdout:
            chain.process.stdout.close()


@pytest.fixture(scope="package")
def chain() -> Iterator[Chain]:
    running = start()
    yield running
    stop(running)


@pytest.fixture
def own_chain() -> Iterator[Callable[..., Chain]]:
    """Starts a chain that the test may break; ended after it."""
    yield from starting()


@pytest.fixture(scope="module")
def module_chain() -> Iterator[Callable[..., Chain]]:
    """Starts a chain with arguments of its own for a module's tests; ended after them."""
    yield from starting()


def starting() -> Iterator[Callable[..., Chain]]:
    started: list[Chain] = []

    def start_one(*arguments: str) -> Chain:
        started.append(start(*arguments))
        return started[-1]

    yield start_one
    for one in started:
        stop(one)


@pytest.fixture(scope="session")
def ct() -> Path:
    """A head CT of 512 × 512, JPEG 2000, from pydicom's package."""
    return Path(str(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)))


@pytest.fixture
def asking(ct: Path) -> Callable[..., dict[str, object]]:
    """A chat completion's body about the CT; further fields as keywords."""
    uri = "data:application/dicom;base64," + base64.b64encode(ct.read_bytes()).decode()

    def body(
        question: str = "What modality is used to take this image?", **more: object
    ) -> dict[str, object]:
        content = [{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": question}]
        return {"model": "radserve-demo", "messages": [{"role": "user", "content": content}], **more}

    return body
