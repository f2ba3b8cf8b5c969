"""`radserve demo`: bring everything up on a free port, ask a real CT slice some questions, and end."""

import asyncio
import importlib.util
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from radserve_client.client import AsyncClient
from radserve_client.errors import RadserveError
from radserve_client.progress import Progress
from radserve_client.telling import ask_aloud, tell_record, tell_warnings

# A 512 × 512 head CT in JPEG 2000 that pydicom's package brings along (MIT licence).
_SAMPLE = ("data", "test_files", "J2K_pixelrep_mismatch.dcm")
_QUESTIONS = (
    "What modality is used to take this image?",
    "In what plane is this image?",
    "What is the main organ in the image?",
    "what imaging modality was used to take this image?",
)
_START_S, _STOP_S = 120.0, 30.0


def demo(image: Path | None, out: Path) -> None:
    """Raises RadserveError when something of the chain does not work on this machine."""
    asyncio.run(_demo(image or _sample(), out))


async def _demo(image: Path, out: Path) -> None:
    url = f"http://127.0.0.1:{_free_port()}"
    async with _server(url), AsyncClient(url) as client:
        (engine,) = await client.models()
        print(f"Engine   {engine['id']}, {engine['clinical']['digest']}")
        print(f"         {engine['clinical']['intended_use']}")
        print(f"Image    {image.name}, {image.stat().st_size:,} bytes\n")
        for question in _QUESTIONS:
            print(f"Q  {question}")
            answer = await ask_aloud(client, [image], question)
            print()
        print("What the server adds to each of these answers")
        tell_warnings(answer)
        rendered = await client.render(image)
    out.mkdir(parents=True, exist_ok=True)
    picture = out / "what-the-model-saw.png"
    picture.write_bytes(rendered.png)
    print("\nWhat the model saw, and how it came about (the rendering record)")
    tell_record(answer.clinical["images"][0])
    print(f"\nThe same as a picture: {picture}")
    print("This model is small and for demonstration: do not use its answers for any patient.")


@asynccontextmanager
async def _server(url: str) -> AsyncIterator[None]:
    port = url.rpartition(":")[2]
    command = (sys.executable, "-m", "radserve_client", "up", "--port", port)
    began = time.monotonic()
    server = await asyncio.create_subprocess_exec(
        *command, "--log-level", "warning", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        with Progress("Starting Triton and the gateway"):
            async with AsyncClient(url) as client:
                await _until_ready(client, server)
        print(f"Ready    gateway → Triton → OpenVINO, {time.monotonic() - began:.1f} s after the start")
        yield
    finally:
        if server.returncode is None:
            server.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(server.wait(), _STOP_S)
    if status:
        raise RadserveError(f"the server ended with status {status}")


async def _until_ready(client: AsyncClient, server: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + _START_S
    while not await client.ready():
        if server.returncode is not None:
            raise RadserveError("the server did not start; `radserve doctor` says what is missing")
        if time.monotonic() > deadline:
            raise RadserveError(f"the server was not ready within {_START_S:g} s")
        await asyncio.sleep(0.1)


def _sample() -> Path:
    spec = importlib.util.find_spec("pydicom")
    if spec is None or spec.origin is None:
        raise RadserveError("pydicom is missing: pip install 'radserve[server,cpu]'")
    return Path(spec.origin).parent.joinpath(*_SAMPLE)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
