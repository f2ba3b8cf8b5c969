"""What a stranger types, and what befalls a run: told in a line, with a true exit status, nothing left behind."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from radserve_client.cli import main

BENCH = (sys.executable, "-m", "radserve_client", "bench")
BRIEF = ("--workload", "text", "--closed", "1", "--requests", "1", "--rounds", "1", "--tokens", "4")


def said(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BENCH, *words], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


@pytest.fixture(scope="module")
def gateway(fake_gateway) -> Iterator[str]:
    with fake_gateway("--first-ms", "20") as url:
        yield url


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--quick", "--closed", "4", "--tokens", "8"], "--closed, --tokens"),
        (["--quick", "--scale"], "--quick"),
        (["--tokens", "-1"], "--tokens"),
        (["--slo-ttft", "nan"], "--slo-ttft"),
        (["--price-per-hour", "-2"], "--price-per-hour"),
        (["--seconds", "5"], "--open"),
        (["--open", "1", "--requests", "4"], "--seconds"),
    ],
)
def test_options_without_sense_or_effect_are_wrong_usage(words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "http://127.0.0.1:9", *words])
    assert ended.value.code == 2 and told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["http://127.0.0.1:9", "--model", "tuned"], "--model"),
        (["http://127.0.0.1:9", "--checkpoint", "merged"], "--checkpoint"),
        (["http://127.0.0.1:9", "--trusted-keys", "my.pub"], "--trusted-keys"),
        (["http://127.0.0.1:9", "triton"], "triton://host:port"),
        (["triton://127.0.0.1"], "port"),
        (["server", "127.0.0.1:8000"], "an engine's folder"),
        (["server", "tests"], "engine.json"),
        (["http://127.0.0.1:9", "--open", "0.01", "--seconds", "2"], "--seconds"),
        (["http://127.0.0.1:9"], "refused"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line_before_anything_is_started(words, told, tmp_path, capsys):
    began = time.monotonic()
    assert main(["bench", *words, "--out", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert time.monotonic() - began < 10 and not list(tmp_path.iterdir())


def test_a_report_has_a_folder_that_can_be_written(gateway, tmp_path):
    (tmp_path / "file").write_text("")
    done = said(gateway, *BRIEF, "--out", str(tmp_path / "file"))
    assert done.returncode == 1 and str(tmp_path / "file") in done.stderr and "Traceback" not in done.stderr


def test_a_new_report_does_not_keep_the_plots_of_an_old_one(gateway, tmp_path):
    (tmp_path / "scale.png").write_text("old")
    (tmp_path / "mine.png").write_text("kept")
    assert said(gateway, *BRIEF, "--out", str(tmp_path)).returncode == 0
    assert not (tmp_path / "scale.png").exists() and (tmp_path / "mine.png").exists()
    assert "](ttft.png)" in (tmp_path / "report.md").read_text() and (tmp_path / "ttft.png").exists()


def test_who_reads_only_the_first_line_gets_no_traceback(gateway, tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*BENCH, gateway, *BRIEF, "--out", str(tmp_path)], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert done.returncode == 141 and "Traceback" not in done.stderr and "Broken" not in done.stderr


def test_a_terminal_of_ascii_is_written_to(gateway, tmp_path):
    done = said(gateway, *BRIEF, "--out", str(tmp_path), PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[-1])["points"]


def test_a_terminal_is_spared_the_json(gateway, tmp_path):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*BENCH, gateway, *BRIEF, "--out", str(tmp_path)], stdout=theirs, stderr=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 1 << 16):
                shown += data
        except OSError:  # Linux's way of saying that the terminal has closed
            pass
    os.close(ours)
    assert process.returncode == 0 and b"TTFT p50" in shown and b'"points"' not in shown


async def test_a_server_that_is_always_too_busy_is_a_failure(tmp_path):
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": "m", "clinical": {"digest": "0"}}]})
        if request.path == "/v1/version":
            return web.json_response({"version": "1"})
        return web.json_response({"error": {"message": "come again"}}, status=429)

    async with serving(answer) as url:
        status, err = await ended(url, *BRIEF, "--out", str(tmp_path))
    assert status == 1 and "come again" in err.splitlines()[-1]
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["points"][0]["errors"] == {"refused": 1}


@pytest.mark.parametrize(
    ("status", "told"), [(401, "RADSERVE_API_KEY is not set"), (503, "is not ready"), (200, "no JSON")]
)
async def test_a_server_that_does_not_let_in_says_why(status, told, tmp_path):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<html>" if status == 200 else '{"error": "no"}', status=status)

    async with serving(answer) as url:
        code, err = await ended(url, *BRIEF, "--out", str(tmp_path))
    assert code == 1 and told in err and url in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_servers_start_ends_them_too(number, tmp_path):
    process = subprocess.Popen(
        [*BENCH, "server", *BRIEF, "--out", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    bench = psutil.Process(process.pid)
    while not (children := bench.children(recursive=True)):
        time.sleep(0.05)
    time.sleep(1.0)
    children = bench.children(recursive=True)
    os.killpg(process.pid, number)  # as a terminal does: to the server as well
    _, err = process.communicate(timeout=25)
    assert process.returncode == 130 and "interrupted before anything was measured" in err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert not (Path(tmp_path) / "report.json").exists()


@asynccontextmanager
async def serving(answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def ended(*words: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "RADSERVE_API_KEY"}
    process = await asyncio.create_subprocess_exec(
        *BENCH, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=environment
    )
    _, err = await process.communicate()
    return process.returncode, err.decode()


async def test_a_run_that_cannot_go_on_keeps_what_is_finished(tmp_path):
    """The third answer and all after it come without usage, and their tokens cannot be counted."""
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        await request.read()
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": "m"}]})
        asked += 1
        usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 1}} if asked <= 4 else {}
        events = [
            {"choices": [{"delta": {"content": "yes"}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}], **usage},
        ]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return web.Response(text=text, content_type="text/event-stream")

    async with serving(answer) as url:
        words = ("--workload", "text", "--closed", "1", "--requests", "1", "--rounds", "9", "--tokens", "1")
        status, err = await ended(f"{url}/v1", *words, "--out", str(tmp_path))
    assert status == 1 and "usage" in err.splitlines()[-1] and "Traceback" not in err
    document = json.loads((tmp_path / "report.json").read_text())
    cut = document["interrupted"]
    assert (cut["done"], cut["planned"]) == (2, 9) and "usage" in cut["why"]  # after a probe and the warm-up
    assert len(document["points"][0]["metrics"]["ttft_p50_ms"]["values"]) == 2
