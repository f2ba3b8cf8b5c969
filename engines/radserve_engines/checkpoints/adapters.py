"""A PEFT adapter in its folder, and whether it was made for a given model: checked by name and shape before merging."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_engines.checkpoints.headers import TensorHeader, read_headers
from radserve_engines.errors import CheckpointError
from radserve_engines.families.chat_template import FILE_NAME as TEMPLATE
from radserve_engines.families.chat_template import list_templates

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_LOW_RANK = re.compile(r"(.+)\.lora_(A|B|embedding_A|embedding_B)(?:\.weight)?$")
_BESIDE = re.compile(
    r"(.+)\.(?:lora_(?:magnitude_vector(?:\.weight)?|B\.bias)|token_adapter\.trainable_tokens_delta)$"
)
_UNPICKLE = (
    'python -c "import torch; from safetensors.torch import save_file; '
    "save_file(torch.load('{pickle}', weights_only=True), '{weights}')\""
)


@dataclass(frozen=True, slots=True)
class Adapter:
    """`config` is adapter_config.json; `digest` the SHA-256 over both files."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorHeader]
    digest: str

    @property
    def title(self) -> str:
        """As in "LoRA r=8 α=16 (rsLoRA, DoRA)"."""
        kinds = [
            name for key, name in (("use_rslora", "rsLoRA"), ("use_dora", "DoRA")) if self.config.get(key)
        ]
        more = f" ({', '.join(kinds)})" if kinds else ""
        return f"LoRA r={self.config.get('r')} α={self.config.get('lora_alpha')}{more}"

    def to_json(self) -> dict[str, Any]:
        """What a build records of it."""
        names = [name for name in self.tensors if ".lora_" not in name]
        return {
            "name": self.folder.name,
            "digest": self.digest,
            "kind": self.title,
            "modules": len({match[1] for name in self.tensors if (match := _LOW_RANK.match(name))}),
            "saved_whole": len(names),
        }


def read_adapter(folder: Path) -> Adapter:
    """Raises CheckpointError naming the file and the way out."""
    path, weights = folder / CONFIG, folder / WEIGHTS
    try:
        text = path.read_bytes()
        config = json.loads(text)
        kind = config.get("peft_type")
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} is no adapter: it has no {CONFIG}") from error
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if kind != "LORA":
        raise CheckpointError(
            f"{path}: peft_type {kind!r} cannot be merged here: LoRA can, with rsLoRA and DoRA among its kinds"
        )
    if not weights.is_file():
        pickle = weights.with_suffix(".bin")
        way = (
            f"; write it with: {_UNPICKLE.format(pickle=pickle, weights=weights)}" if pickle.is_file() else ""
        )
        raise CheckpointError(f"{folder} has no {WEIGHTS}{way}")
    tensors = read_headers(weights)
    digest = hashlib.sha256(text)
    with weights.open("rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())
    return Adapter(folder, config, tensors, f"sha256:{digest.hexdigest()}")


def check_fit(adapter: Adapter, model: Any) -> None:
    """Raises CheckpointError naming the key for which `model` has no module, or one of another shape."""
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    renames = getattr(model, "_checkpoint_conversion_mapping", None) or {}
    path = adapter.folder / WEIGHTS
    base = adapter.config.get("base_model_name_or_path") or "another base"
    for key, tensor in adapter.tensors.items():
        name = _renamed(key.removeprefix(_PREFIX), renames)
        if match := _BESIDE.match(name):
            wanted, given = f"{match[1]}.weight", None
        elif match := _LOW_RANK.match(name):
            wanted, given = f"{match[1]}.weight", (match[2], tensor.shape)
        else:
            wanted, given = name.replace(".base_layer.", "."), ("whole", tensor.shape)
        if wanted not in shapes:
            raise CheckpointError(
                f"{path}: {key} is for a module that this model does not have; made for {base}?"
            )
        if given and not _fits(*given, shapes[wanted]):
            why = _explain(*given, shapes[wanted]) or f"made for {base}?"
            raise CheckpointError(
                f"{path}: {key} has shape {list(tensor.shape)}, which does not fit {wanted} of {list(shapes[wanted])}; "
                f"{why}"
            )


def _explain(kind: str, given: tuple[int, ...], base: tuple[int, ...]) -> str:
    """A vocabulary that training resized is the usual reason."""
    if kind == "whole" and len(given) == len(base) == 2 and given[1] == base[1]:
        return (
            f"was its vocabulary resized to {given[0]} tokens? Then do the same to the checkpoint, with "
            f"resize_token_embeddings({given[0]}) and save_pretrained, and put the tokenizer of the training there"
        )
    return ""


def _fits(kind: str, given: tuple[int, ...], base: tuple[int, ...]) -> bool:
    if kind == "whole":
        return given == base
    if len(base) != 2:  # a convolution: PEFT compares the rest
        return True
    if kind.startswith("embedding"):
        return given[1] == base[0] if kind.endswith("A") else given[0] == base[1]
    return given[1] == base[1] if kind == "A" else given[0] == base[0]


def check_trained(adapter: Adapter) -> None:
    """Raises CheckpointError for an adapter that changes nothing: LoRA begins with B at zero."""
    from safetensors import safe_open

    with safe_open(adapter.folder / WEIGHTS, framework="pt") as stored:
        names = adapter.tensors
        if any(".lora_" not in name for name in names):
            return  # what is saved whole may be all that was trained
        # An embedding's LoRA begins with A at zero instead.
        grown = [name for name in names if ".lora_B." in name or name.endswith("lora_embedding_A")]
        if grown and not any(stored.get_tensor(name).any() for name in grown):
            raise CheckpointError(
                f"{adapter.folder / WEIGHTS}: every lora_B is zero, so this adapter changes nothing; was it saved "
                "before training?"
            )


def check_template(adapter: Adapter, checkpoint: Path) -> None:
    """Raises CheckpointError for an adapter that was trained with another chat template than the checkpoint's."""
    brought = list(list_templates(adapter.folder))
    known = {template.strip() for template in list_templates(checkpoint)}
    if brought and brought[0].strip() not in known:
        raise CheckpointError(
            f"{adapter.folder} brings another chat template than {checkpoint}: put the one of the training into both, "
            f"as {TEMPLATE}"
        )


def _renamed(name: str, renames: Mapping[str, str]) -> str:
    """As PEFT reads adapters of older transformers: the first of the class's own patterns that applies."""
    for pattern, replacement in renames.items():
        changed, times = re.subn(pattern, replacement, name)
        if times:
            return changed
    return name
