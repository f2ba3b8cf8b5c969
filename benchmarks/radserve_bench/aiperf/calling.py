"""aiperf's command line, and its process."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from radserve_bench.errors import BenchError

PROGRAM_VARIABLE, KEY_VARIABLE = "RADSERVE_AIPERF", "RADSERVE_API_KEY"
_OFFLINE = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
"""aiperf loads a tokenizer even where it counts by usage; from a folder it needs nothing from elsewhere, but
HF_HUB_OFFLINE would make it refuse folders. So it is given an address that nobody answers at."""


@dataclass(frozen=True, slots=True)
class Call:
    """One run of aiperf. `tokenizer` is a folder with tokenizer.json: it is loaded, but tokens are counted by usage.

    `tokens` is the length of every answer, None for the model's own end. `workers` are processes that ask: one is
    enough for the concurrency of a small machine, and leaves it to the server.
    """

    url: str
    model: str
    input_file: Path
    out: Path
    tokenizer: Path
    concurrency: int = 1
    requests: int = 64
    warm_up: int = 4
    tokens: int | None = 64
    workers: int = 1

    def words(self) -> list[str]:
        """The arguments of `aiperf`."""
        length = {} if self.tokens is None else {"max_tokens": self.tokens, "ignore_eos": True}
        extra = ["--extra-inputs", json.dumps(length)] if length else []
        warm_up = ["--warmup-request-count", str(self.warm_up)] if self.warm_up else []
        return [
            *("profile", "--model", self.model, "--endpoint-type", "chat", "--streaming", "--url", self.url),
            *("--input-file", str(self.input_file), "--custom-dataset-type", "single_turn"),
            *("--dataset-sampling-strategy", "sequential", "--concurrency", str(self.concurrency)),
            *("--request-count", str(self.requests), *warm_up, "--workers-max", str(self.workers)),
            *("--tokenizer", str(self.tokenizer), "--use-server-token-count", *extra),
            *("--no-gpu-telemetry", "--no-server-metrics", "--ui", "none"),
            *("--output-artifact-dir", str(self.out)),
        ]

    def shell(self) -> str:
        """The whole command, as typed; the key stays in its variable."""
        key = f' --api-key "${KEY_VARIABLE}"' if os.environ.get(KEY_VARIABLE) else ""
        variables = " ".join(f"{name}={value}" for name, value in _OFFLINE.items())
        return f"{variables} {shlex.join([str(find_aiperf() or 'aiperf'), *self.words()])}{key}"


def find_aiperf() -> Path | None:
    """What $RADSERVE_AIPERF names, else that of .venv-aiperf beside this environment, else the one on PATH."""
    if named := os.environ.get(PROGRAM_VARIABLE):
        return Path(named)
    beside = Path(sys.prefix).parent / ".venv-aiperf" / "bin" / "aiperf"
    on_path = shutil.which("aiperf")
    return beside if beside.exists() else Path(on_path) if on_path else None


def run_aiperf(call: Call, timeout_s: float = 600.0) -> str:
    """Run it to its end, and return what it printed; `call.out` then has its export.

    Raises BenchError if there is no aiperf, if it fails or if it takes too long.
    """
    program = find_aiperf()
    if program is None:
        raise BenchError(f"there is no aiperf: `make .venv-aiperf/ready`, or name it in {PROGRAM_VARIABLE}")
    key = os.environ.get(KEY_VARIABLE)
    words = [str(program), *call.words(), *(["--api-key", key] if key else [])]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **_OFFLINE},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise BenchError(f"{program} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"aiperf was not done after {timeout_s:g} s") from error
    if done.returncode:
        raise BenchError(
            f"aiperf ended with status {done.returncode}: {(done.stdout + done.stderr)[-2000:].strip()}"
        )
    return done.stdout
