"""Load on a running server: every answer is counted once, and the figures are those of the answers."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from pydicom.data import get_testdata_file

from radserve_bench.served import measure
from radserve_client.errors import ApiError
from radserve_server.app import create_app
from radserve_server.fake import FakeBackend
from radserve_server.serve import configure
from radserve_server.settings import Settings


@pytest.fixture(scope="module")
def backend() -> FakeBackend:
    return FakeBackend(first_delay_s=0.03, token_delay_s=0.01)


@pytest.fixture(scope="module")
def url(backend: FakeBackend) -> Iterator[str]:
    settings = Settings(render_workers=1, port=0, probe_interval_s=0.05)
    server = uvicorn.Server(configure(settings, create_app(settings, backend)))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_figures_are_those_of_the_answers(url, backend):
    """The fake engine waits 30 ms for its first token and 10 ms for each further one, alone or not."""
    image = Path(str(get_testdata_file("CT_small.dcm")))
    document = asyncio.run(measure(url, image, (1, 4), requests=8, tokens=5))
    alone, four = document["points"]
    assert backend.finished == (1 + 8) + (4 + 8)  # the first of each asker is not counted
    assert alone["requests"] == four["requests"] == 8
    assert 30 <= alone["ttft_p50_ms"] <= alone["ttft_p95_ms"] < 300
    assert 8 <= alone["itl_ms"] < 60
    assert four["tokens_per_s"] > 1.5 * alone["tokens_per_s"]
    assert four["tokens_per_s"] == pytest.approx(5 * four["requests_per_s"], rel=0.02)
    assert document["engine"] == "fake-vqa" and document["digest"].startswith("sha256:")


def test_a_server_that_fails_is_told_and_not_measured(url, backend):
    backend.down = True
    with pytest.raises((ApiError, RuntimeError), match="engine"):
        asyncio.run(measure(url, Path(str(get_testdata_file("CT_small.dcm"))), (1,), requests=1, tokens=5))
