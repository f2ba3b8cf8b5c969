"""Where and with what something was trained, built or measured; nothing that names the machine or its owner."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "radserve",
    "openvino",
    "openvino-genai",
    "nncf",
    "nvidia-modelopt",
    "peft",
    "torch",
    "transformers",
    "tensorrt-llm",
    "numpy",
)


def describe_machine() -> dict[str, str | int | None]:
    """Processor, cores and operating system."""
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()}


def list_versions() -> dict[str, str]:
    """Python's and those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
