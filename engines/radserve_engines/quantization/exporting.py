"""From a bf16 checkpoint to a quantized one in ModelOpt's Hugging Face format, checked before it is believed."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radserve_engines.checkpoints.checkpoint import Checkpoint, read_checkpoint
from radserve_engines.checkpoints.loading import load_model
from radserve_engines.checkpoints.probe import with_decoder
from radserve_engines.checkpoints.side_files import copy_side_files
from radserve_engines.checkpoints.writing import name_architecture, write_plain
from radserve_engines.errors import BuildFailed, BuildRefused
from radserve_engines.generation import Generation
from radserve_engines.precision import Precision
from radserve_engines.provenance import list_versions
from radserve_engines.quantization.calibrating import Note, list_inputs, run_samples
from radserve_engines.quantization.export_check import check_export, widen_exclusions
from radserve_engines.quantization.modelopt import export_model, quantize_model
from radserve_engines.quantization.recipe import check_widths, list_quantized, make_recipe


def quantize_checkpoint(
    checkpoint: Path,
    out: Path,
    precision: Precision,
    *,
    kv: str | None,
    samples: Sequence[Generation],
    note: Note,
) -> dict[str, Any]:
    """Write the quantized checkpoint to `out`, with tokenizer, processor and chat template; returns its record.

    `kv` is "fp8" or None; `note` hears how many samples of how many are through. A checkpoint that is
    GPTQ-quantized already is taken as it is for int4-gptq. Raises CheckpointError, BuildRefused for what cannot
    work, BuildFailed naming what came out wrong.
    """
    source = read_checkpoint(checkpoint)
    if source.quantized or precision.name == "int4-gptq":
        return _take_quantized(source, out, precision)
    if not samples:
        raise BuildRefused(f"{precision.name} is calibrated on images: give at least one question")
    if not source.plain:
        source = write_plain(source, out / "plain")
    model = load_model(source)
    check_widths(model, source.family, precision)
    recipe = make_recipe(precision, source.family, kv)
    make = list_inputs(source.folder, source.family, samples)
    model = quantize_model(model, recipe, lambda live: run_samples(live, make, len(samples), note))
    modules = _check_enabled(model, source)
    export_model(model, source.family.architecture, with_decoder(model, make(0)), out)
    record = _finish(source, out, precision, kv)
    shutil.rmtree(out / "plain", ignore_errors=True)
    return {**record, "modules": modules, "samples": len(samples), "tools": list_versions()}


def _finish(source: Checkpoint, out: Path, precision: Precision, kv: str | None) -> dict[str, Any]:
    copy_side_files(source.folder, out)
    name_architecture(out, source.family.architecture, dtype=source.dtype)
    widen_exclusions(out, source.family)
    for path in out.glob("*.safetensors"):
        path.chmod(0o644)
    record = check_export(source, read_checkpoint(out), precision, kv)
    size = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    return {"precision": precision.name, "by": "modelopt", "weights_bytes": size, **record}


def _check_enabled(model: Any, source: Checkpoint) -> int:
    """Each linear layer of the language model is quantized, and no other layer is."""
    wanted = {name for name, _ in list_quantized(model, source.family)}
    enabled = {
        name
        for name, module in model.named_modules()
        if (quantizer := getattr(module, "weight_quantizer", None)) is not None and _is_on(quantizer)
    }
    if odd := sorted(wanted ^ enabled):
        state = "is not quantized" if odd[0] in wanted else "must not be quantized, and is"
        raise BuildFailed(f"{source.family.title}: {odd[0]} {state} ({len(odd)} layers so)")
    return len(wanted)


def _is_on(quantizer: Any) -> bool:
    parts = list(quantizer) if hasattr(quantizer, "__iter__") else [quantizer]
    return any(part.is_enabled for part in parts)


def _take_quantized(source: Checkpoint, out: Path, precision: Precision) -> dict[str, Any]:
    """What came quantized is passed on, if it is what was asked for."""
    if source.quantized != "gptq" or precision.name != "int4-gptq":
        if source.quantized:
            raise BuildRefused(
                f"{source.folder} is quantized already ({source.quantized}), which {precision.name} is not made from; "
                "give the bf16 checkpoint"
            )
        make_recipe(precision, source.family)  # says why
    bits = source.config["quantization_config"].get("bits")
    if bits != 4:
        raise BuildRefused(
            f"{source.folder / 'config.json'}: quantization_config.bits is {bits!r}; int4-gptq has 4"
        )
    copy_side_files(source.folder, out)
    for path in [source.folder / "config.json", *source.folder.glob("*.safetensors*")]:
        shutil.copyfile(path, out / path.name)
    return {
        "precision": precision.name,
        "by": "gptq",
        "group_size": source.config["quantization_config"].get("group_size"),
    }
