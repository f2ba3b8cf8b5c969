"""The PyTorch baseline as a target: exact lengths, one at a time in order, and a death that is told with its words."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from pydicom.data import get_testdata_file

from radserve_bench.errors import BenchError
from radserve_bench.targets.protocol import Reply
from radserve_bench.visit import ImageFile, Visit
from radserve_engines.assets import demo_checkpoint
from radserve_engines.manifest import read_manifest
from radserve_imaging import ImagePolicy, render

pytest.importorskip("transformers", reason="the PyTorch baseline is not installed")
from radserve_bench.targets.prepared import model_sees
from radserve_bench.targets.torch import TorchTarget
from radserve_bench.targets.torch_process import TorchProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "What abnormality is seen in the image?"


def file_of(name: str, media_type: str = "application/dicom") -> ImageFile:
    path = Path(str(get_testdata_file(name, download=False)))
    return ImageFile(path.name, media_type, path.read_bytes())


VISIT = Visit("CT slice", (file_of("J2K_pixelrep_mismatch.dcm"),), (QUESTION, "Is this a CT?"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target() -> AsyncIterator[TorchTarget]:
    found = TorchTarget("torch", demo_checkpoint())
    await found.open()
    await found.prepare([VISIT])
    await found.begin(VISIT).ask(QUESTION, 2)  # warm
    yield found
    await found.close()


async def ask(target: TorchTarget, tokens: int | None, question: str = QUESTION) -> Reply:
    return await target.begin(VISIT).ask(question, tokens)


async def test_an_answer_has_the_length_asked_for_and_its_split_adds_up(target):
    """The model would end far sooner by itself, as its own end shows."""
    for tokens in (1, 24):
        reply = await ask(target, tokens)
        assert reply.tokens == len(reply.events) == tokens
        assert reply.sent < reply.first == reply.events[0] <= reply.events[-1] <= reply.end
        assert reply.events == sorted(reply.events)
        assert list(reply.split) == ["queue", "vision", "prefill", "decode"]
        assert all(value >= 0 for value in reply.split.values())
        assert sum(reply.split.values()) == pytest.approx(1e3 * (reply.end - reply.sent))
    assert reply.split["vision"] > 1 and reply.prompt_tokens > 64  # an image was looked at
    assert (await ask(target, None, "Is this a CT?")).tokens < 24


async def test_questions_wait_in_line_and_their_latency_counts_it(target):
    replies = await asyncio.gather(*(ask(target, 8) for _ in range(3)))
    assert [reply.first for reply in replies] == sorted(reply.first for reply in replies)
    for before, after in itertools.pairwise(replies):
        assert after.sent < before.first  # asked while the one before ran, and begun when that was done:
        assert after.sent + after.split["queue"] / 1e3 >= before.end
        assert after.first > before.end


async def test_a_cancelled_question_is_given_up_in_line_but_runs_on_once_it_is_under_way(target):
    first, second, third = (asyncio.ensure_future(ask(target, tokens)) for tokens in (24, 1000, 2))
    await asyncio.sleep(0.005)
    first.cancel()
    second.cancel()
    alone = await ask(target, 24)
    reply = await third
    assert first.cancelled() and second.cancelled() and reply.tokens == 2
    assert reply.split["queue"] > 0.5 * alone.split["decode"]  # 24 tokens were waited for …
    assert reply.split["queue"] < 10 * (alone.end - alone.sent) * 1e3  # … and not a thousand


async def test_only_what_was_prepared_is_asked(target):
    with pytest.raises(BenchError, match="not prepared"):
        await ask(target, 2, "Something else?")
    many = Visit("many", (file_of("J2K_pixelrep_mismatch.dcm"),) * 20, (QUESTION,))
    with pytest.raises(BenchError, match="many: 20 images"):
        await target.prepare([many])
    broken = Visit("broken", (ImageFile("x", "application/dicom", b"not an image"),), (QUESTION,))
    with pytest.raises(BenchError, match="broken: "):
        await target.prepare([broken])


async def test_a_question_without_images_is_asked(target):
    visit = Visit("text", (), (QUESTION,))
    await target.prepare([visit])
    reply = await target.begin(visit).ask(QUESTION, 3)
    assert reply.tokens == 3 and reply.prompt_tokens < 64


async def test_it_says_what_it_is_and_what_it_died_of():
    target = TorchTarget("torch", demo_checkpoint(), device="cpu", dtype="float32")
    try:
        description = await target.open()
        (pid,) = target.processes()
        manifest = read_manifest(demo_checkpoint())
        assert description.model == manifest.name and description.digest == manifest.digest
        assert description.details["checkpoint"] == manifest.checkpoint_sha256
        assert description.details["precision"] == "float32" and description.details["device"] == "cpu"
        assert "favour" in description.details["before the clock"]
        await target.prepare([VISIT])
        asked = asyncio.ensure_future(ask(target, 500))
        waiting = asyncio.ensure_future(ask(target, 2))
        await asyncio.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        for one in (asked, waiting):
            with pytest.raises(BenchError, match="ended with status -9"):
                await one
        with pytest.raises(BenchError, match="-9"):
            await ask(target, 2)
    finally:
        await target.close()


async def test_a_process_that_cannot_start_is_quoted(tmp_path):
    process = TorchProcess()
    with pytest.raises(BenchError, match=r"is not an engine: it has no engine\.json"):
        await process.start("radserve_bench.targets.torch_worker", [str(tmp_path), "cpu", "float32"])
    await process.stop()
    with pytest.raises(BenchError, match=r"torch: .*no engine\.json"):
        await TorchTarget("torch", tmp_path).open()


async def test_a_stack_is_shown_as_the_gateway_shows_it():
    """Whatever the order of its files, the slice chosen is one of them, rendered by the same policy."""
    folder = Path(str(get_testdata_file("DICOMDIR", download=False))).parent / "98892001" / "CT5N"
    files = [
        ImageFile(path.name, "application/dicom", path.read_bytes()) for path in sorted(folder.iterdir())
    ]
    policy = ImagePolicy()
    shown = [
        model_sees(Visit("series", tuple(order), (), stack=True), policy) for order in (files, files[::-1])
    ]
    assert len(shown[0]) == len(shown[1]) < len(files)
    assert all(np.array_equal(a, b) for a, b in zip(*shown, strict=True))
    one_by_one = [render(file.data, policy).pixels for file in files]
    assert all(any(np.array_equal(image, single) for single in one_by_one) for image in shown[0])
