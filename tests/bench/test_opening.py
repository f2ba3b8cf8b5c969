"""What a user names is who is asked, and gets the key that is meant for it."""

import pytest

from radserve_bench.errors import BenchError
from radserve_bench.targets.openai import OpenAITarget
from radserve_bench.targets.opening import open_target
from radserve_bench.targets.server import ServerTarget
from radserve_bench.targets.triton import TritonTarget


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("http://127.0.0.1:8000", ServerTarget),
        ("http://localhost:8000/", ServerTarget),
        ("https://radserve.example/ai", ServerTarget),
        ("http://127.0.0.1:8000/v1", OpenAITarget),
        ("https://api.example/v1/", OpenAITarget),
        ("triton://127.0.0.1:8001", TritonTarget),
    ],
)
async def test_each_form_is_its_own_target(text, kind):
    target = open_target(text, name="column")
    assert type(target) is kind and target.name == "column"
    assert open_target(text).name == text
    await target.close()


def test_pytorch_is_a_target():
    kind = pytest.importorskip("radserve_bench.targets.torch", reason="the PyTorch baseline is not installed")
    assert isinstance(open_target("torch"), kind.TorchTarget)


@pytest.mark.parametrize(
    "text", ["", "server", "127.0.0.1:8000", "ftp://host:1", "http://", "http://host:port"]
)
def test_anything_else_is_told(text):
    with pytest.raises(BenchError, match="triton://host:port"):
        open_target(text)


async def test_no_key_goes_to_the_others_address(schedule, monkeypatch):
    monkeypatch.setenv("RADSERVE_API_KEY", "ours")
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    async with schedule(first_s=0) as server:
        target = open_target(server.url)
        await target.open()
        await target.close()
        assert {one["Authorization"] for one in server.headers} == {"Bearer theirs"}
        server.headers.clear()
        target = open_target(server.url.removesuffix("/v1"))
        with pytest.raises(BenchError):
            await target.open()
        await target.close()
        assert {one["Authorization"] for one in server.headers} == {"Bearer ours"}
