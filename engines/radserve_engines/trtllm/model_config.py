"""config.json as TensorRT-LLM 1.2 reads it: with entries that transformers 4.57 no longer writes."""

import json
from pathlib import Path
from typing import Any

from radserve_engines.errors import BuildRefused

_QWEN = ("qwen2_vl", "qwen2_5_vl")
_SERVED = ("bfloat16", "float16")


def complete_config(folder: Path) -> None:
    """Add what is missing to `config.json`; a file that lacks nothing stays as it is. Raises BuildRefused.

    Qwen's input processor compares each id with `vision_token_id` (models/modeling_qwen2vl.py): where a checkpoint
    has none, the image token's own id stands there, and nothing else is taken for an image. `torch_dtype` is `dtype`'s
    earlier name. The model runs in what it says, and most kernels have no float32 (issue 5260): such weights, as ZeRO
    exports them, are rounded to bfloat16 when they are loaded.
    """
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BuildRefused(f"{path} cannot be read: {error}") from error
    before = json.dumps(config)
    if config.get("model_type") in _QWEN and "image_token_id" in config:
        config.setdefault("vision_token_id", config["image_token_id"])
    for part in (config, config.get("text_config"), config.get("vision_config")):
        if part and (stored := part.get("dtype") or part.get("torch_dtype")):
            part["torch_dtype"] = stored if stored in _SERVED else "bfloat16"
            if "dtype" in part:
                part["dtype"] = part["torch_dtype"]
    if json.dumps(config) != before:
        path.unlink()  # it may be linked to the checkpoint's own
        path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")
