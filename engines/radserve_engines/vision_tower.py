"""Batched forward pass of Qwen2.5-VL's vision tower over square images of one size.

`transformers` loops over images and windows; here all images have the same grid and one window, so
attention runs as one batch. The result equals `model.visual`, and a part of the image tokens may be
left out (which makes training twice as fast at a half).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from radserve_engines.demo_checkpoint import CELLS, GRID, IMAGE_MEAN, IMAGE_STD, MERGE, PATCH


def normalise_pixels(pixels: torch.Tensor) -> torch.Tensor:
    """Turn uint8 [images, height, width, 3] into normalised float32 [images, 3, height, width]."""
    scaled = pixels.permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(IMAGE_MEAN, device=pixels.device).view(1, 3, 1, 1)
    return (scaled - mean) / torch.tensor(IMAGE_STD, device=pixels.device).view(1, 3, 1, 1)


def patchify(images: torch.Tensor) -> torch.Tensor:
    """Cut [images, 3, height, width] into [images, cells, 4, 3 * 2 * 14 * 14], Qwen's patch order."""
    count = images.shape[0]
    grid = images.view(count, 3, CELLS, MERGE, PATCH, CELLS, MERGE, PATCH)
    patches = grid.permute(0, 2, 5, 3, 6, 1, 4, 7)
    frames = patches.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, 2, -1, -1)
    return frames.reshape(count, CELLS * CELLS, MERGE * MERGE, -1)


def cell_angles(visual: Any) -> torch.Tensor:
    """Rotary angles (row, column) of a whole image's patches, [cells, 4, head / 4 * 2]."""
    device = visual.patch_embed.proj.weight.device
    angles: torch.Tensor = visual.rot_pos_emb(torch.tensor([[1, GRID, GRID]], device=device))
    return angles.view(CELLS * CELLS, MERGE * MERGE, -1)


def encode_images(
    visual: Any, images: torch.Tensor, cells: torch.Tensor, angles: torch.Tensor
) -> torch.Tensor:
    """Embed the image tokens `cells` [images, kept] of normalised `images`: [images, kept, hidden].

    `angles` are those of `cell_angles`.
    """
    patches = patchify(images)
    chosen = patches.gather(1, cells[:, :, None, None].expand(-1, -1, *patches.shape[2:]))
    hidden = embed_patches(visual.patch_embed, chosen.flatten(1, 2))
    return encode_patches(visual, hidden, angles[cells].flatten(1, 2), [None] * len(visual.blocks))


def embed_patches(patch_embed: Any, patches: torch.Tensor) -> torch.Tensor:
    """Apply the patch convolution, whose stride is its size, as a matrix product on flat patches."""
    weight = patch_embed.proj.weight
    return functional.linear(patches, weight.view(weight.shape[0], -1))


def encode_patches(
    visual: Any, hidden: torch.Tensor, angles: torch.Tensor, masks: Sequence[torch.Tensor | None]
) -> torch.Tensor:
    """Run blocks and merger on embedded patches [images, patches, hidden] with one mask a block.

    `angles` [images, patches, head / 4 * 2] are the rotary angles (row, column) of each patch.
    """
    angles = torch.cat((angles, angles), dim=-1)[:, None]
    cosine, sine = angles.cos(), angles.sin()
    for block, mask in zip(visual.blocks, masks, strict=True):
        hidden = hidden + _attend(block.attn, block.norm1(hidden), cosine, sine, mask)
        hidden = hidden + block.mlp(block.norm2(hidden))
    merged: torch.Tensor = visual.merger(hidden.flatten(0, 1))
    return merged.view(hidden.shape[0], -1, merged.shape[-1])


def _attend(
    attention: Any, hidden: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    count, length, width = hidden.shape
    qkv = attention.qkv(hidden).view(count, length, 3, attention.num_heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = _rotate(query, cosine, sine), _rotate(key, cosine, sine)
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    output: torch.Tensor = attention.proj(mixed.transpose(1, 2).reshape(count, length, width))
    return output


def _rotate(vectors: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = vectors.float().chunk(2, dim=-1)
    turned = vectors * cosine + torch.cat((-second, first), dim=-1) * sine
    return turned.to(vectors.dtype)
