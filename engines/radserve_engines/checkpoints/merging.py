"""LoRA adapters merged into a checkpoint, before anything is quantized: engines take no adapters beside them.

The sum W + scale · B A is made in float32 by PEFT, then rounded once to the checkpoint's own number format. Two
things are measured on one image and question: the float32 logits with the adapter against those with it merged, at
most 1e-3 apart; and those of the folder written, read back, against the merged ones rounded in memory, likewise.
What the rounding itself moves the logits by is recorded, not judged: the fine-tuned base had it too.
"""

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radserve_engines.checkpoints.adapters import (
    Adapter,
    check_fit,
    check_template,
    check_trained,
    read_adapter,
)
from radserve_engines.checkpoints.checkpoint import Checkpoint, read_checkpoint
from radserve_engines.checkpoints.loading import load_model
from radserve_engines.checkpoints.probe import Probe
from radserve_engines.checkpoints.side_files import copy_side_files
from radserve_engines.checkpoints.writing import name_architecture, write_plain
from radserve_engines.errors import CheckpointError

TOLERANCE = 1e-3
SHARD = "5GB"


def merge_adapters(checkpoint: Checkpoint, adapters: Sequence[Path], out: Path) -> dict[str, Any]:
    """Write the checkpoint with all adapters merged, one after another, to `out`; returns the record.

    With no adapters it is written as it is, under plain names. Raises CheckpointError naming file and key for an
    adapter of another base or of another chat template, and for logits that differ.
    """
    if checkpoint.quantized:
        raise CheckpointError(
            f"{checkpoint.folder} is quantized ({checkpoint.quantized}) already: merge adapters into the checkpoint "
            "that they were trained on, then quantize"
        )
    if not adapters:
        write_plain(checkpoint, out)
        return {"adapters": [], "dtype": checkpoint.dtype}
    read = [read_adapter(folder) for folder in adapters]
    for adapter in read:
        check_trained(adapter)
        check_template(adapter, checkpoint.folder)
    base = checkpoint if checkpoint.plain else write_plain(checkpoint, out / "plain")
    probe = Probe(base.folder)
    model = load_model(base, _torch().float32)
    moved = 0.0
    for adapter in read:
        model, difference = _merge_one(model, adapter, probe)
        moved = max(moved, difference)
    saved = _save(model, base, out, probe)
    shutil.rmtree(out / "plain", ignore_errors=True)
    return {
        "adapters": [adapter.to_json() for adapter in read],
        "dtype": checkpoint.dtype,
        "largest_logit_difference": {"merged_against_adapter": moved, **saved},
    }


def _merge_one(model: Any, adapter: Adapter, probe: Probe) -> tuple[Any, float]:
    """PEFT's merge; returns the model and the largest difference of its logits."""
    check_fit(adapter, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT on tied embeddings: checked below by logits
        import peft

        try:
            adapted = peft.PeftModel.from_pretrained(model, adapter.folder, is_trainable=False).eval()
            before = probe.logits(adapted.get_base_model())
            merged = adapted.merge_and_unload(safe_merge=True)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{adapter.folder} does not go into this model: {error}") from error
    _untie(merged)
    difference = float((probe.logits(merged) - before).abs().max())
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"{adapter.folder}: the merged model's logits are {difference:.3g} from the adapter's, more than "
            f"{TOLERANCE:g}: does the adapter change embeddings that are tied to lm_head?"
        )
    return merged, difference


def _untie(model: Any) -> None:
    """Embeddings that an adapter set apart stay apart when the checkpoint is read again."""
    into, out = model.get_input_embeddings(), model.get_output_embeddings()
    if out is None or into.weight.data_ptr() == out.weight.data_ptr():
        return
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = False
    model._tied_weights_keys = None


def _save(model: Any, base: Checkpoint, out: Path, probe: Probe) -> dict[str, float]:
    """Round, write, read back; returns what the rounding moved the logits by, and the reading."""
    torch = _torch()
    dtype = getattr(torch, base.dtype)
    exact = probe.logits(model)
    # Weights only: model.to() would round the rotary frequencies too, which are never stored.
    rounded = _rounded(model.state_dict(), dtype)
    model.save_pretrained(out, state_dict=rounded, max_shard_size=SHARD)
    copy_side_files(base.folder, out)
    name_architecture(out, base.family.architecture, dtype=base.dtype)
    for path in out.glob("*.safetensors"):
        path.chmod(0o644)
    model.load_state_dict(rounded)
    del rounded
    in_memory = probe.logits(model)
    again = probe.logits(load_model(read_checkpoint(out), torch.float32))
    read_back = float((again - in_memory).abs().max())
    if not read_back <= TOLERANCE:
        raise CheckpointError(
            f"{out}: what was written gives other logits when read again, by {read_back:.3g}"
        )
    return {"rounding": float((in_memory - exact).abs().max()), "read_back": read_back}


def _rounded(state: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Tensors that share their numbers (a tied head) still do, so that they are stored once."""
    made: dict[int, Any] = {}
    for value in state.values():
        if value.data_ptr() not in made:
            made[value.data_ptr()] = value.to(dtype) if value.is_floating_point() else value
    return {name: made[value.data_ptr()] for name, value in state.items()}


def _torch() -> Any:
    import torch

    return torch
