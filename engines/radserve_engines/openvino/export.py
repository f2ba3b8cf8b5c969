"""Build an OpenVINO GenAI engine for CPUs out of a Qwen2.5-VL checkpoint.

| precision | language model | embeddings, head | vision tower |
| --- | --- | --- | --- |
| bf16 | bf16 | bf16 | f16 |
| int8 | INT8 weights | INT8 weights | INT8 weights and activations |
| int4-awq | INT4 weights | INT8 weights | INT8 weights and activations |
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_engines.errors import BuildRefused, CheckpointError
from radserve_engines.families import family_named
from radserve_engines.families.chat_template import find_template
from radserve_engines.families.image_tokens import qwen_bounds
from radserve_engines.generation import Generation
from radserve_engines.openvino.graphs import GRAPHS, LANGUAGE_MODEL, VISION_MERGER, graph_path, load_traceable
from radserve_engines.openvino.inputs import DecoderInputs, VisionInputs
from radserve_engines.openvino.vision_quantization import quantize_vision_merger
from radserve_engines.openvino.weights import compress_to_int4, compress_to_int8
from radserve_engines.precision import OPENVINO
from radserve_engines.template_language import compile_template, read_special_tokens

# OpenVINO's own default is u8 on most CPUs, with or without being asked.
KV_KINDS = {None: "f16", "int8": "u8"}
# Products with compressed weights round their other side to INT8 in groups of this many values; 0 would round nothing.
DYNAMIC_GROUP = 32
PREPROCESSOR = "preprocessor_config.json"
COPIED = ("config.json", PREPROCESSOR, "tokenizer.json", "tokenizer_config.json")
COPIED_IF_THERE = ("chat_template.jinja", "generation_config.json", "special_tokens_map.json")

_FAMILY = "qwen2_5_vl"
_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
Note = Callable[[int, int], None]


def build_openvino(
    checkpoint: Path,
    out: Path,
    *,
    precision: str,
    kv: str | None = None,
    images: Sequence[NDArray[np.uint8]] = (),
    samples: Sequence[Generation] = (),
    note: Note = lambda done, total: None,
) -> dict[str, Any]:
    """Write the engine's files to `out` and return the manifest's `runtime_options`.

    `images` (H, W, 3), of any size, calibrate the vision tower of int8 and int4-awq; `samples` the language model of
    int4-awq. Raises BuildRefused for what cannot be built so, and CheckpointError naming a file that is missing.
    """
    import openvino

    _refuse(checkpoint, precision, kv, images, samples)
    out.mkdir(parents=True, exist_ok=True)
    model = load_traceable(checkpoint, "bfloat16" if precision == "bf16" else "auto")
    steps = _Steps(note, _count_steps(precision, images, samples))
    for name, convert in GRAPHS.items():
        graph = convert(model)
        if precision != "bf16" and name == VISION_MERGER:
            graph = quantize_vision_merger(graph, VisionInputs(model, checkpoint, out), images, steps.step)
        elif precision == "int4-awq" and name == LANGUAGE_MODEL:
            graph = compress_to_int4(graph, DecoderInputs(model, checkpoint, out), samples, steps.step)
        elif precision != "bf16":
            graph = compress_to_int8(graph)
        # Not the language model: its rotary frequencies in f16 would turn late positions by a third of a radian.
        openvino.save_model(graph, graph_path(out, name), compress_to_fp16=name != LANGUAGE_MODEL)
        del graph  # before the next is traced: each holds its weights
        steps.step()
    _write_tokenizer(checkpoint, out)
    steps.step()
    return runtime_options(kv)


def runtime_options(kv: str | None) -> dict[str, Any]:
    """What OpenVINO would otherwise choose by the machine: an engine's answers are not to change with it."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": KV_KINDS[kv],
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": DYNAMIC_GROUP,
        "MODEL_PROPERTIES": {"vision_embeddings_merger": {"INFERENCE_PRECISION_HINT": "bf16"}},
    }


class _Steps:
    """Counts steps and passes the count on."""

    def __init__(self, note: Note, total: int) -> None:
        self._note, self._total, self._done = note, total, 0

    def step(self) -> None:
        self._done += 1
        self._note(self._done, self._total)


def _count_steps(precision: str, images: Sequence[Any], samples: Sequence[Any]) -> int:
    calibrating = {"bf16": 0, "int8": len(images), "int4-awq": len(images) + len(samples)}[precision]
    return len(GRAPHS) + 1 + calibrating


def _refuse(
    checkpoint: Path, precision: str, kv: str | None, images: Sequence[Any], samples: Sequence[Any]
) -> None:
    if precision not in OPENVINO:
        raise BuildRefused(
            f"OpenVINO engines are built as {', '.join(OPENVINO)}, not {precision!r}; the nearest is int8"
        )
    if kv not in KV_KINDS:
        raise BuildRefused(f"OpenVINO's key–value cache can be int8, not {kv!r}; the nearest is --kv int8")
    if precision != "bf16" and not images:
        raise BuildRefused(f"{precision} needs images to calibrate the vision tower on: give --calibration")
    if precision == "int4-awq" and not samples:
        raise BuildRefused("int4-awq needs questions to calibrate the language model on: give --calibration")
    for name in COPIED:
        if not (checkpoint / name).is_file():
            raise CheckpointError(f"{checkpoint} has no {name}, which an OpenVINO engine needs")
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    if config.get("model_type") != _FAMILY:
        raise BuildRefused(
            f"{checkpoint / 'config.json'}: model_type {config.get('model_type')!r} has no OpenVINO engine here, only "
            "qwen2_5_vl has; build for --target torch or trtllm"
        )
    _check_template(checkpoint)


def _check_template(checkpoint: Path) -> None:
    """GenAI finds an image by its three tokens: otherwise no question could be asked once all is built."""
    source = find_template(checkpoint, family_named(_FAMILY))
    parts = [{"type": "image"}, {"type": "text", "text": "?"}]
    messages = [{"role": "user", "content": parts}]
    text = compile_template(source).render(
        messages=messages, add_generation_prompt=True, **read_special_tokens(checkpoint)
    )
    if text.count(_IMAGE) != 1:
        raise BuildRefused(
            f"{checkpoint}: its chat template does not write an image as {_IMAGE}, and OpenVINO GenAI finds it by that "
            "alone; build for --target torch or trtllm"
        )


def _write_tokenizer(checkpoint: Path, out: Path) -> None:
    import openvino
    import openvino_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    graphs = openvino_tokenizers.convert_tokenizer(tokenizer, with_detokenizer=True)
    for name, graph in zip(("tokenizer", "detokenizer"), graphs, strict=True):
        openvino.save_model(graph, graph_path(out, name))
    for name in COPIED + COPIED_IF_THERE:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, out / name)
    complete_preprocessor(out)


def complete_preprocessor(folder: Path) -> None:
    """Write out what preprocessor_config.json leaves to transformers' class: GenAI's own defaults are others.

    Without `image_mean` and `image_std` it would not normalise at all, and its vision tower would see next to nothing.
    """
    from transformers import Qwen2VLImageProcessor

    path = folder / PREPROCESSOR
    whole = Qwen2VLImageProcessor.from_pretrained(folder, local_files_only=True).to_dict()
    said = json.loads(path.read_text("utf-8"))
    least, most = qwen_bounds(said)
    bounds = {"min_pixels": least, "max_pixels": most, "size": {"shortest_edge": least, "longest_edge": most}}
    path.write_text(json.dumps({**whole, **said, **bounds}, indent=2) + "\n", "utf-8")
