"""A checkpoint's weights in the family's transformers class, complete or not at all."""

from pathlib import Path
from typing import Any

from radserve_engines.checkpoints.checkpoint import Checkpoint
from radserve_engines.errors import CheckpointError


def load_model(checkpoint: Checkpoint, dtype: Any = None) -> Any:
    """Evaluation-mode model in a torch dtype (None: as stored). Raises CheckpointError naming what does not fit.

    The checkpoint must be `plain`.
    """
    import torch
    import transformers
    from transformers.utils import logging

    kind = getattr(transformers, checkpoint.family.architecture)
    logging.disable_progress_bar()
    try:
        model, found = kind.from_pretrained(
            checkpoint.folder,
            dtype=dtype or getattr(torch, checkpoint.dtype),
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{checkpoint.folder} cannot be loaded: {error}") from error
    finally:
        logging.enable_progress_bar()
    check_complete(checkpoint.folder, model, found)
    return model.eval()


def check_complete(folder: Path, model: Any, found: dict[str, Any]) -> None:
    """`found` is from_pretrained's loading info. Raises CheckpointError: what is missing would be random numbers, what
    is left over would be lost, and so would a head of its own where config.json ties it to the embeddings."""
    for title, names in (
        ("lacks", found["missing_keys"]),
        ("has, beyond what its class takes,", found["unexpected_keys"]),
        ("has in another shape than config.json says", [key for key, *_ in found["mismatched_keys"]]),
    ):
        if names:
            first = ", ".join(sorted(names)[:3])
            raise CheckpointError(
                f"{folder} {title} {len(names)} tensors: {first}; save it again whole, with the config.json of its "
                "training"
            )
    _check_head(folder, model)


def _check_head(folder: Path, model: Any) -> None:
    import torch
    from safetensors import safe_open

    into, out = model.get_input_embeddings(), model.get_output_embeddings()
    if out is None or into.weight.data_ptr() != out.weight.data_ptr():
        return
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as stored:
            for name in [name for name in stored.keys() if name.endswith("lm_head.weight")]:  # noqa: SIM118
                if not torch.equal(stored.get_tensor(name).to(out.weight.dtype), out.weight):
                    raise CheckpointError(
                        f"{path}: {name} is not the embeddings, to which {folder / 'config.json'} ties it, so it would "
                        "be lost: set tie_word_embeddings to false there if the head was trained apart"
                    )
