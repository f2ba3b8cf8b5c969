"""Command lines of TensorRT-LLM's tools: checked, written down in the log with what they print, and run."""

import importlib.util
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from radserve_engines.errors import BuildFailed
from radserve_engines.trtllm.signatures import VERSION, find_faults, read_tables

IMAGE = "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"
# Where the examples are in NVIDIA's images: Triton's with TensorRT-LLM, and TensorRT-LLM's own release image.
EXAMPLES = (Path("/app/examples"), Path("/app/tensorrt_llm/examples"))
Value = str | int | float | bool | Path


@dataclass(frozen=True, slots=True)
class Command:
    """One tool with its options: a script below `examples`, or a program; True stands for an option without a value.

    `makes` is what stands on the disk when it is done. Raises BuildFailed for an option that the tool does not take.
    """

    tool: str
    options: Mapping[str, Value]
    makes: Path

    def __post_init__(self) -> None:
        table = read_tables("commands").get(self.tool)
        if not isinstance(table, dict):
            raise BuildFailed(f"{self.tool} is no tool of TensorRT-LLM {VERSION} that is known here")
        flags = {name for name, option in table.items() if option["type"] == "flag"}
        valued = {k: str(v) if isinstance(v, Path) else v for k, v in self.options.items() if k not in flags}
        faults = find_faults(valued, {k: table[k] for k in table if k not in flags})
        faults += [f"{k} takes no value" for k, v in self.options.items() if k in flags and v is not True]
        if faults:
            raise BuildFailed(f"{self.tool}: {'; '.join(faults)}")

    @property
    def is_script(self) -> bool:
        """Whether it is one of the examples' scripts."""
        return self.tool.endswith(".py")

    def line(self, examples: Path) -> list[str]:
        """As it is started."""
        start = ["python3", str(examples / self.tool)] if self.is_script else [self.tool]
        for name, value in self.options.items():
            start += [name] if value is True else [name, str(value)]
        return start


def find_examples(folders: Sequence[Path] = EXAMPLES) -> Path | None:
    """The first of these folders that holds TensorRT-LLM's examples."""
    return next((folder for folder in folders if (folder / "models").is_dir()), None)


def find_missing(commands: Sequence[Command], examples: Path | None) -> list[str]:
    """What these commands need and this machine has not, in words; empty when all is there."""
    missing = [] if importlib.util.find_spec("tensorrt_llm") else [f"the package tensorrt_llm {VERSION}"]
    if any(command.is_script for command in commands) and examples is None:
        missing.append(f"TensorRT-LLM's examples ({' or '.join(map(str, EXAMPLES))})")
    for tool in dict.fromkeys(command.tool for command in commands):
        if not tool.endswith(".py"):
            missing += [] if shutil.which(tool) else [f"the program {tool}"]
        elif examples is not None and not (examples / tool).is_file():
            missing.append(f"the script {examples / tool}")
    return missing


def run_commands(
    commands: Sequence[Command], examples: Path | None, log: Path, note: Callable[[int, int], None]
) -> None:
    """One after the other, each in the log with its output; what an earlier run has made is not made again.

    Raises BuildFailed: a tool is missing, or one failed; the message has the end of what it said.
    """
    if missing := find_missing(commands, examples):
        shown = " && ".join(shlex.join(command.line(examples or EXAMPLES[0])) for command in commands)
        raise BuildFailed(
            f"compiling needs {', '.join(missing)}: run the same command in {IMAGE}. It would run: {shown}"
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    note(0, len(commands))
    for done, command in enumerate(commands, 1):
        if not command.makes.exists():
            _run(command, command.line(examples or EXAMPLES[0]), log)
        note(done, len(commands))


def _run(command: Command, line: Sequence[str], log: Path) -> None:
    with log.open("a", encoding="utf-8") as words:
        words.write(f"$ {shlex.join(line)}\n")
        words.flush()
        begun = words.tell()
        status = subprocess.run(line, stdout=words, stderr=subprocess.STDOUT, check=False).returncode
    if status == 0 and command.makes.exists():
        return
    with log.open("rb") as stream:
        stream.seek(begun)
        last = stream.read().decode("utf-8", "replace").strip().splitlines()[-5:]
    why = f"ended with status {status}" if status else f"did not write {command.makes}"
    raise BuildFailed(f"{command.tool} {why}; all it said is in {log}: {' / '.join(last)}")
