"""All targets on the whole chain: gateway, Triton and the demo engine, as `radserve up` starts them."""

from itertools import islice

import psutil
import pytest

from radserve_bench.targets.openai import OpenAITarget
from radserve_bench.targets.server import ServerTarget
from radserve_bench.targets.triton import TritonTarget
from radserve_bench.workloads.catalogue import workload_named
from radserve_client.running import running_server
from radserve_engines.assets import demo_engine
from radserve_engines.manifest import read_manifest

pytestmark = pytest.mark.timed


async def test_server_openai_and_triton_on_the_demo_engine():
    """Three ways to one engine: the same digest, the same prompt, the length that was asked, a split that fits."""
    async with running_server() as up:
        targets = [
            ServerTarget("server", up.url),
            OpenAITarget("openai", f"{up.url}/v1"),
            TritonTarget("triton", up.triton_url),
        ]
        try:
            await check_descriptions(targets)
            for name in ("ct-slice", "series", "text"):
                await check_answers(targets, name)
            check_processes(targets)
        finally:
            for target in targets:
                await target.close()


async def check_descriptions(targets):
    told = [await target.open() for target in targets]
    assert {one.digest for one in told} == {read_manifest(demo_engine()).digest}
    assert {one.model for one in told} == {"radserve-demo"}
    assert (
        told[0].details["policy_sha256"]
        == told[1].details["policy_sha256"]
        == told[2].details["policy_sha256"]
    )


async def check_answers(targets, name):
    prompts = {}
    for seed, target in enumerate(targets, 1):
        made = list(islice(workload_named(name).visits(seed), 3))
        await target.prepare(made)
        for visit in made:
            reply = await target.begin(visit).ask(visit.questions[0], 12)
            assert reply.tokens == 12 and reply.sent < reply.first <= reply.end
            assert 0.5 < sum(reply.split.values()) / (1000 * (reply.end - reply.sent)) <= 1.000001
            if name != "text":  # its questions differ in length
                prompts[target.name] = reply.prompt_tokens
                assert reply.split["vision"] > 1
    assert len(set(prompts.values())) <= 1


def check_processes(targets):
    """Triton is among what the gateway's process started, and is found by its own port."""
    server, openai, triton = (target.processes() for target in targets)
    (gateway,), (engine,) = server, triton
    assert openai == server
    assert engine in {child.pid for child in psutil.Process(gateway).children(recursive=True)}
    assert "triton" in psutil.Process(engine).name()
