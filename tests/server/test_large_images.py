"""While large images arrive and decode, the gateway stays awake, and a small image is not stuck behind them.

The gateway and each client are processes of their own, so that none waits for another's interpreter; for that
this file runs itself. `pytest -s` prints the figures; what is asserted are ratios to what one large image takes.
"""

import base64
import io
import json
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pytest
import uvicorn
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless

from radserve_server.app import create_app
from radserve_server.fake import FakeBackend
from radserve_server.serve import configure
from radserve_server.settings import Settings

pytestmark = pytest.mark.timed

LARGE = 8
EVERY_S = 0.005
DICOM = "application/dicom"


@cache
def x_ray(rows: int, columns: int, syntax: str, bits: int = 15) -> bytes:
    """Smooth, with a detector's noise. As a CT: its values must be exact, so it is decoded at full resolution."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    shape = (np.sin(x / 300) * np.cos(y / 200) + 1) * 2 ** (bits - 2)
    noise = np.random.default_rng(0).normal(0, 25, (rows, columns))
    stored = np.clip(shape + noise, 0, 2**bits - 1).astype(np.uint16)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = CTImageStorage, "1.2.826.0.1.3680043.8.498.1", "CT"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, 0
    compressed = syntax == JPEG2000Lossless
    if compressed:
        options = {"codecformat": "j2k", "reversible": True, "bitspersample": bits, "numthreads": 2}
        stored = encapsulate([imagecodecs.jpeg2k_encode(stored, **options)])
    ds.PixelData = stored if compressed else stored.tobytes()
    ds["PixelData"].VR = "OB" if compressed else "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


class Client:
    """Speaks to a gateway at `port`, from programs of its own, which are this file."""

    def __init__(self, port: str, folder: Path) -> None:
        self._port = port
        self._folder = folder

    def post(self, path: str, kind: str, body: bytes, times: int = 1) -> list[float]:
        """Seconds that each of several posts at once took; fails unless all succeed."""
        file = self._folder / f"{len(body)}"
        if not file.exists():
            file.write_bytes(body)
        command = [sys.executable, __file__, "post", self._port, path, kind, str(file), str(times)]
        answers = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        assert {status for status, _ in answers} <= {200, 201}, answers
        return [seconds for _, seconds in answers]

    @contextmanager
    def watch(self) -> Iterator[list[float]]:
        """Latencies of /health/live, in ms and ascending, measured for the time of the block."""
        latencies: list[float] = []
        command = [sys.executable, __file__, "watch", self._port]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield latencies
            out, _ = process.communicate(b"")
        latencies += sorted(1000 * seconds for seconds in json.loads(out))

    def waiting(self) -> int:
        """How many images wait for a decoding worker."""
        metrics = httpx.get(f"http://127.0.0.1:{self._port}/metrics").text
        found = re.search(r"^radserve_num_images_waiting (\S+)", metrics, re.MULTILINE)
        assert found is not None
        return int(float(found[1]))


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[Client]:
    """Of a gateway with two workers."""
    with subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        yield Client(port, tmp_path_factory.mktemp("bodies"))
        process.send_signal(signal.SIGTERM)


def p99(ascending: list[float]) -> float:
    return ascending[int(0.99 * len(ascending))]


def describe(latencies: list[float]) -> str:
    middle, most = latencies[len(latencies) // 2], latencies[-1]
    return f"/health/live p50 {middle:.1f} ms, p99 {p99(latencies):.1f} ms, most {most:.1f} ms of {len(latencies)}"


def test_a_small_image_and_the_health_check_pass_eight_large_ones(client, ct):
    """Both workers are busy when the small one comes: it waits for the first of them, and for no other."""
    large = x_ray(2500, 2048, JPEG2000Lossless)
    client.post("/v1/render", DICOM, ct)
    (alone,) = client.post("/v1/render", DICOM, large)
    with client.watch() as latencies, ThreadPoolExecutor(1) as threads:
        began = time.monotonic()
        crowd = threads.submit(client.post, "/v1/render", DICOM, large, LARGE)
        while client.waiting() < LARGE - 2:
            assert not crowd.done()
        (small,) = client.post("/v1/render", DICOM, ct)
        assert client.waiting() >= LARGE - 4, "the small one came last"
        crowd.result()
        one = (time.monotonic() - began) / (LARGE / 2)
    print(
        f"\n{len(large) / 1e6:.1f} MB of JPEG 2000: one decode {one:.2f} s beside others, {alone:.2f} s alone"
    )
    print(f"a small CT among them: {small:.3f} s. {describe(latencies)}")
    assert len(latencies) >= 200
    assert small <= 1.3 * one
    assert p99(latencies) < 1000 * one / 4


def bodies(image: bytes) -> dict[str, tuple[str, str, bytes]]:
    """One large image by each way of sending it: path, media type, body."""
    url = f"data:{DICOM};base64,{base64.b64encode(image).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Well?"}]
    chat = {"model": "fake-vqa", "messages": [{"role": "user", "content": parts}]}
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image
    form += b'\r\n--x\r\nContent-Disposition: form-data; name="question"\r\n\r\nWell?\r\n--x--\r\n'
    return {
        "raw": ("/v1/images", DICOM, image),
        "json": ("/v1/chat/completions", "application/json", json.dumps(chat).encode()),
        "form": ("/v1/vqa", "multipart/form-data; boundary=x", form),
    }


@pytest.mark.parametrize("way", ["raw", "json", "form"])
def test_the_health_check_passes_three_bodies_of_60_mb(client, way):
    path, kind, body = bodies(x_ray(5600, 5600, ExplicitVRLittleEndian))[way]
    (alone,) = client.post(path, kind, body)
    with client.watch() as latencies:
        seconds = client.post(path, kind, body, 3) + client.post(path, kind, body, 3)
    print(
        f"\n{len(body) / 1e6:.0f} MB, {way}: {min(seconds):.2f} s to {max(seconds):.2f} s. {describe(latencies)}"
    )
    assert latencies[int(0.9 * len(latencies))] < 1000 * alone / 20
    assert p99(latencies) < 1000 * alone / 2


def post(port: str, path: str, kind: str, file: str, times: str) -> list[tuple[int, float]]:
    body = Path(file).read_bytes()

    def post_once(_: int) -> tuple[int, float]:
        connection = HTTPConnection("127.0.0.1", int(port), timeout=60)
        began = time.monotonic()
        connection.request("POST", path, body, {"content-type": kind})
        response = connection.getresponse()
        response.read()
        return response.status, time.monotonic() - began

    with ThreadPoolExecutor(int(times)) as threads:
        return list(threads.map(post_once, range(int(times))))


def watch(port: str) -> list[float]:
    """From when each request was due, so that one that is held up counts for those behind it."""
    latencies = []
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        print("watching", flush=True)
        due = time.monotonic()
        while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(4096)
            latencies.append(time.monotonic() - due)
            due += EVERY_S
    return latencies


def serve() -> None:
    """Until SIGTERM; the first line says the port. It remembers no rendering, so that each is made."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    settings = Settings(render_workers=2, port=0, rendering_cache_bytes=1)
    server = uvicorn.Server(configure(settings, create_app(settings, FakeBackend())))
    server.run([listening])


if __name__ == "__main__":
    _, what, *arguments = sys.argv
    programs: dict[str, Any] = {"post": post, "watch": watch, "serve": serve}
    print(json.dumps(programs[what](*arguments)))
