"""From a question's images to the embeddings that stand for them in a compiled engine's prompt.

TensorRT-LLM's `MultimodalModelRunner` loads both engines and knows how each family's features are put together; but it
writes prompts of its own, and resizes images. So its parts are used one by one: the vision engine, the joining of
tiles, the table of embeddings; the prompt is the one that the checkpoint was tuned on.

In the token ids, ids from the vocabulary's size on point into that table, in order.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from radserve_engines.errors import EngineFailed


def build_prompt(
    runner: Any, folder: Path, inputs: Mapping[str, torch.Tensor], image_token: int
) -> dict[str, Any]:
    """Arguments of `ModelRunnerCpp.generate`: ids (T,), the table of embeddings (1, N, D), and Qwen2-VL's positions."""
    ids = inputs["input_ids"].to(torch.int32)
    lengths = torch.tensor([ids.shape[1]], dtype=torch.int32)
    features = _ENCODERS.get(runner.model_type, _encode_plain)(runner, folder, inputs)
    places = ids == image_token
    if (wanted := int(places.sum())) != features.shape[0]:
        raise EngineFailed(
            f"the vision engine gave {features.shape[0]} embeddings for {wanted} places of the prompt: it was built "
            "for another image processor; build the engine again"
        )
    rope: dict[str, Any] = {}
    if runner.model_type == "qwen2_vl":
        grid, mask = inputs["image_grid_thw"].to(runner.device), inputs["attention_mask"].to(runner.device)
        ids, tuned, turns = runner.setup_fake_prompts_qwen2vl(
            features, ids.to(runner.device), grid, mask, lengths
        )
        rope["mrope_params"] = _mrope(*turns)
    else:
        ids[places] = runner.model_config.vocab_size + torch.arange(wanted, dtype=torch.int32)
        tuned = runner.ptuning_setup(features.unsqueeze(0), ids, lengths)
    table = tuned[0].view(1, -1, tuned[0].shape[-1])
    return {"batch_input_ids": [ids[0]], "prompt_table": table, "prompt_tasks": "0", **rope}


def _encode_plain(runner: Any, folder: Path, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """LLaVA and BLIP-2: pixel values (N, 3, H, W), so many embeddings an image."""
    features, _ = runner.get_visual_features(inputs["pixel_values"].to(runner.device), {})
    return features.reshape(-1, features.shape[-1])


def _encode_next(runner: Any, folder: Path, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """LLaVA-Next: the tiles of one image, (1, P, 3, H, W), joined without their padding."""
    from tensorrt_llm.runtime.multimodal_model_runner import LlavaNextUtils

    features, _ = runner.get_visual_features(inputs["pixel_values"][0].to(runner.device), {})
    width_height = inputs["image_sizes"][0].flip(0)  # the processor says height, width
    newline = runner.image_newlines["image_newline"]
    joined: torch.Tensor = LlavaNextUtils.rearrange_image_features(features, newline, width_height)
    return joined


def _encode_onevision(runner: Any, folder: Path, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """LLaVA-OneVision: the tiles of one image, (1, P, 3, H, W), joined and scaled to what the context holds."""
    from tensorrt_llm.runtime.multimodal_model_runner import LlavaOnevisionUtils

    features, _ = runner.get_visual_features(inputs["pixel_values"][0].to(runner.device), {})
    newline = runner.image_newlines["image_newline"]
    joined = LlavaOnevisionUtils.pack_image_features((features,), inputs["image_sizes"], newline)
    return joined.reshape(-1, joined.shape[-1])


def _encode_qwen2(runner: Any, folder: Path, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Qwen2-VL: patches (P, 1176) of all images; the mask keeps each image to itself."""
    from tensorrt_llm.tools.multimodal_builder import compute_rotary_pos_emb
    from transformers import AutoConfig
    from transformers.models.qwen2_vl.modeling_qwen2_vl import VisionRotaryEmbedding

    grid = inputs["image_grid_thw"].to(runner.device)
    owner = torch.repeat_interleave(torch.arange(grid.shape[0], device=grid.device), grid.prod(-1))
    apart = owner[:, None] != owner[None]
    mask = torch.zeros(apart.shape, device=grid.device).masked_fill(apart, torch.finfo(torch.float16).min)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    turns = compute_rotary_pos_emb(grid, config, VisionRotaryEmbedding).to(runner.device)
    pixels = inputs["pixel_values"].to(runner.device)
    features, _ = runner.get_visual_features(
        pixels, {"attention_mask": mask.unsqueeze(0), "rotary_pos_emb": turns}
    )
    return features.reshape(-1, features.shape[-1])


def _mrope(cos_sin: Any, deltas: Any) -> Any:
    from tensorrt_llm.layers import MropeParams

    return MropeParams(mrope_rotary_cos_sin=cos_sin, mrope_position_deltas=deltas)


_Encode = Callable[[Any, Path, Mapping[str, torch.Tensor]], torch.Tensor]
_ENCODERS: Mapping[str, _Encode] = {
    "qwen2_vl": _encode_qwen2,
    "llava_next": _encode_next,
    "llava_onevision": _encode_onevision,
}
