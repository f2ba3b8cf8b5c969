"""The Triton client against a gRPC server that speaks Triton's protocol, in a process that can be killed."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from radserve_server.backend import EngineUnavailable, Question, QuestionRefused
from radserve_server.errors import Overloaded
from radserve_server.triton import TritonBackend

pytestmark = pytest.mark.timed

TRITON = textwrap.dedent(
    """
    import asyncio, json, struct, sys
    import grpc
    from tritonclient.grpc import service_pb2 as pb, service_pb2_grpc

    counts = {"running": 0, "cancelled": 0}

    def text(value):
        return struct.pack("<I", len(value.encode())) + value.encode()

    def respond(answer, reason="", timings="", ids=(), logprobs=(), confidence=""):
        response = pb.ModelInferResponse(model_name="clinical_vqa")
        values = [("text", text(answer)), ("token_ids", struct.pack(f"<{len(ids)}i", *ids)),
                  ("logprobs", struct.pack(f"<{len(logprobs)}f", *logprobs)),
                  ("finish_reason", text(reason)), ("timings", text(timings)),
                  ("confidence", text(confidence))]
        for name, raw in values:
            response.outputs.add(name=name)
            response.raw_output_contents.append(raw)
        return pb.ModelStreamInferResponse(infer_response=response)

    class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
        async def ModelStreamInfer(self, requests, context):
            async for request in requests:
                raw = {i.name: (list(i.shape), r) for i, r in zip(request.inputs, request.raw_input_contents)}
                messages, sampling = (json.loads(raw[name][1][4:]) for name in ("messages", "sampling"))
                if not messages:
                    about = {"engine": {"name": "wire"}, "digest": "sha256:1", "waiting": 0, **counts}
                    about["running"] = counts["running"] * 100 + counts["cancelled"]
                    yield respond(json.dumps(about), "stop")
                    continue
                if sampling.get("stop") == ["refuse"]:
                    detail = {"code": "invalid_sampling", "message": "no", "param": "stop"}
                    yield pb.ModelStreamInferResponse(error_message=json.dumps(detail))
                    continue
                if sampling.get("stop") == ["busy"]:
                    yield pb.ModelStreamInferResponse(error_message='{"code": "overloaded", "message": "full"}')
                    continue
                if sampling.get("stop") == ["crash"]:
                    yield pb.ModelStreamInferResponse(error_message="Stub process is not healthy")
                    continue
                counts["running"] += 1
                done = False
                try:
                    shapes = [raw["pixels"][0], raw["image_sizes"][0], len(raw["pixels"][1])]
                    yield respond(json.dumps(shapes), ids=(1, 2), logprobs=(-0.5, -1.0))
                    await asyncio.sleep(sampling.get("seed", 0))
                    yield respond("", "stop", '{"prompt_tokens": 3}', confidence='{"confidence": 0.5}')
                    done = True
                finally:
                    counts["running"] -= 1
                    counts["cancelled"] += not done

    async def main():
        server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Triton(), server)
        port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
        await server.start()
        print(port, flush=True)
        await server.wait_for_termination()

    asyncio.run(main())
    """
)


def start_triton(port="0"):
    command = [sys.executable, "-c", TRITON, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


@pytest.fixture
def triton():
    process, port = start_triton()
    yield process, port
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
async def backend(triton):
    backend = TritonBackend(f"127.0.0.1:{triton[1]}")
    yield backend
    await backend.close()


def ask(*images, **sampling):
    return Question(({"role": "user", "content": "Well?"},), images, sampling)


async def until(wanted, within_s):
    began = time.monotonic()
    while not await wanted():
        assert time.monotonic() - began < within_s, f"still not so after {within_s} s"
        await asyncio.sleep(0.01)


async def test_an_answer_comes_delta_by_delta_with_ids_logprobs_and_timings(backend):
    first, last = [delta async for delta in backend.stream(ask())]
    assert (first.token_ids, first.logprobs, first.finish_reason) == ((1, 2), (-0.5, -1.0), "")
    assert (last.finish_reason, last.timings) == ("stop", {"prompt_tokens": 3})
    assert (first.confidence, last.confidence) == (None, {"confidence": 0.5})


async def test_images_travel_as_one_array_with_their_sizes(backend):
    images = (np.zeros((2, 3, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))
    assert json.loads((await anext(backend.stream(ask(*images)))).text) == [[78], [2, 2], 78]
    assert json.loads((await anext(backend.stream(ask()))).text) == [[0], [0, 2], 0]


async def test_the_engine_describes_itself(backend):
    described = await backend.describe()
    assert (described.name, described.digest, described.running) == ("wire", "sha256:1", 0)


async def test_closing_the_generator_cancels_in_the_engine(backend):
    stream = backend.stream(ask(seed=60))
    await anext(stream)
    assert (await backend.describe()).running == 100
    await stream.aclose()

    async def cancelled():
        return (await backend.describe()).running == 1

    await until(cancelled, 0.5)


async def test_cancelling_the_reader_cancels_in_the_engine(backend):
    async def read():
        async with contextlib.aclosing(backend.stream(ask(seed=60))) as stream:
            async for _ in stream:
                pass

    reader = asyncio.create_task(read())

    async def running():
        return (await backend.describe()).running == 100

    async def cancelled():
        return (await backend.describe()).running == 1

    await until(running, 2)
    reader.cancel()
    await until(cancelled, 0.5)


async def test_streams_share_a_connection(backend, triton):
    async def read():
        return [delta async for delta in backend.stream(ask(seed=1))]

    def sockets():
        names = [
            os.readlink(f"/proc/{triton[0].pid}/fd/{fd}") for fd in os.listdir(f"/proc/{triton[0].pid}/fd")
        ]
        return sum(name.startswith("socket:") for name in names)

    await backend.describe()
    before, began = sockets(), time.monotonic()
    answers = await asyncio.gather(*(read() for _ in range(150)))
    assert all(len(answer) == 2 for answer in answers)
    assert time.monotonic() - began < 4
    assert sockets() == before


async def test_the_engine_s_own_errors_keep_their_code(backend):
    with pytest.raises(QuestionRefused) as refused:
        await anext(backend.stream(ask(stop=["refuse"])))
    assert (refused.value.code, refused.value.message, refused.value.param) == (
        "invalid_sampling",
        "no",
        "stop",
    )
    with pytest.raises(Overloaded):
        await anext(backend.stream(ask(stop=["busy"])))
    with pytest.raises(EngineUnavailable):
        await anext(backend.stream(ask(stop=["crash"])))


async def test_a_killed_triton_is_noticed_at_once_and_found_again_when_it_is_back(backend, triton):
    process, port = triton
    stream = backend.stream(ask(seed=60))
    await anext(stream)
    process.kill()
    process.wait()
    began = time.monotonic()
    with pytest.raises(EngineUnavailable):
        await anext(stream)
    assert time.monotonic() - began < 0.5
    with pytest.raises(EngineUnavailable):
        await backend.describe()
    again, _ = start_triton(port)
    try:

        async def back():
            with contextlib.suppress(EngineUnavailable):
                return (await backend.describe()).name == "wire"

        await until(back, 3)
        assert len([delta async for delta in backend.stream(ask())]) == 2
    finally:
        again.kill()
        again.wait()
        again.stdout.close()


async def test_a_triton_that_freezes_is_noticed_within_two_seconds(backend, triton):
    """Its connection stays open, so only unanswered pings tell."""
    stream = backend.stream(ask(seed=60))
    await anext(stream)
    os.kill(triton[0].pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(EngineUnavailable):
        await anext(stream)
    assert time.monotonic() - began < 2
