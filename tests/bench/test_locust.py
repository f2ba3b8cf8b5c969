"""benchmarks/locustfile.py, run by locust itself: without a head, by stages, and from its web page."""

import itertools
import json
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

if find_spec("locust") is None:  # importing it would put gevent's sockets under every other test
    pytest.skip("locust is not installed: radserve[load] brings it", allow_module_level=True)

LOCUSTFILE = Path(__file__).parents[2] / "benchmarks" / "locustfile.py"
FIRST_S, TOKEN_S, TOKENS = 0.2, 0.02, 8


class Scheduled(BaseHTTPRequestHandler):
    """Takes images; answers questions on a schedule, or fails as `behaviour(number)` says."""

    protocol_version = "HTTP/1.1"
    behaviour: Callable[[int], str] = staticmethod(lambda number: "answer")
    numbers: Iterator[int]
    asked: list[dict[str, Any]]

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._reply(200, {"object": "list", "data": [{"id": "scheduled"}]})

    def do_POST(self) -> None:
        began = time.perf_counter()
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/images":
            self._reply(201, {"image_id": f"img_{hash(body)}"})
            return
        self.asked.append(json.loads(body))
        behaviour = self.behaviour(next(self.numbers))
        if behaviour == "refuse":
            self._reply(429, {"error": {"message": "too busy: ask again", "code": "overloaded"}})
            return
        self._stream(began, behaviour)

    def _reply(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, began: float, behaviour: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        for index in range(TOKENS):
            if index == 4 and behaviour == "rubbish":
                self._event(["no event"])
            if index == 4 and behaviour == "cut":
                self.close_connection = True
                return
            if index == 4 and behaviour == "error":
                self._event({"error": {"message": "the engine broke"}})
                break
            time.sleep(max(began + FIRST_S + index * TOKEN_S - time.perf_counter(), 0))
            self._event({"choices": [{"delta": {"content": "word "}}]})
        else:
            self._event({"choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": TOKENS}})
            self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, value: Any) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Readers whose time is up hang up in the middle of an answer."""


@contextmanager
def scheduled(behaviour: Callable[[int], str] = lambda number: "answer") -> Iterator[tuple[str, list[Any]]]:
    """Its address, and the questions that it was asked."""
    asked: list[Any] = []
    more = {"behaviour": staticmethod(behaviour), "numbers": itertools.count(), "asked": asked}
    server = Server(("127.0.0.1", 0), type("Handler", (Scheduled,), more))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def locust(*words: str) -> list[str]:
    return [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *words]


def headless(url: str, tmp_path: Path, *words: str) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """Exit status, locust's rows by "metric name", and what --records kept."""
    rows, records = tmp_path / "rows", tmp_path / "records.jsonl"
    command = locust("--headless", "-H", url, "--json-file", str(rows), "--records", str(records), *words)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    written = rows.with_suffix(".json")
    assert written.exists(), done.stderr
    kept = records.read_text().splitlines() if records.exists() else []
    by_name = {f"{row['method']} {row['name']}": row for row in json.loads(written.read_text())}
    return done.returncode, by_name, [json.loads(line) for line in kept]


@pytest.mark.timed
def test_events_are_timed_as_they_arrive(tmp_path: Path) -> None:
    """A reader that waits for a full buffer would see the first text of such a short answer at its end."""
    with scheduled() as (url, asked):
        words = ("-u", "2", "-r", "2", "-t", "4s", "--questions", "2", "--tokens", str(TOKENS))
        status, rows, records = headless(url, tmp_path, *words)
    assert status == 0
    assert statistics.median(one["first_ms"] for one in records) == pytest.approx(1e3 * FIRST_S, rel=0.1)
    assert statistics.median(one["itl_ms"] for one in records) == pytest.approx(1e3 * TOKEN_S, rel=0.1)
    for name in ("TTFT first question", "TTFT later question", "ITL first question", "e2e later question"):
        assert rows[name]["num_requests"] > 4, name
    assert rows["upload image"]["num_requests"] == pytest.approx(
        rows["e2e first question"]["num_requests"], abs=2
    )
    assert asked[0]["max_tokens"] == TOKENS and asked[0]["ignore_eos"] is True


def test_each_failure_is_one_failure_with_the_servers_words(tmp_path: Path) -> None:
    faults = ("refuse", "error", "cut", "rubbish")
    with scheduled(lambda number: faults[number // 2 % 4] if number % 2 else "answer") as (url, _):
        words = ("-u", "1", "-t", "5s", "--questions", "1", "--tokens", str(TOKENS))
        status, rows, records = headless(url, tmp_path, *words)
    assert status == 1
    failed = [one["error"] for one in records if one["error"]]
    answered = [one for one in records if not one["error"]]
    assert len(failed) == pytest.approx(len(answered), abs=1)
    assert rows["e2e first question"]["num_failures"] == len(failed)
    assert rows["TTFT first question"]["num_requests"] == len(answered)
    said = set(failed)
    assert {"HTTP 429: too busy: ask again", "the engine broke"} < said
    assert any(one.startswith("the answer broke off") for one in said)
    assert any(one.startswith("an event is no chat completion") for one in said)


@pytest.mark.timed
def test_a_ramp_brings_its_users_and_ends_the_test(tmp_path: Path) -> None:
    with scheduled() as (url, _):
        began = time.monotonic()
        status, _, records = headless(url, tmp_path, "--ramp", "1:2,4:2", "--questions", "1")
        took = time.monotonic() - began
    assert status == 0 and 4 < took < 20
    start = min(one["began"] for one in records)
    early = [one for one in records if one["began"] < start + 1.5]
    late = [one for one in records if start + 2.5 < one["began"] < start + 4.0]
    assert len(late) > 2 * len(early)


def test_each_study_has_other_pixels_in_each_of_two_processes(tmp_path: Path) -> None:
    with scheduled() as (url, asked):
        words = ("-u", "2", "-r", "2", "-t", "4s", "--questions", "2", "--inline", "--processes", "2")
        _, rows, records = headless(url, tmp_path, *words)
    images = [one["messages"][0]["content"][0]["image_url"]["url"] for one in asked]
    assert len(images) > 8 and all(image.startswith("data:application/dicom;base64,") for image in images)
    times_sent = [images.count(image) for image in set(images)]
    assert max(times_sent) <= 2 and statistics.mean(times_sent) > 1.2
    counted = sum(row["num_requests"] for name, row in rows.items() if name.startswith("e2e"))
    assert counted == pytest.approx(len(records), abs=2) and len(records) > 8


def test_a_server_that_is_not_there_ends_the_test_with_a_reason() -> None:
    command = locust("--headless", "-H", "http://127.0.0.1:1", "-t", "30s")
    done = subprocess.run(command, capture_output=True, text=True, timeout=25)
    assert done.returncode == 1
    assert "does not tell its model" in done.stderr


@contextmanager
def web_page(url: str) -> Iterator[httpx.Client]:
    """locust with its page on a free port of this machine; up when this begins, gone when it ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = locust(
        "-H", url, "--web-host", "127.0.0.1", "--web-port", str(port), "--api-key", "not-to-be-seen"
    )
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as page:
            until(lambda: is_up(page))
            yield page
    finally:
        process.terminate()
        process.wait(20)


def is_up(page: httpx.Client) -> bool:
    try:
        return page.get("/").is_success
    except httpx.TransportError:
        return False


def until(holds: Callable[[], object], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"not so after {within_s} s"
        time.sleep(0.2)


def test_the_web_page_starts_and_stops_readers_and_shows_ttft() -> None:
    def rows(page: httpx.Client) -> dict[tuple[str, str], Any]:
        return {(row["method"], row["name"]): row for row in page.get("/stats/requests").json()["stats"]}

    with scheduled() as (url, _), web_page(url) as page:
        front = page.get("/").text
        assert "questions" in front and "not-to-be-seen" not in front
        swarm = {"user_count": 2, "spawn_rate": 2, "host": url, "questions": 2, "tokens": TOKENS}
        assert page.post("/swarm", data=swarm).json()["success"]
        until(lambda: rows(page).get(("TTFT", "later question"), {"num_requests": 0})["num_requests"] > 4)
        ttft = rows(page)["TTFT", "later question"]
        assert ttft["avg_response_time"] == pytest.approx(1e3 * FIRST_S, rel=0.25)
        page.post("/stop")
        until(lambda: page.get("/stats/requests").json()["state"] == "stopped")
        assert rows(page)["e2e", "later question"]["num_failures"] == 0


def test_the_page_for_operators_names_no_option_that_is_not_there() -> None:
    page = (LOCUSTFILE.parents[1] / "docs" / "load-tests.md").read_text()
    helped = subprocess.run(locust("--help"), capture_output=True, text=True, timeout=30).stdout
    helped += LOCUSTFILE.read_text()  # locust's help has only its own options
    commands = [line for line in page.splitlines() if line.startswith("    locust ")]
    told = {word for line in commands for word in re.findall(r"(?<= )--?[a-z-]+", line)}
    assert len(commands) >= 4 and {"--ramp", "--think", "-u"} <= told
    assert [option for option in sorted(told) if not re.search(rf"{option}\b", helped)] == []
