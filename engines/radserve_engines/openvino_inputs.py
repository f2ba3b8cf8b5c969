"""What GenAI feeds the graphs of a Qwen2.5-VL engine, made here for calibration: patches, masks, embeddings, positions.

Any image size and any number of windows and images: as in GenAI, all images of one question pass the vision tower
together, and masks of minus infinity keep images and windows apart.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_engines.generation import Generation
from radserve_engines.openvino_graphs import TEXT_EMBEDDINGS, VISION_EMBEDDINGS, VISION_MERGER, graph_path

Inputs = dict[str, NDArray[Any]]


class VisionInputs:
    """The vision merger's inputs for rendered images; `model` needs only its shape, its weights are in `engine`."""

    def __init__(self, model: Any, checkpoint: Path, engine: Path) -> None:
        from transformers import Qwen2VLImageProcessor

        self._visual = model.model.visual
        self._processor = Qwen2VLImageProcessor.from_pretrained(checkpoint, local_files_only=True)
        self._embed = _compiled(engine, VISION_EMBEDDINGS)

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Inputs:
        """Images (H, W, 3) of one question, resized as the checkpoint's preprocessing asks."""
        return self.encode_patches(*self.patches(images))

    def patches(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Normalised patches [patches, 1176] of all images, and their grids [images, 3]: time, rows, columns."""
        features = self._processor(images=list(images), return_tensors="np")
        return features["pixel_values"].astype(np.float32), features["image_grid_thw"].astype(np.int64)

    def encode_patches(self, patches: NDArray[np.float32], grids: NDArray[np.int64]) -> Inputs:
        """The same for what `patches` returned."""
        import torch

        shape = torch.from_numpy(grids)
        windows, edges = self._visual.get_window_index(shape)
        return {
            "hidden_states": self._embed(patches)[0],
            "attention_mask": _keep_apart(grids.prod(axis=1).cumsum()),
            "window_attention_mask": _keep_apart(np.unique(edges)[1:]),
            "window_index": np.asarray(windows, np.int64),
            "rotary_pos_emb": self._visual.rot_pos_emb(shape).float().numpy(),
        }


class DecoderInputs:
    """The language model's inputs for whole questions: what calibrates its weights."""

    def __init__(self, model: Any, checkpoint: Path, engine: Path) -> None:
        from transformers import AutoTokenizer

        self._model = model
        self._vision = VisionInputs(model, checkpoint, engine)
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        self._embed, self._merge = _compiled(engine, TEXT_EMBEDDINGS), _compiled(engine, VISION_MERGER)

    def encode(self, sample: Generation) -> Inputs:
        """Embedded tokens with the image tokens in their places, mask, positions, and the one beam."""
        import torch

        patches, grids, counts = None, None, []
        if sample.images:
            patches, grids = self._vision.patches(sample.images)
            counts = (grids.prod(axis=1) // self._model.model.visual.spatial_merge_unit).tolist()
        ids = self._token_ids(sample, counts)
        embeds = self._embed(ids)[0]
        if patches is not None and grids is not None:
            embeds[ids == self._image_token] = self._merge(self._vision.encode_patches(patches, grids))[0]
        mask = np.ones_like(ids)
        positions, _ = self._model.model.get_rope_index(
            torch.from_numpy(ids),
            torch.from_numpy(grids) if grids is not None else None,
            attention_mask=torch.from_numpy(mask),
        )
        return {
            "inputs_embeds": embeds,
            "attention_mask": mask,
            "position_ids": positions.numpy(),
            "beam_idx": np.zeros(1, np.int32),
        }

    @property
    def _image_token(self) -> int:
        return int(self._model.config.image_token_id)

    def _token_ids(self, sample: Generation, counts: Sequence[int]) -> NDArray[np.int64]:
        """[1, length], the placeholder of each image repeated once for each of its tokens."""
        text = self._tokenizer.apply_chat_template(
            list(sample.messages), tokenize=False, add_generation_prompt=True
        )
        left = iter(counts)
        ids = self._tokenizer(text)["input_ids"]
        full = [token for i in ids for token in ([i] * next(left) if i == self._image_token else [i])]
        return np.array([full], np.int64)


def _keep_apart(ends: NDArray[np.int64]) -> NDArray[np.float32]:
    """Additive mask [1, rows, rows]: 0 between rows of one stretch, minus infinity between stretches."""
    owner = np.searchsorted(ends, np.arange(ends[-1]), side="right")
    return np.where(owner[:, None] == owner, 0.0, -np.inf).astype(np.float32)[None]


def _compiled(engine: Path, name: str) -> Any:
    import openvino

    return openvino.Core().compile_model(graph_path(engine, name), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
