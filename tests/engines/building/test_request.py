"""What cannot work is refused before any work, with the reason and the nearest that does."""

from pathlib import Path

import pytest

from radserve_engines.building.request import BuildRequest, choose_path
from radserve_engines.errors import BuildRefused
from radserve_engines.families import family_named, list_families
from radserve_engines.precision import ARCHITECTURES, PRECISIONS

NOWHERE = Path("nowhere")


def request(target: str, precision: str, **more: object) -> BuildRequest:
    return BuildRequest(NOWHERE, NOWHERE, target, precision, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "family", "reason", "nearest"),
    [
        (
            request("trtllm", "int8-sq"),
            "qwen2_5_vl",
            "int8-sq needs TensorRT-LLM's compiled path, and Qwen2.5-VL has the llm-api path only",
            "--target trtllm --precision int8",
        ),
        (
            request("trtllm", "nvfp4"),
            "llava",
            "nvfp4 needs TensorRT-LLM's llm-api path, and LLaVA has the compiled path only",
            "--target trtllm --precision fp8",
        ),
        (
            request("trtllm", "fp8", gpu="ampere"),
            "gemma3",
            r"FP8 \(e4m3\) runs on Ada, Hopper or Blackwell, not on Ampere",
            "--target trtllm --precision int8",
        ),
        (
            request("trtllm", "int8", kv="fp8", gpu="ampere"),
            "qwen2_5_vl",
            "FP8 KV cache needs Ada, Hopper or Blackwell",
            "--target trtllm --precision int8$",
        ),
        (
            request("trtllm", "fp8", kv="int8"),
            "qwen2_5_vl",
            "no INT8 KV cache",
            "--target trtllm --precision fp8 --kv fp8",
        ),
        (
            request("openvino", "fp8"),
            "qwen2_5_vl",
            r"OpenVINO on a CPU has no FP8 \(e4m3\): it takes bf16, int8, int4-awq",
            "--target openvino --precision int8",
        ),
        (
            request("openvino", "int8", kv="fp8"),
            "qwen2_5_vl",
            "no FP8 KV cache",
            "--target openvino --precision int8 --kv int8",
        ),
        (
            request("openvino", "int8"),
            "llava",
            "LLaVA has no OpenVINO export",
            "--target torch --precision int8",
        ),
        (
            request("torch", "int4-gptq"),
            "llava",
            "ModelOpt has no recipe",
            "--target torch --precision int4-awq",
        ),
        (request("torch", "fp8", tensor_parallel=2), "llava", "--tensor-parallel is for --target trtllm", ""),
    ],
)
def test_a_combination_that_cannot_work_is_refused_with_the_nearest(
    asked: BuildRequest, family: str, reason: str, nearest: str
) -> None:
    with pytest.raises(BuildRefused, match=f"{reason}.*{nearest}"):
        choose_path(asked, family_named(family))


def test_whatever_is_named_as_nearest_works() -> None:
    """Over every family, target, precision, cache and GPU: what the refusal recommends is not refused."""
    refused = 0
    for family in list_families():
        for target in ("trtllm", "openvino", "torch"):
            for precision in PRECISIONS:
                for kv in (None, "fp8", "int8"):
                    for gpu in ARCHITECTURES:
                        asked = request(target, precision, kv=kv, gpu=gpu)
                        try:
                            choose_path(asked, family)
                        except BuildRefused as error:
                            refused += 1
                            words = str(error).partition("the nearest that works: ")[2].split()
                            assert words, f"{family.name}: nothing is recommended: {error}"
                            found = dict(zip(words[::2], words[1::2], strict=True))
                            choose_path(
                                request(
                                    found["--target"], found["--precision"], kv=found.get("--kv"), gpu=gpu
                                ),
                                family,
                            )
    assert refused > 1000


def test_the_paths_of_what_works() -> None:
    paths = {
        ("qwen2_5_vl", "fp8"): "llm-api",
        ("qwen2_vl", "fp8"): "llm-api",
        ("qwen2_vl", "int8-sq"): "compiled",
        ("llava", "int4-awq"): "compiled",
        ("blip-2", "int8-sq"): "compiled",
        ("gemma3", "nvfp4"): "llm-api",
    }
    for (family, precision), path in paths.items():
        assert choose_path(request("trtllm", precision), family_named(family)) == path
    assert choose_path(request("torch", "fp8"), family_named("llava")) is None
