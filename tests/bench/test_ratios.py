"""The ratios are what their formulas say, and the stream reader reads what a server sends."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from radserve_bench.ratio_report import (
    BaselineRounds,
    Compared,
    EngineRounds,
    build_document,
    engine_rows,
    markdown,
)
from radserve_bench.wire import post
from radserve_engines.assets import demo_checkpoint, demo_engine
from radserve_engines.errors import ManifestError

EVENTS = b'data: {"a": 1}\n\ndata: {"b": "line"}\n\ndata: [DONE]\n\n'


@asynccontextmanager
async def server(status: bytes, *chunks: bytes) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\ntransfer-encoding: chunked\r\n\r\n")
        for chunk in (*chunks, b""):
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize("cut", [1, 7, 20, len(EVENTS)])
async def test_events_are_whole_wherever_the_chunks_are_cut(cut: int) -> None:
    chunks = [EVENTS[at : at + cut] for at in range(0, len(EVENTS), cut)]
    async with server(b"200 OK", *chunks) as url:
        assert [event async for event in post(url, {})] == [{"a": 1}, {"b": "line"}]


async def test_a_refusal_is_an_error_not_an_empty_answer() -> None:
    async with server(b"503 Service Unavailable", b"busy") as url:
        with pytest.raises(RuntimeError, match="503"):
            _ = [event async for event in post(url, {})]


def test_ratios_pair_the_rounds() -> None:
    baseline = BaselineRounds(ttft=[0.08, 0.06], rate=[100.0, 80.0])
    found = EngineRounds(
        ttft=[0.02, 0.03],
        triton_ttft=[0.018, 0.025],
        rate=[600.0, 800.0],
        single_rate=[200.0, 80.0],
        added=[0.002, 0.005],
    )
    rows = engine_rows(found, baseline)
    assert rows["baseline TTFT / server TTFT"] == {"median": 3.0, "min": 2.0, "max": 4.0}
    assert rows["server tokens/s at 8 / baseline tokens/s"]["median"] == 8.0
    assert rows["server tokens/s, one stream / baseline tokens/s"]["median"] == 1.5
    assert rows["gateway adds to TTFT, ms"]["max"] == 5.0


def test_several_engines_stand_side_by_side(tmp_path: Path) -> None:
    """Each with its own figures and size, told apart by folder even when the folders' names are the same."""
    baseline = BaselineRounds(ttft=[0.08], rate=[100.0])
    engines = []
    for place, faster in (("a", 2.0), ("b", 4.0)):
        folder = tmp_path / place / "engine"
        shutil.copytree(demo_engine(), folder)
        found = EngineRounds([0.08 / faster], [0.01], [100.0 * faster], [100.0], [0.001])
        engines.append(Compared(folder, f"sha256:{place}", found))
    document = build_document(baseline, engines, demo_engine(), 1, 32)
    assert list(document["engines"]) == ["a/engine", "b/engine"]
    table = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in markdown(document).splitlines()}
    assert [float(cell.split()[0]) for cell in table["baseline TTFT / server TTFT"]] == [2.0, 4.0]
    size = sum(path.stat().st_size for path in demo_engine().glob("*.bin")) / 1e6
    assert [float(cell) for cell in table["weights, MB"]] == pytest.approx([size, size], abs=0.01)
    assert json.loads(json.dumps(document)) == document


def test_an_engine_of_another_checkpoint_is_no_measure(tmp_path: Path) -> None:
    ratios = pytest.importorskip("radserve_bench.ratios", reason="the PyTorch baseline is not installed")
    ratios.refuse_strangers([demo_engine()], demo_checkpoint())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ManifestError, match="--checkpoint"):
        ratios.refuse_strangers([demo_engine()], tmp_path)
