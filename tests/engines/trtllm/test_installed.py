"""Comparing our tables with an installed TensorRT-LLM finds what is not there any more."""

import sys
from dataclasses import make_dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from radserve_engines.trtllm.installed import find_differences
from radserve_engines.trtllm.signatures import read_tables

_CONFIGS = ("KvCacheConfig", "SchedulerConfig", "CudaGraphConfig")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Modules, scripts and a program with just the names of our tables; returns the examples."""
    arguments, calls = read_tables("llm_args"), read_tables("calls")

    class LLM:
        generate_async: Any

    namespace: dict[str, Any] = {}
    exec(
        f"def generate_async(self, {', '.join(f'{n}=None' for n in calls['generate_async'])}): ...", namespace
    )
    LLM.generate_async = namespace["generate_async"]
    contents = {
        "tensorrt_llm": {
            "LLM": LLM,
            "SamplingParams": make_dataclass("SamplingParams", calls["SamplingParams"]),
        },
        "tensorrt_llm.inputs.data": {"TextPrompt": SimpleNamespace(__annotations__=calls["TextPrompt"])},
        "tensorrt_llm.llmapi": {
            "llm_args": SimpleNamespace(
                TorchLlmArgs=SimpleNamespace(model_fields=arguments["LLM"]),
                **{name: SimpleNamespace(model_fields=arguments[name]) for name in _CONFIGS},
            )
        },
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    for tool, table in read_tables("commands").items():
        if tool.endswith(".py"):
            script = tmp_path / tool
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text("".join(f"parser.add_argument({name!r}, '-x')\n" for name in table))
    program = tmp_path / "bin" / "trtllm-build"
    program.parent.mkdir()
    words = " ".join(f"[{name} VALUE]" for name in read_tables("commands")["trtllm-build"])
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return tmp_path


def test_the_version_that_we_wrote_for_differs_in_nothing(installed: Path) -> None:
    assert find_differences(installed) == []


def test_what_is_gone_is_named(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = [name for name in read_tables("calls")["SamplingParams"] if name != "logprobs"]
    monkeypatch.setattr(
        sys.modules["tensorrt_llm"], "SamplingParams", make_dataclass("SamplingParams", sampling)
    )
    script = installed / "models/core/qwen/convert_checkpoint.py"
    script.write_text(script.read_text().replace("--smoothquant", "--smooth_quant"))
    (installed / "quantization/quantize.py").unlink()
    assert find_differences(installed) == [
        "SamplingParams takes no logprobs",
        "models/core/qwen/convert_checkpoint.py takes no --smoothquant",
        "quantization/quantize.py is not here",
    ]
