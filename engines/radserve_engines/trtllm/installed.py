"""Our tables against the TensorRT-LLM that is installed: the first thing to look at on a machine that has it.

No GPU is needed for it: classes and signatures are looked at, scripts are read, not run.
"""

import ast
import dataclasses
import inspect
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from radserve_engines.trtllm.commands import EXAMPLES, find_examples
from radserve_engines.trtllm.signatures import read_tables

_CONFIGS = ("KvCacheConfig", "SchedulerConfig", "CudaGraphConfig")


def find_differences(examples: Path | None = None) -> list[str]:
    """What our tables have and the installed TensorRT-LLM does not take, one sentence each; empty when they agree.

    Raises ImportError where tensorrt_llm is not installed.
    """
    tables = {**read_tables("llm_args"), **read_tables("calls")}
    return [
        f"{call} takes no {name}"
        for call, names in _installed_names().items()
        for name in tables[call]
        if name not in names
    ] + _compare_tools(examples or find_examples())


def _installed_names() -> Mapping[str, frozenset[str]]:
    from tensorrt_llm import LLM, SamplingParams
    from tensorrt_llm.inputs.data import TextPrompt
    from tensorrt_llm.llmapi import llm_args

    return {
        "LLM": frozenset(llm_args.TorchLlmArgs.model_fields),
        **{name: frozenset(getattr(llm_args, name).model_fields) for name in _CONFIGS},
        "SamplingParams": frozenset(field.name for field in dataclasses.fields(SamplingParams)),
        "generate_async": frozenset(inspect.signature(LLM.generate_async).parameters),
        "TextPrompt": frozenset(TextPrompt.__annotations__),
    }


def _compare_tools(examples: Path | None) -> list[str]:
    differences = []
    for tool, table in read_tables("commands").items():
        if not isinstance(table, dict):
            continue  # the file's own version and source
        if not tool.endswith(".py"):
            options = _help_of(tool)
        elif examples is None:
            differences.append(f"{tool}: the examples are not in {' or '.join(map(str, EXAMPLES))}")
            continue
        else:
            options = _options_of(examples / tool)
        if options is None:
            differences.append(f"{tool} is not here")
        else:
            differences += [f"{tool} takes no {name}" for name in table if name not in options]
    return differences


def _help_of(program: str) -> frozenset[str] | None:
    if not shutil.which(program):
        return None
    said = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
    return frozenset(word.strip("[],") for word in said.split())


def _options_of(script: Path) -> frozenset[str] | None:
    """The option strings of a script's `add_argument` calls, and of the builder that it takes them from."""
    if not script.is_file():
        return None
    text = script.read_text("utf-8")
    if "multimodal_builder" in text:
        from tensorrt_llm.tools import multimodal_builder

        text += "\n" + inspect.getsource(multimodal_builder)
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    adding = (c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "add_argument")
    strings = (a.value for call in adding for a in call.args if isinstance(a, ast.Constant))
    return frozenset(value for value in strings if isinstance(value, str))
