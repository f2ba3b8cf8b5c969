"""A gateway behind a real socket, in front of the fake engine."""

import base64
import dataclasses
import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image
from pydicom.data import get_testdata_file

from radserve_server.app import create_app
from radserve_server.fake import FakeBackend
from radserve_server.owned_server import serving
from radserve_server.pacs.archive import Archives
from radserve_server.serve import configure
from radserve_server.services import Services
from radserve_server.settings import Settings


@dataclass(frozen=True)
class Gateway:
    """A gateway behind a real socket, its engine, and a client that talks to it."""

    url: str
    app: FastAPI
    backend: FakeBackend
    http: httpx.Client

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    def until(self, wanted: Callable[[], object], within_s: float = 5.0) -> float:
        """Seconds until `wanted` holds; fails the test if it does not in time."""
        began = time.monotonic()
        while not wanted():
            assert time.monotonic() - began < within_s, f"still not so after {within_s} s"
            time.sleep(0.005)
        return time.monotonic() - began


@contextmanager
def running(backend: FakeBackend, archives: Archives | None = None, **given: Any) -> Iterator[Gateway]:
    """One worker is enough, and starts soonest."""
    settings = Settings(**{"render_workers": 1, "port": 0, "probe_interval_s": 0.05, **given})
    app = create_app(settings, backend, archives)
    with (
        serving(uvicorn.Server(configure(settings, app))) as url,
        httpx.Client(base_url=url, timeout=20) as http,
    ):
        yield Gateway(url, app, backend, http)


@pytest.fixture(scope="session")
def start() -> Callable[..., AbstractContextManager[Gateway]]:
    """For tests that need settings of their own."""
    return running


@pytest.fixture(scope="session")
def shared_gateway() -> Iterator[Gateway]:
    with running(FakeBackend(), max_body_bytes=2_000_000, max_image_bytes=1_000_000) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """As new: the engine has forgotten what it was told to do."""
    reset(shared_gateway.backend)
    shared_gateway.until(lambda: shared_gateway.services.watch.ready)
    return shared_gateway


def reset(backend: FakeBackend) -> None:
    for field in dataclasses.fields(FakeBackend):
        default = field.default
        made = field.default_factory() if default is dataclasses.MISSING else default  # type: ignore[misc]
        setattr(backend, field.name, made)


@pytest.fixture(scope="session")
def ct() -> bytes:
    """A real CT slice, which pydicom ships."""
    return Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()


@pytest.fixture(scope="session")
def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 99, np.uint8)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="session")
def data_uri() -> Callable[..., str]:
    return lambda data, kind="application/dicom": f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.fixture(scope="session")
def chat() -> Callable[..., dict[str, Any]]:
    """A chat request about images given by URL."""

    def build(*urls: str, question: str = "Is there a bleed?", **more: Any) -> dict[str, Any]:
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        content = [*parts, {"type": "text", "text": question}]
        return {"model": "fake-vqa", "messages": [{"role": "user", "content": content}], **more}

    return build
