"""TensorRT-LLM 1.2.1: its two ways from a checkpoint to an engine, each argument checked against its sources.

`llm-api`: the engine is the quantized Hugging Face checkpoint and `llm_args.yaml`; nothing is compiled ahead.
`compiled`: TensorRT engines of the vision tower and of the language model, by the examples' own commands.
"""

from radserve_engines.trtllm.compiled import CompileSettings, compile_engine, plan_commands, tools_missing
from radserve_engines.trtllm.installed import find_differences
from radserve_engines.trtllm.launcher import launch_command
from radserve_engines.trtllm.llm_args import (
    LlmSettings,
    build_llm_args,
    check_llm_args,
    prepare_llm_api,
    read_llm_args,
    write_llm_args,
)

__all__ = [
    "CompileSettings",
    "LlmSettings",
    "build_llm_args",
    "check_llm_args",
    "compile_engine",
    "find_differences",
    "launch_command",
    "plan_commands",
    "prepare_llm_api",
    "read_llm_args",
    "tools_missing",
    "write_llm_args",
]
