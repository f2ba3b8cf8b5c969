"""A checkpoint and its quantized exports in PyTorch, on any device: `python -m radserve_bench.torch_device`.

Only torch, transformers and tokenizers are needed, no TensorRT-LLM. Every model answers the same questions greedily,
in `--dtype`, one at a time; each quantized export computes what its file says
(`radserve_engines.quantization.simulated`).

- Answers: how many are right where a set is given, and how many are the unquantized checkpoint's word for word.
- TTFT: from the call of `generate` until its first token has left the device; tokens/s: the further tokens over the
  time from the first to the last. The image's preprocessing comes before the clock starts.
- A simulated model's speed is not that of a quantized engine: it computes in `--dtype` and rounds besides.

The last line of stdout is one JSON document, and `--out` keeps it in a file that bears the device's name.
"""

import argparse
import json
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from radserve_bench.token_clock import TokenClock
from radserve_engines.evaluation.question_sets import load_sets
from radserve_engines.families.model_inputs import ModelInputs
from radserve_engines.manifest import EngineManifest, read_manifest
from radserve_engines.prompt import PromptTemplate
from radserve_engines.provenance import describe_machine, list_versions
from radserve_engines.runtime.torch import load_model
from radserve_engines.vqa_data import normalise
from radserve_imaging import render

_QUESTION = "What abnormality is seen in the image?"
_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: the model's inputs on the device, and the true answer if it is known."""

    inputs: dict[str, torch.Tensor]
    answer: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """What one model did. `same` and `right` are shares, 0…1; memory is the device's peak, in bytes."""

    name: str
    simulated: bool
    questions: int
    same: float
    right: float | None
    ttft_ms: float
    tokens_per_s: float
    memory: int | None


class Subject:
    """One model on the device."""

    def __init__(self, model: Any, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._model = model.to(device)
        self._tokenizer = tokenizer
        self._device = device
        self._dtype = dtype

    def answer(self, asked: Asked, tokens: int) -> str:
        """Greedy, to the end of the answer or `tokens`."""
        return str(
            self._tokenizer.decode(self._generate(asked, max_new_tokens=tokens), skip_special_tokens=True)
        )

    def measure(self, asked: Asked, tokens: int) -> tuple[float, float]:
        """Medians: seconds to the first token, tokens a second. The first time is not counted."""
        firsts, rates = [], []
        for _ in range(_REPEATS + 1):
            clock = TokenClock()
            began = time.perf_counter()
            self._generate(asked, max_new_tokens=tokens, min_new_tokens=tokens, streamer=clock)
            _, first, *_, last = clock.times  # the prompt comes before the first token
            firsts.append(first - began)
            rates.append((tokens - 1) / (last - first))
        return statistics.median(firsts[1:]), statistics.median(rates[1:])

    def _generate(self, asked: Asked, **how: Any) -> list[int]:
        inputs = {
            name: value.to(self._device, self._dtype) if value.is_floating_point() else value.to(self._device)
            for name, value in asked.inputs.items()
        }
        with torch.inference_mode():
            ids = self._model.generate(**inputs, **how, do_sample=False)
        return [int(i) for i in ids[0, inputs["input_ids"].shape[1] :]]


def compare(
    checkpoint: Path,
    quantized: Sequence[Path],
    sets: Sequence[Path],
    *,
    limit: int,
    tokens: int,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """The JSON document. Raises CheckpointError, ManifestError or EvaluationError naming the file."""
    manifest = read_manifest(checkpoint)
    inputs = ModelInputs(checkpoint)
    questions = _questions(checkpoint, manifest, inputs, sets, limit)
    rows: list[Row] = []
    theirs: list[str] = []
    for folder in (checkpoint, *quantized):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        subject = Subject(load_model(folder, dtype), inputs.tokenizer, device, dtype)
        ours = [subject.answer(asked, manifest.decoding.max_tokens) for asked in questions]
        theirs = theirs or ours
        name = str(dtype).removeprefix("torch.") if folder == checkpoint else folder.name
        rows.append(
            _row(name, folder != checkpoint, questions, ours, theirs, subject.measure(questions[0], tokens))
        )
        print(json.dumps(asdict(rows[-1])), flush=True)
        del subject
    return {
        "device": device_name(device),
        "checkpoint": {"name": manifest.name, "digest": manifest.digest},
        "sets": [path.parent.name + "/" + path.stem for path in sets],
        "tokens": tokens,
        "rows": [asdict(row) for row in rows],
        "machine": describe_machine(),
        "versions": list_versions(),
    }


def device_name(device: torch.device) -> str:
    """The GPU's own name, or the processor's."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return str(describe_machine()["processor"])


def _questions(
    checkpoint: Path, manifest: EngineManifest, inputs: ModelInputs, sets: Sequence[Path], limit: int
) -> list[Asked]:
    """Of the sets, or one about a CT slice that pydicom ships."""
    template = PromptTemplate(checkpoint, manifest)

    def ask(image: Path, question: str, answer: str | None) -> Asked:
        pixels: NDArray[np.uint8] = render(image.read_bytes(), manifest.image_policy).pixels
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = template.render(({"role": "user", "content": content},), (pixels,))
        return Asked(inputs.encode(prompt.text, (pixels,)), answer)

    if not sets:
        return [
            ask(Path(str(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False))), _QUESTION, None)
        ]
    items = [item for one in load_sets(sets, limit) for item in one.questions]
    return [ask(Path(item.image), item.question, item.answer) for item in items]


def _row(
    name: str,
    simulated: bool,
    questions: Sequence[Asked],
    ours: Sequence[str],
    theirs: Sequence[str],
    speed: tuple[float, float],
) -> Row:
    known = [
        (asked.answer, text) for asked, text in zip(questions, ours, strict=True) if asked.answer is not None
    ]
    right = sum(normalise(text) == answer for answer, text in known) / len(known) if known else None
    same = sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)
    memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return Row(name, simulated, len(ours), same, right, round(1e3 * speed[0], 2), round(speed[1], 1), memory)


def make_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="radserve_bench.torch_device", description="Quantized or not, in PyTorch."
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="folder of the checkpoint and its engine.json")
    add(
        "--quantized",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="an export of ModelOpt's format",
    )
    add("--set", dest="sets", type=Path, action="append", default=[], metavar="FILE.jsonl")
    add("--limit", type=int, default=200, help="questions of each set (default: 200)")
    add("--tokens", type=int, default=64, help="length of a timed answer, 2 at least (default: 64)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    add("--out", type=Path, metavar="DIR", help="folder to keep the document in")
    return parser


def main() -> None:
    given = make_parser().parse_args()
    document = compare(
        given.checkpoint,
        given.quantized,
        given.sets,
        limit=given.limit,
        tokens=given.tokens,
        device=torch.device(given.device),
        dtype=getattr(torch, given.dtype),
    )
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^a-z0-9]+", "-", document["device"].lower()).strip("-")
        (given.out / f"torch-{name}.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print(json.dumps(document))


if __name__ == "__main__":
    main()
