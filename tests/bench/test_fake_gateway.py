"""A gateway whose engine has a schedule, as a process of its own."""

import asyncio
import os
import signal
import sys
import time

import httpx
import psutil
import pytest

from radserve_bench.fake_gateway import fake_gateway_process, running_fake_gateway
from radserve_bench.imaging.codecs import NATIVE, write
from radserve_bench.imaging.objects import ct
from radserve_client.errors import RadserveError

pytestmark = pytest.mark.timed


def question(**more):
    return {"model": "fake-vqa", "messages": [{"role": "user", "content": "Well?"}], **more}


async def test_its_answers_come_by_the_schedule():
    options = ("--first-ms", "60", "--token-ms", "20", "--answer-tokens", "9")
    async with running_fake_gateway(*options) as url, httpx.AsyncClient(base_url=url) as http:
        await http.post("/v1/chat/completions", json=question())
        began = time.perf_counter()
        answer = (await http.post("/v1/chat/completions", json=question())).json()
        took_ms = 1000 * (time.perf_counter() - began)
        timings = answer["clinical"]["timings"]
        assert answer["usage"]["completion_tokens"] == 9
        assert timings["ttft_ms"] == pytest.approx(60, abs=10)
        assert timings["decode_ms"] == pytest.approx(160, abs=10)
        assert 215 < took_ms < 300
        long = (await http.post("/v1/chat/completions", json=question(ignore_eos=True, max_tokens=12))).json()
        assert long["usage"]["completion_tokens"] == 12


async def test_it_decodes_real_images_and_lets_twenty_of_them_into_a_question():
    options = ("--first-ms", "0", "--token-ms", "0", "--image-side", "64", "--workers", "2")
    async with fake_gateway_process(*options) as gateway:
        assert len(psutil.Process(gateway.pid).children()) == 2
        async with httpx.AsyncClient(base_url=gateway.url) as http:
            headers = {"content-type": "application/dicom"}
            uploaded = (await http.post("/v1/images", content=write(ct(128), NATIVE), headers=headers)).json()
            asked = {"image_ids": [uploaded["image_id"]] * 20, "question": "Well?"}
            answer = (await http.post("/v1/vqa", json=asked)).json()
        assert [record["size_out"] for record in answer["clinical"]["images"]] == [[64, 64]] * 20


async def test_one_question_in_twenty_fails_and_no_other():
    options = ("--first-ms", "1", "--token-ms", "0", "--fail-every", "20")
    async with running_fake_gateway(*options) as url, httpx.AsyncClient(base_url=url) as http:
        answers = [await http.post("/v1/chat/completions", json=question()) for _ in range(60)]
        assert [number for number, answer in enumerate(answers, 1) if answer.is_error] == [20, 40, 60]


async def test_after_the_block_neither_it_nor_its_workers_are_left():
    async with fake_gateway_process("--first-ms", "0") as gateway:
        family = [gateway.pid, *(child.pid for child in psutil.Process(gateway.pid).children(recursive=True))]
    assert len(family) == 2
    assert not [pid for pid in family if psutil.pid_exists(pid)]


async def test_its_core_is_its_workers_too():
    core = max(os.sched_getaffinity(0))
    async with fake_gateway_process("--core", str(core)) as gateway:
        family = [gateway.pid, *(child.pid for child in psutil.Process(gateway.pid).children())]
        assert [os.sched_getaffinity(pid) for pid in family] == [{core}] * 2


async def test_what_cannot_start_says_so(capfd):
    with pytest.raises(RadserveError, match="did not start"):
        async with running_fake_gateway("--max-runing", "3"):
            pass
    assert "max-runing" in capfd.readouterr().err


async def test_a_signal_ends_it_well():
    words = (sys.executable, "-m", "radserve_bench.fake_gateway", "--port", "0", "--log-level", "warning")
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    line = (await process.stdout.readline()).decode()
    assert line.split()[0] == "gateway" and line.split()[1].startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
