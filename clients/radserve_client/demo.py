"""`radserve demo`: bring everything up on a free port, ask a real CT slice some questions, and end."""

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from radserve_client.client import AsyncClient
from radserve_client.errors import RadserveError
from radserve_client.running import Server, running_server
from radserve_client.telling import ask_aloud, tell_record, tell_warnings

# A 512 × 512 head CT in JPEG 2000 that pydicom's package brings along (MIT licence).
_SAMPLE = ("data", "test_files", "J2K_pixelrep_mismatch.dcm")
_QUESTIONS = (
    "What modality is used to take this image?",
    "In what plane is this image?",
    "What is the main organ in the image?",
    "what imaging modality was used to take this image?",
)


def demo(image: Path | None, out: Path) -> None:
    """Raises RadserveError when something of the chain does not work on this machine."""
    asyncio.run(_demo(image or _sample(), out))


async def _demo(image: Path, out: Path) -> None:
    async with _server() as server, AsyncClient(server.url) as client:
        (engine,) = await client.models()
        print(f"Engine   {engine['id']}, {engine['clinical']['digest']}")
        print(f"         {engine['clinical']['intended_use']}")
        print(f"Image    {image.name}, {image.stat().st_size:,} bytes\n")
        image_id = await client.upload(image)
        for question in _QUESTIONS:
            print(f"Q  {question}")
            answer = await ask_aloud(client, [image_id], question)
            print()
        print("What the server adds to each of these answers")
        tell_warnings(answer)
        (rendered,) = await client.render(image)
    out.mkdir(parents=True, exist_ok=True)
    picture = out / "what-the-model-saw.png"
    picture.write_bytes(rendered.png)
    print("\nWhat the model saw, and how it came about (the rendering record)")
    tell_record(answer.clinical["images"][0])
    print(f"\nThe same as a picture: {picture}")
    print("This model is small and for demonstration: do not use its answers for any patient.")


@asynccontextmanager
async def _server() -> AsyncIterator[Server]:
    began = time.monotonic()
    async with running_server() as server:
        print(f"Ready    gateway → Triton → OpenVINO, {time.monotonic() - began:.1f} s after the start")
        yield server


def _sample() -> Path:
    spec = importlib.util.find_spec("pydicom")
    if spec is None or spec.origin is None:
        raise RadserveError("pydicom is missing: pip install 'radserve[server,cpu]'")
    return Path(spec.origin).parent.joinpath(*_SAMPLE)
