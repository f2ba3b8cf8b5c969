"""Question sets made on the spot, engines and servers that answer them."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radserve_engines.evaluation.asking import Ask, Outcome
from radserve_engines.evaluation.judging import Judged, judge_one
from radserve_engines.vqa_data import Question

WriteSet = Callable[..., Path]

# A gateway of its own process, so that it can be killed. It says "yes", and with `seconds` takes its time over it.
SERVER = """
import socket, sys, uvicorn
from radserve_server.app import create_app
from radserve_server.fake import FakeBackend
from radserve_server.serve import configure
from radserve_server.settings import Settings

settings = Settings(render_workers=1, port=int(sys.argv[1]), log_level="warning")
backend = FakeBackend(words=("yes",), first_delay_s=float(sys.argv[2]))
uvicorn.Server(configure(settings, create_app(settings, backend))).run()
"""


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def write_set(tmp_path: Path) -> WriteSet:
    """Writes questions, two to an image, each the dict of its fields over the usual ones."""

    def write(*rows: dict[str, Any], name: str = "made/validate.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for place, row in enumerate(rows):
            image = f"{place // 2}.png"
            (path.parent / image).write_bytes(picture(place // 2))
            usual = {"id": f"q{place}", "image": image, "question": "yes", "answer": "yes"}
            about = {"answer_type": "closed", "content_type": "Organ", "modality": "CT", "body_part": None}
            lines.append(json.dumps({**usual, **about, **row}))
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def judged() -> Callable[..., Judged]:
    """One judged answer."""

    def build(
        answer: str = "yes", true: str = "yes", *, image: str = "a", closed: bool = True, **given: Any
    ) -> Judged:
        about = {name: given.pop(name, None) for name in ("modality", "content_type", "body_part")}
        identity = given.pop("id", f"{image}{answer}{true}")
        item = Question(identity, "made", image, "q", true, closed, **about)
        ask = Ask("made/validate", given.pop("condition", "original"), item, image)
        return judge_one(ask, Outcome(answer, **given))

    return build


@dataclass(frozen=True)
class Killable:
    """A server that can be killed and started again on its port."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(seconds: float, port: int) -> Iterator[Killable]:
    import httpx

    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port), str(seconds)])
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield Killable(url, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def serve() -> Callable[..., Any]:
    """`with serve(seconds=…) as server:`."""
    import socket

    def start(seconds: float = 0.0, port: int | None = None) -> Any:
        if port is None:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
        return serving(seconds, port)

    return start
