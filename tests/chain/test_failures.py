"""What a user sees when Triton dies, a client leaves, or the command is ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

Asking = Callable[..., dict[str, Any]]
Start = Callable[..., Any]


@pytest.mark.timed
def test_a_killed_triton_is_told_within_two_seconds_and_comes_back(own_chain: Start, asking: Asking) -> None:
    chain = own_chain()
    body = asking(max_tokens=1900, ignore_eos=True, stream=True)
    with httpx.stream("POST", f"{chain.url}/v1/chat/completions", json=body, timeout=60) as response:
        lines = response.iter_lines()
        for _ in range(6):
            next(lines)
        os.kill(chain.triton_pid(), signal.SIGKILL)
        killed = time.monotonic()
        rest = [line for line in lines if line]
        told = time.monotonic() - killed
    print(f"error event {told:.2f} s after Triton was killed")
    assert told < 2
    assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"]
    assert not any('"finish_reason":"stop"' in line or line == "data: [DONE]" for line in rest)
    refused = httpx.get(f"{chain.url}/health/ready")
    assert refused.status_code == 503
    busy = httpx.post(f"{chain.url}/v1/chat/completions", json=asking(), timeout=60)
    assert busy.status_code == 503
    assert int(busy.headers["retry-after"]) >= 1
    assert httpx.get(f"{chain.url}/health/live").status_code == 200
    chain.until(chain.ready, within_s=60)
    again = httpx.post(f"{chain.url}/v1/chat/completions", json=asking(), timeout=60)
    assert again.status_code == 200


@pytest.mark.timed
def test_a_client_that_leaves_frees_its_slot_within_half_a_second(chain: Any, asking: Asking) -> None:
    cancelled = chain.count("cancelled")
    body = asking(max_tokens=1900, ignore_eos=True, stream=True)
    with httpx.stream("POST", f"{chain.url}/v1/chat/completions", json=body, timeout=60) as response:
        lines = response.iter_lines()
        for _ in range(6):
            next(lines)
        chain.until(lambda: chain.count("running") == 1, within_s=1)
    gone = time.monotonic()
    chain.until(lambda: chain.count("running") == 0, within_s=0.5)
    freed = time.monotonic() - gone
    print(f"slot free {freed:.2f} s after the client left")
    assert freed < 0.5
    assert chain.count("cancelled") == cancelled + 1


def test_a_client_that_leaves_without_streaming_frees_its_slot_too(chain: Any, asking: Asking) -> None:
    body = asking(max_tokens=1900, ignore_eos=True)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{chain.url}/v1/chat/completions", json=body, timeout=httpx.Timeout(10, read=0.3))
    chain.until(lambda: chain.count("running") == 0, within_s=0.5)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_ending_the_command_leaves_no_process_behind(own_chain: Start, ending: signal.Signals) -> None:
    chain = own_chain()
    pids = _family(chain.process.pid)
    assert len(pids) >= 3  # the command, Triton and its Python stub
    chain.process.send_signal(ending)
    assert chain.process.wait(30) in (0, 130)
    chain.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), within_s=2)


def test_a_killed_command_leaves_no_process_behind(own_chain: Start) -> None:
    chain = own_chain()
    pids = _family(chain.process.pid)
    chain.process.kill()
    chain.process.wait(10)
    chain.until(lambda: not any(_alive(pid) for pid in pids), within_s=15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "api_keys_file"),
        (["--engine", "/nowhere"], "/nowhere"),
        (["--colour", "red"], "colour"),
    ],
)
def test_what_cannot_start_says_why_and_exits(arguments: list[str], message: str) -> None:
    done = _up(*arguments)
    assert done.returncode not in (0, None)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = _up("--port", port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def _up(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "radserve_client", "up", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def _family(pid: int) -> list[int]:
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += _family(int(child))
    return found


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
