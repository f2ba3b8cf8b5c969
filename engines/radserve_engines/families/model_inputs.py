"""From a rendered prompt and the images that go with it to what a checkpoint's model takes, in PyTorch.

The slow (Pillow) image processors, and the families' own expansion of placeholders: the processors of Qwen-VL and
LLaVA-OneVision do not load without torchvision.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from radserve_engines.errors import CheckpointError
from radserve_engines.families import family_of, read_settings
from radserve_engines.families.image_features import load_features


class ModelInputs:
    """One checkpoint's. Raises CheckpointError where its tokenizer or image processor cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._settings = read_settings(folder)
        self.family = family_of(self._settings)
        self.tokenizer = _read_tokenizer(folder)
        self._features = load_features(self.family, folder, self._settings)
        seats = {self.family.placeholder, self.family.image_token or self.family.placeholder}
        self._image_token = self.tokenizer.token_to_id(self.family.image_token or self.family.placeholder)
        if missing := sorted(seat for seat in seats if self.tokenizer.token_to_id(seat) is None):
            raise CheckpointError(
                f"{folder / 'tokenizer.json'} has no token {missing[0]}, which stands for an image in "
                f"{self.family.title}: add it to the tokenizer as a special token"
            )

    def encode(self, text: str, images: Sequence[NDArray[np.uint8]]) -> dict[str, torch.Tensor]:
        """A batch of one for `generate`: input_ids (1, T), attention_mask (1, T), pixel values (float32) and kin.

        `text` has one placeholder an image, in order; images are (H, W, 3) uint8 as they were rendered.
        """
        if (wanted := text.count(self.family.placeholder)) != len(images):
            raise CheckpointError(
                f"the prompt has {wanted} placeholders {self.family.placeholder}, but {len(images)} images came with it"
            )
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        count, many = self.family.image_tokens, len(images)
        counts = [count(self._settings, *size, many) for size in sizes]
        inputs: dict[str, torch.Tensor] = self._features(images) if images else {}
        ids = self._encode_text(text, counts)
        inputs["input_ids"] = torch.tensor([ids])
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if self.family.name == "gemma3":  # its images see themselves whole
            inputs["token_type_ids"] = (inputs["input_ids"] == self._image_token).long()
        return inputs

    def _encode_text(self, text: str, counts: Sequence[int]) -> list[int]:
        if self.family.name == "blip-2":  # its queries stand before everything, the start token too
            plain = text.replace(self.family.placeholder, "")
            return [self._image_token] * sum(counts) + list(self.tokenizer.encode(plain).ids)
        # Tokenized with one image token each and what stands around it, then repeated.
        ids: list[int] = self.tokenizer.encode(self.family.seat(text)).ids
        left = iter(counts)
        return [token for i in ids for token in ([i] * next(left) if i == self._image_token else [i])]


def _read_tokenizer(folder: Path) -> Any:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(
            f'{folder} has no tokenizer.json; write it with: python -c "from transformers import AutoTokenizer; '
            f"AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    return Tokenizer.from_file(str(path))
