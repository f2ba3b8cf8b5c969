"""What GenAI feeds the graphs of a Qwen2.5-VL engine, made here for calibration: patches, masks, embeddings, positions.

Any image size and any number of windows and images: as in GenAI, all images of one question pass the vision tower
together, and masks of minus infinity keep images and windows apart.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_engines.families.chat_template import find_template
from radserve_engines.generation import Generation
from radserve_engines.openvino.graphs import TEXT_EMBEDDINGS, VISION_EMBEDDINGS, VISION_MERGER, graph_path

Inputs = dict[str, NDArray[Any]]


class VisionInputs:
    """The vision merger's inputs for rendered images; `model` needs only its shape, its weights are in `engine`."""

    def __init__(self, model: Any, checkpoint: Path, engine: Path) -> None:
        from radserve_engines.families.model_inputs import ModelInputs

        self.checkpoint = ModelInputs(checkpoint)
        self._visual = model.model.visual
        self._embed = _compiled(engine, VISION_EMBEDDINGS)

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Inputs:
        """Images (H, W, 3) of one question, resized as the checkpoint's preprocessing asks."""
        encoded = self.checkpoint.encode(self.checkpoint.family.placeholder * len(images), images)
        return self.encode_patches(encoded["pixel_values"], encoded["image_grid_thw"])

    def encode_patches(self, patches: Any, grids: Any) -> Inputs:
        """Tensors: normalised patches [patches, 1176] of all images, grids [images, 3] of time, rows, columns."""
        windows, edges = self._visual.get_window_index(grids)
        return {
            "hidden_states": self._embed(patches.float().numpy())[0],
            "attention_mask": _keep_apart(grids.prod(-1).cumsum(0).numpy()),
            "window_attention_mask": _keep_apart(np.unique(edges)[1:]),
            "window_index": np.asarray(windows, np.int64),
            "rotary_pos_emb": self._visual.rot_pos_emb(grids).float().numpy(),
        }


class DecoderInputs:
    """The language model's inputs for whole questions: what calibrates its weights."""

    def __init__(self, model: Any, checkpoint: Path, engine: Path) -> None:
        from transformers import AutoTokenizer

        self._model = model
        self._vision = VisionInputs(model, checkpoint, engine)
        self._template = find_template(checkpoint, self._vision.checkpoint.family)
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        self._embed, self._merge = _compiled(engine, TEXT_EMBEDDINGS), _compiled(engine, VISION_MERGER)

    def encode(self, sample: Generation) -> Inputs:
        """Embedded tokens with the image tokens in their places, mask, positions, and the one beam."""
        text = self._tokenizer.apply_chat_template(
            list(sample.messages),
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
        )
        encoded = self._vision.checkpoint.encode(text, sample.images)
        ids, mask, grids = encoded["input_ids"], encoded["attention_mask"], encoded.get("image_grid_thw")
        embeds = self._embed(ids.numpy())[0]
        if grids is not None:
            vision = self._vision.encode_patches(encoded["pixel_values"], grids)
            embeds[ids.numpy() == self._model.config.image_token_id] = self._merge(vision)[0]
        positions, _ = self._model.model.get_rope_index(ids, grids, attention_mask=mask)
        return {
            "inputs_embeds": embeds,
            "attention_mask": mask.numpy(),
            "position_ids": positions.numpy(),
            "beam_idx": np.zeros(1, np.int32),
        }


def _keep_apart(ends: NDArray[np.int64]) -> NDArray[np.float32]:
    """Additive mask [1, rows, rows]: 0 between rows of one stretch, minus infinity between stretches."""
    owner = np.searchsorted(ends, np.arange(ends[-1]), side="right")
    return np.where(owner[:, None] == owner, 0.0, -np.inf).astype(np.float32)[None]


def _compiled(engine: Path, name: str) -> Any:
    import openvino

    return openvino.Core().compile_model(graph_path(engine, name), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
