"""From a question's images to the embeddings that stand for them in a compiled engine's prompt.

TensorRT-LLM's `MultimodalModelRunner` loads both engines and knows how each family's features are put together; but it
writes prompts of its own, and resizes images. So its parts are used one by one: the vision engine, the table of
embeddings; the prompt is the one that the checkpoint was tuned on.

In the token ids, ids from the vocabulary's size on point into that table, in order.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from radserve_engines.errors import EngineFailed

# LLaVA-OneVision lets a grid be a tenth larger than it may before it shrinks it.
_SHRINK_FROM = 1.1


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


def _encode_tiles(runner: Any, folder: Path, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """LLaVA-Next and OneVision: the tiles of one image, (1, P, 3, H, W), joined as transformers joins them.

    TensorRT-LLM's own joining takes height for width, and turns the tiles of a square image.
    """
    features, _ = runner.get_visual_features(inputs["pixel_values"][0].to(runner.device), {})
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    size = [int(side) for side in inputs["image_sizes"][0]]
    return join_tiles(features, size, runner.image_newlines["image_newline"], config)


def join_tiles(features: torch.Tensor, size: list[int], newline: torch.Tensor, config: Any) -> torch.Tensor:
    """One image's embeddings, (T, D), of those of its tiles, (P, S, D): the whole first, then the tiles without their
    padding, a line break after each row. `size` is the image's (height, width) in pixels; `newline` is (D,).
    """
    from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape, unpad_image

    whole, tiles = features[0], features[1:]
    if not len(tiles):
        return torch.cat((whole, newline[None].to(whole)))
    tower = config.vision_config
    side = tower.image_size // tower.patch_size
    rows, columns = get_anyres_image_grid_shape(size, config.image_grid_pinpoints, tower.image_size)
    grid = tiles.view(rows, columns, side, side, -1).permute(4, 0, 2, 1, 3).flatten(1, 2).flatten(2, 3)
    grid = unpad_image(grid.contiguous(), size)
    most = str(getattr(config, "vision_aspect_ratio", "")).partition("anyres_max_")[2]
    height, width = grid.shape[1:]
    if most and (ratio := math.sqrt(height * width / (int(most) * side**2))) > _SHRINK_FROM:
        shrunk = [int(height // ratio), int(width // ratio)]
        grid = torch.nn.functional.interpolate(grid[None], shrunk, mode="bilinear")[0]
    breaks = newline[:, None, None].expand(*grid.shape[:-1], 1).to(grid)
    return torch.cat((whole, torch.cat((grid, breaks), -1).flatten(1, 2).T))


def _encode_qwen2(runner: Any, folder: Path, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Qwen2-VL: patches (P, 1176) of all images; the mask keeps each image to itself."""
    from tensorrt_llm.tools.multimodal_builder import compute_rotary_pos_emb
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
    "llava_next": _encode_tiles,
    "llava_onevision": _encode_tiles,
}
