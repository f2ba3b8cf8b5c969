"""The compiled path: a checkpoint converted, the language model's engine and the vision tower's built.

Legacy in 1.2.1, gone after it; the only way to INT8 SmoothQuant, and to BLIP-2, LLaVA 1.5 and LLaVA-OneVision. The
vision tower stays float16; the language model runs in float16 too where it is not quantized, as NVIDIA's recipes do.
One GPU: several would need one process each, started by mpirun, where ours is one.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_engines.errors import BuildRefused
from radserve_engines.families import Family, read_settings
from radserve_engines.families.image_tokens import select_grid
from radserve_engines.precision import Precision
from radserve_engines.trtllm.commands import Command, Value, find_examples, find_missing, run_commands
from radserve_engines.trtllm.language_models import (
    Converter,
    choose_converter,
    cut_out_language_model,
    language_model_options,
    quantization_tool,
)
from radserve_engines.trtllm.model_config import complete_config

_DTYPE = "float16"
# These cut an image into tiles, which go through the vision engine at once; the side of a tile where none is said.
_TILED = {"llava_next": 336, "llava_onevision": 384}
# The converters go through 512 texts and fail on fewer. They know a folder of one's own by its name alone: "lambada"
# is read as split "validation" and column "text" (load_calib_dataset); quantize.py takes any folder's "train".
_CALIBRATION_TEXTS, _CALIBRATION_FOLDER = 512, "lambada"
_WORK = ("converted", "language-model", "calibration")


@dataclass(frozen=True, slots=True)
class CompileSettings:
    """What the engines are built for. `image_tokens` is the most that one image takes of the context, `images` the
    most in one question, `image_size` (height, width) in pixels what all are rendered to. Lengths in tokens. Raises
    BuildRefused.
    """

    image_tokens: int
    images: int = 1
    max_batch_size: int = 1
    max_seq_len: int = 4096
    kv: str | None = None
    gpu_memory_fraction: float = 0.6
    tensor_parallel: int = 1
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("image_tokens", "images", "max_batch_size", "max_seq_len"):
            if getattr(self, name) < 1:
                raise BuildRefused(
                    f"{name} must be a positive integer, not {getattr(self, name)!r}", param=name
                )
        if self.kv not in (None, "int8"):
            raise BuildRefused(f"the compiled path has an int8 KV cache or none, not {self.kv!r}", param="kv")
        if self.tensor_parallel != 1:
            raise BuildRefused(
                "compiled engines run on one GPU here; for several take a precision of the LLM API: int8, fp8",
                param="tensor_parallel",
            )


def plan_commands(
    checkpoint: Path, out: Path, family: Family, precision: Precision, settings: CompileSettings
) -> list[Command]:
    """The three commands, in order. Raises BuildRefused for what TensorRT-LLM 1.2.1 cannot build."""
    converter = choose_converter(checkpoint, family, precision)
    if family.builder_type in _TILED and settings.images > 1:
        message = f"a compiled {family.title} takes one image a question here, not {settings.images}"
        raise BuildRefused(message, param="images")
    source = checkpoint if converter.reads_vlm else out / "language-model"
    return [
        _convert(converter, source, out, precision, settings),
        _build_language_model(out, settings),
        _build_vision_tower(checkpoint, out, family, settings),
    ]


def compile_engine(
    checkpoint: Path,
    out: Path,
    family: Family,
    precision: Precision,
    settings: CompileSettings,
    log: Path,
    *,
    texts: Sequence[str] = (),
    note: Callable[[int, int], None] = lambda done, of: None,
    examples: Path | None = None,
) -> dict[str, Any]:
    """Engines in `out/llm` and `out/vision` beside tokenizer and processor; returns the manifest's runtime_options.

    `texts` calibrate: questions with their answers, as the model reads them. What an earlier run has made is kept.
    Raises BuildRefused, and BuildFailed naming the tool that is missing or broke.
    """
    commands = plan_commands(checkpoint, out, family, precision, settings)
    out.mkdir(parents=True, exist_ok=True)
    if any("--calib_dataset" in command.options for command in commands):
        write_calibration(out / "calibration" / _CALIBRATION_FOLDER, texts)
    if not choose_converter(checkpoint, family, precision).reads_vlm:
        cut_out_language_model(checkpoint, out / "language-model")
    run_commands(commands, examples or find_examples(), log, note)
    for path in sorted(checkpoint.iterdir()):
        if (
            path.is_file()
            and path.suffix in (".json", ".jinja", ".txt", ".model")
            and "index" not in path.name
        ):
            shutil.copy2(path, out / path.name)
    complete_config(out)
    for name in _WORK:
        shutil.rmtree(out / name, ignore_errors=True)
    return {
        "path": "compiled",
        "builder_type": family.builder_type,
        "max_batch_size": settings.max_batch_size,
        "gpu_memory_fraction": settings.gpu_memory_fraction,
    }


def tools_missing() -> list[str]:
    """What compiling needs and this machine has not, in words; empty when all is there."""
    build = Command("trtllm-build", {}, Path("llm"))
    vision = Command("models/core/multimodal/build_multimodal_engine.py", {}, Path("vision"))
    return find_missing([build, vision], find_examples())


def write_calibration(folder: Path, texts: Sequence[str]) -> None:
    """As many texts as the converters go through, repeated if there are fewer. Raises BuildRefused if none."""
    if not texts:
        raise BuildRefused("this precision is calibrated: name questions with --calibration")
    folder.mkdir(parents=True, exist_ok=True)
    count = max(_CALIBRATION_TEXTS, len(texts))
    rows = "".join(json.dumps({"text": texts[i % len(texts)]}) + "\n" for i in range(count))
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").write_text(rows, "utf-8")


def _convert(
    converter: Converter, source: Path, out: Path, precision: Precision, settings: CompileSettings
) -> Command:
    calibration = out / "calibration" / _CALIBRATION_FOLDER
    options: dict[str, Value] = {
        "--model_dir": source,
        "--output_dir": out / "converted",
        "--dtype": _DTYPE,
        "--tp_size": settings.tensor_parallel,
    }
    made = out / "converted" / "config.json"
    if qformat := quantization_tool(precision):
        options |= {"--qformat": qformat, "--calib_dataset": calibration, "--calib_size": _CALIBRATION_TEXTS}
        if settings.kv:
            options["--kv_cache_dtype"] = settings.kv
        return Command("quantization/quantize.py", options, made)
    options |= dict(converter.options) | language_model_options(precision, calibration)
    if settings.kv:
        if not converter.int8_kv:
            raise BuildRefused(f"{converter.script} makes no int8 KV cache: leave --kv out", param="kv")
        options |= {"--int8_kv_cache": True, "--calib_dataset": calibration}
    return Command(converter.script, options, made)


def _build_language_model(out: Path, settings: CompileSettings) -> Command:
    options: dict[str, Value] = {
        "--checkpoint_dir": out / "converted",
        "--output_dir": out / "llm",
        "--gemm_plugin": _DTYPE,
        "--gpt_attention_plugin": _DTYPE,
        "--max_beam_width": 1,
        "--max_batch_size": settings.max_batch_size,
        "--max_input_len": settings.max_seq_len,
        "--max_seq_len": settings.max_seq_len,
        "--max_multimodal_len": settings.max_batch_size * settings.images * settings.image_tokens,
    }
    return Command("trtllm-build", options, out / "llm" / "rank0.engine")


def _build_vision_tower(checkpoint: Path, out: Path, family: Family, settings: CompileSettings) -> Command:
    kind = str(family.builder_type)
    options: dict[str, Value] = {
        "--model_type": kind,
        "--model_path": checkpoint,
        "--output_dir": out / "vision",
        "--max_batch_size": settings.images * _count_tiles(checkpoint, kind, settings.image_size),
    }
    if kind == "qwen2_vl":  # its tower counts patches: four to a token
        options |= {"--max_hw_dims": 4 * settings.image_tokens, "--min_hw_dims": 4}
    return Command(
        "models/core/multimodal/build_multimodal_engine.py", options, out / "vision" / "model.engine"
    )


def _count_tiles(checkpoint: Path, kind: str, image_size: tuple[int, int] | None) -> int:
    """How many an image becomes, the whole one included; the most that there can be when its size is not known."""
    if kind not in _TILED:
        return 1
    config = read_settings(checkpoint)
    side = int((config.get("vision_config") or {}).get("image_size", _TILED[kind]))
    grids = config.get("image_grid_pinpoints") or [[2 * side, 2 * side], [3 * side, side]]
    chosen = [select_grid(*image_size, grids)] if image_size else grids
    return 1 + max((height // side) * (width // side) for height, width in chosen)
