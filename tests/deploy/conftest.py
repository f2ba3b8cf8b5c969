"""The deployment's files as they stand, and what a gateway really tells Prometheus."""

import contextlib
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydicom.data import get_testdata_file

from radserve_engines.acceptance import Acceptance
from radserve_engines.assets import demo_engine, model_repo
from radserve_engines.embedded_triton import TritonPorts, triton_command
from radserve_server.app import create_app
from radserve_server.fake import FakeBackend
from radserve_server.owned_server import serving
from radserve_server.serve import configure
from radserve_server.settings import Settings

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<how>:[-+])(?P<word>(?:[^{}]|\$\{\w+\})*))?\}")


@pytest.fixture(scope="session")
def deploy(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath / "deploy"


@pytest.fixture(scope="session")
def read_compose(deploy: Path) -> Callable[..., dict[str, Any]]:
    """compose.yaml as `docker compose` reads it with these variables set."""

    def read(**variables: str) -> dict[str, Any]:
        return yaml.safe_load(interpolate((deploy / "compose.yaml").read_text(), variables))

    return read


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Compose's `${NAME}`, `${NAME:-default}` and `${NAME:+instead}`."""

    def put(match: re.Match[str]) -> str:
        value, word = variables.get(match["name"], ""), match["word"] or ""
        if match["how"] == ":+":
            return interpolate(word, variables) if value else ""
        return value or word

    return _VARIABLE.sub(put, text)


@pytest.fixture(scope="session")
def compose(read_compose: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return read_compose(ENGINE="mine")


@pytest.fixture(scope="session")
def gateway_url() -> Iterator[str]:
    """A gateway in front of the fake engine, whose answers are all abstained from."""
    backend = FakeBackend()
    backend.confidence = {**(backend.confidence or {}), "abstained": True}
    settings = Settings(render_workers=1, port=0, probe_interval_s=0.05)
    with serving(uvicorn.Server(configure(settings, create_app(settings, backend)))) as url:
        yield url


@pytest.fixture(scope="session")
def scraped(gateway_url: str) -> dict[str, set[str]]:
    """The labels of each series that the gateway shows after an answer and a refusal."""
    image = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    files = {"image": ("a.dcm", image, "application/dicom")}
    with httpx.Client(base_url=gateway_url, timeout=20) as http:
        http.post("/v1/vqa", files=files, data={"question": "Is there a bleed?"}).raise_for_status()
        assert http.post("/v1/vqa", json={"question": "Of which image?", "image_ids": ["none"]}).is_error
        return read_series(http.get("/metrics").text)


@pytest.fixture(scope="session")
def triton_scraped(deploy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each series of a real Triton, started with the demo engine by start-triton.sh."""
    folder = tmp_path_factory.mktemp("triton")
    ports = [str(port) for port in free_ports(3)]
    command = triton_command(
        demo_engine(), Acceptance(allow_ungated=True), model_repo(), folder, TritonPorts(0, 0)
    )
    backends = next(one for one in command.arguments if one.startswith("--backend-directory"))
    server = folder / "bin/tritonserver"  # stands where the container has its own
    server.parent.mkdir()
    server.write_text(f'#!/bin/sh\nexec {command.arguments[0]} {backends} --allow-gpu-metrics=false "$@"\n')
    server.chmod(0o755)
    environment = {
        **command.environment,
        "PATH": f"{server.parent}:{command.environment['PATH']}",
        "MODEL_REPOSITORY": str(model_repo()),
        **dict(zip(("GRPC_PORT", "HTTP_PORT", "METRICS_PORT"), ports, strict=True)),
        "GRPC_ADDRESS": "127.0.0.1",
        "METRICS_ADDRESS": "127.0.0.1",
    }
    process = subprocess.Popen([deploy / "start-triton.sh", "--log-info=false"], env=environment)
    try:
        health = f"http://127.0.0.1:{ports[1]}/v2/health/ready"  # as the image's health check asks
        metrics = f"http://127.0.0.1:{ports[2]}/metrics"
        until(lambda: (answers(health) and answers(metrics)) or process.poll() is not None)
        assert process.poll() is None, "Triton ended; its own words stand above"
        return read_series(httpx.get(metrics).text)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def until(wanted: Callable[[], object], within_s: float = 60.0) -> None:
    began = time.monotonic()
    while not wanted():
        assert time.monotonic() - began < within_s, f"still not so after {within_s} s"
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]


def read_series(text: str) -> dict[str, set[str]]:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples}
