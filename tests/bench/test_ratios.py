"""The ratios are what their formulas say, and the stream reader reads what a server sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from radserve_bench.wire import post

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
    ratios = pytest.importorskip("radserve_bench.ratios", reason="the PyTorch baseline is not installed")
    found = ratios.Rounds(
        baseline_ttft=[0.08, 0.06],
        server_ttft=[0.02, 0.03],
        triton_ttft=[0.018, 0.025],
        baseline_rate=[100.0, 80.0],
        server_rate=[600.0, 800.0],
        added=[0.002, 0.005],
    )
    document = ratios._document(found, {"clinical": {"digest": "sha256:0"}}, 2, 32)
    assert document["ratios"]["baseline TTFT / server TTFT"] == {"median": 3.0, "min": 2.0, "max": 4.0}
    assert document["ratios"]["server tokens/s at 8 / baseline tokens/s"]["median"] == 8.0
    assert document["gateway adds to TTFT, ms"]["max"] == 5.0
