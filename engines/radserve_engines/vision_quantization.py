"""INT8 activations in the vision tower of an OpenVINO engine, calibrated on rendered images.

At 224 x 224 the vision tower is most of the time to first token, and it is bound by arithmetic:
INT8 weights alone do not speed it up, INT8 products do. The language model decodes one token at a
time, is bound by memory, and keeps INT8 weights with floating-point activations.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_engines.demo_checkpoint import GRID, MERGE
from radserve_engines.vqa_data import ImageCache

Inputs = dict[str, npt.NDArray[Any]]


def quantize_vision_merger(graph: Any, model: Any, images: ImageCache, names: Sequence[str]) -> Any:
    """Return the vision merger `graph` with INT8 weights and activations, calibrated on images `names`."""
    import nncf

    samples = [_merger_inputs(model, images, name) for name in names]
    return nncf.quantize(
        graph,
        nncf.Dataset(samples),
        subset_size=len(samples),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
    )


def choose_calibration_images(names: Sequence[str], count: int) -> list[str]:
    """`count` images spread evenly over the sorted `names`."""
    ordered = sorted(set(names))
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).astype(int)
    return [ordered[place] for place in places]


def _merger_inputs(model: Any, images: ImageCache, name: str) -> Inputs:
    import torch

    from radserve_engines.vision_tower import embed_patches, normalise_pixels, patchify

    visual = model.model.visual
    patches = patchify(normalise_pixels(torch.from_numpy(images.stack([name])))).flatten(0, 2)
    with torch.no_grad():
        embedded = embed_patches(visual.patch_embed, patches).numpy()
        rotary = visual.rot_pos_emb(torch.tensor([[1, GRID, GRID]])).numpy()
    nothing_hidden = np.zeros((1, GRID * GRID, GRID * GRID), np.float32)
    return {
        "hidden_states": embedded,
        "attention_mask": nothing_hidden,
        "window_attention_mask": nothing_hidden,
        "window_index": np.arange(GRID * GRID // MERGE**2),
        "rotary_pos_emb": rotary,
    }
