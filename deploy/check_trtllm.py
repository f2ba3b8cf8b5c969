"""What must hold before an engine is built or served with TensorRT-LLM: `python check_trtllm.py tools|arguments`."""

import shutil
import sys
from importlib.metadata import version

WANTED = "1.2.1"
TOOLS = ("tritonserver", "trtllm-llmapi-launch", "mpirun", "curl")
PACKAGES = ("tensorrt_llm", "torch", "transformers", "numpy", "nvidia-modelopt")


def check_tools() -> None:
    """NVIDIA's container, in the version that radserve was written against."""
    for name in PACKAGES:
        print(f"{name} {version(name)}")
    missing = [name for name in TOOLS if not shutil.which(name)]
    if missing:
        sys.exit(f"not on PATH: {', '.join(missing)}; run this inside NVIDIA's trtllm-python-py3 container")
    if version("tensorrt_llm") != WANTED:
        sys.exit(f"tensorrt_llm is {version('tensorrt_llm')}; radserve was written against {WANTED}")


def check_arguments() -> None:
    """The installed LLM and SamplingParams take every argument that radserve's tables say they take."""
    from tensorrt_llm import SamplingParams
    from tensorrt_llm.llmapi.llm_args import TorchLlmArgs

    from radserve_engines.trtllm import LlmSettings, build_llm_args

    ours = build_llm_args(LlmSettings())
    if unknown := sorted(set(ours) - set(TorchLlmArgs.model_fields)):
        sys.exit(f"this TensorRT-LLM's LLM does not take: {', '.join(unknown)}")
    # Its own checks of types and ranges; nothing is loaded.
    TorchLlmArgs(model="checked-only", **ours)
    SamplingParams(max_tokens=8, temperature=0.0, top_p=1.0, top_k=1, seed=0, logprobs=0)
    print(f"{len(ours)} arguments, all known and valid")


if __name__ == "__main__":
    {"tools": check_tools, "arguments": check_arguments}[sys.argv[1]]()
