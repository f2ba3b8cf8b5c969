"""Decoding in processes of their own: what a file does to one of them harms nobody else."""

import asyncio
import os
import signal
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from radserve_server.decode_cost import estimate_seconds, rank_job
from radserve_server.fake import FakeBackend
from radserve_server.ranked_line import RankedLine

pytestmark = pytest.mark.timed

DICOM = {"content-type": "application/dicom"}
FORGETFUL = {"rendering_cache_bytes": 1}
JPEG_2000, EXPLICIT = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def gateway(start):
    """One that remembers no rendering, so that each request is a job."""
    with start(FakeBackend(), **FORGETFUL) as gateway:
        yield gateway


def file_of(syntax, size):
    """As much of a file as its cost is told from."""
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    head = bytes(128) + b"DICM\x02\x00\x10\x00UI" + struct.pack("<H", len(value)) + value
    return head + bytes(size - len(head))


def large_png(side):
    """`side` x `side` px of RGB in a few hundred kB."""
    rows = zlib.compress(b"".join([bytes(1 + side * 3)] * side), 9)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def memory_of(pid):
    """Resident bytes now and at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":") for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return tuple(int(found[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))


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
    with start(FakeBackend(), render_deadline_s=0.3, **FORGETFUL) as gateway:
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
    bomb = large_png(7000)
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
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{gateway.url}/v1/render", content=png, headers={"content-type": "image/png"}, timeout=0.2
        )
    os.kill(pid, signal.SIGCONT)
    response = gateway.http.post("/v1/render", content=ct, headers={**DICOM, "accept": "application/json"})
    assert response.json()["images"][0]["record"]["modality"] == "CT"
    assert gateway.services.pool.pids() == [pid]


def test_the_first_in_line_is_the_lowest_rank_and_then_the_first_who_came():
    async def scene():
        line, served = RankedLine(), []

        async def wait(name, rank):
            served.append((name, await line.take(rank)))

        waiting = [asyncio.ensure_future(wait(*who)) for who in (("a", 9), ("b", 5), ("c", 5), ("d", 1))]
        await asyncio.sleep(0)
        assert line.waiting == 4
        for thing in range(4):
            line.put(thing)
        await asyncio.gather(*waiting)
        assert served == [("d", 0), ("b", 1), ("c", 2), ("a", 3)] and line.waiting == 0

    asyncio.run(scene())


@pytest.mark.parametrize("handed", [False, True])
def test_who_leaves_the_line_takes_nothing_with_him(handed):
    """Not even what he was handed in the moment before he left."""

    async def scene():
        line = RankedLine()
        leaving, staying = (asyncio.ensure_future(line.take(rank)) for rank in (1, 2))
        await asyncio.sleep(0)
        if handed:
            line.put("worker")
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        if not handed:
            assert line.waiting == 1
            line.put("worker")
        assert leaving.cancelled() and await staying == "worker"

    asyncio.run(scene())


def test_cost_is_told_from_size_and_transfer_syntax():
    costs = [
        estimate_seconds(file_of(syntax, 10**7)) for syntax in (EXPLICIT, "1.2.840.10008.1.2.4.80", JPEG_2000)
    ]
    assert costs == sorted(costs) and costs[-1] > 20 * costs[0]
    assert estimate_seconds(file_of(JPEG_2000, 10**7)) > 5 * estimate_seconds(file_of(JPEG_2000, 10**6))
    for odd in (b"", b"\x02\x00\x10\x00UI", file_of("9.9", 200), file_of(JPEG_2000, 200)[:150]):
        assert 0 < estimate_seconds(odd) < 0.01


def test_a_large_image_lets_small_ones_pass_for_a_while_only():
    large, small = file_of(JPEG_2000, 10**7), file_of(EXPLICIT, 10**5)
    cost = estimate_seconds(large)
    assert rank_job(5 * cost, [small]) < rank_job(0, [large])
    assert rank_job(11 * cost, [small]) > rank_job(0, [large])
    assert rank_job(0, [small] * 500) > rank_job(0, [small])


def test_a_job_whose_caller_left_before_it_began_is_not_done(gateway, ct, png):
    """The only worker is stopped with a job in hand, so that the one whose caller leaves stands in line."""
    pool = gateway.services.pool
    (pid,) = pool.pids()
    before = jobs_done(gateway)
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(render, gateway, ct) for _ in range(2)]
        gateway.until(lambda: pool.waiting == 1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{gateway.url}/v1/render", content=png, headers={"content-type": "image/png"}, timeout=0.3
            )
        gateway.until(lambda: pool.waiting == 1)
        os.kill(pid, signal.SIGCONT)
        assert [response.result().status_code for response in asked] == [200, 200]
    assert jobs_done(gateway) == before + 2
    assert waits_counted(gateway) == jobs_done(gateway)


def jobs_done(gateway):
    return gateway.services.metrics.registry.get_sample_value("radserve_image_render_seconds_count")


def waits_counted(gateway):
    return gateway.services.metrics.registry.get_sample_value("radserve_image_render_queue_seconds_count")


def test_a_worker_gives_back_the_memory_of_a_large_image(gateway):
    (pid,) = gateway.services.pool.pids()
    assert render(gateway, large_png(8000), "image/png").status_code == 200
    assert memory_of(pid)[1] > 400 * 2**20
    gateway.until(lambda: memory_of(pid)[0] < 150 * 2**20)


def test_workers_let_the_event_loop_go_first(gateway):
    (pid,) = gateway.services.pool.pids()
    assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)
