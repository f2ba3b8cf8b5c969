"""Decoding in processes of their own: what a file does to one of them harms nobody else."""

import os
import signal
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from radserve_server.fake import FakeBackend

DICOM = {"content-type": "application/dicom"}


def render(gateway, data, kind="application/dicom"):
    return gateway.http.post("/v1/render", content=data, headers={"content-type": kind})


def test_a_worker_that_was_killed_is_replaced_and_nobody_is_blamed(gateway, ct):
    before = gateway.services.pool.pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert render(gateway, ct).status_code == 200
    gateway.until(lambda: gateway.services.pool.pids() and gateway.services.pool.pids() != before)


def test_an_image_that_kills_two_workers_is_to_blame(start, ct):
    """Stopped, they cannot answer before they are killed with the job in their hands."""
    with start(FakeBackend(), render_workers=2) as gateway, ThreadPoolExecutor(1) as threads:
        pids = gateway.services.pool.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        asked = threads.submit(render, gateway, ct)
        time.sleep(0.1)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        error = asked.result().json()["error"]
        assert (asked.result().status_code, error["code"], error["param"]) == (400, "decoder_failed", "body")
        assert render(gateway, ct).status_code == 200


def test_an_image_that_takes_too_long_is_given_up(start, ct):
    with start(FakeBackend(), render_deadline_s=0.3) as gateway:
        (pid,) = gateway.services.pool.pids()
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        response = render(gateway, ct)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "decoder_failed")
        assert time.monotonic() - began < 2
        gateway.until(lambda: gateway.services.pool.pids() not in ([], [pid]))
        assert render(gateway, ct).status_code == 200


def test_an_image_that_needs_too_much_memory_is_refused(start, ct):
    """A PNG of 7000 x 7000 RGB is 147 MB decoded, and a few hundred kB in the file."""
    rows = zlib.compress(b"".join([bytes(1 + 7000 * 3)] * 7000), 9)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 7000, 7000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    with start(FakeBackend(), render_memory_bytes=250 * 2**20) as gateway:
        response = render(gateway, bomb, "image/png")
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
        assert render(gateway, ct).status_code == 200


def test_no_worker_outlives_the_gateway(start):
    with start(FakeBackend(), render_workers=2) as gateway:
        pids = gateway.services.pool.pids()
        assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_caller_who_goes_away_does_not_get_the_next_one_the_wrong_pixels(gateway, ct, png):
    """The worker is stopped while one job runs; its caller leaves; the next job must get its own outcome."""
    (pid,) = gateway.services.pool.pids()
    os.kill(pid, signal.SIGSTOP)
    import httpx

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{gateway.url}/v1/render", content=png, headers={"content-type": "image/png"}, timeout=0.2
        )
    os.kill(pid, signal.SIGCONT)
    response = gateway.http.post("/v1/render", content=ct, headers={**DICOM, "accept": "application/json"})
    assert response.json()["record"]["modality"] == "CT"
    assert gateway.services.pool.pids() == [pid]
