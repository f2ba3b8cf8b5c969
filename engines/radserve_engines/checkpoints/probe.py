"""One image and one question that any checkpoint is asked, to compare its logits before and after a change."""

from pathlib import Path
from typing import Any

import numpy as np

_SIDE = 112
_QUESTION = "What is shown in this image?"


class Probe:
    """Noise from a fixed seed: every part of the model sees something. Raises CheckpointError as ModelInputs does."""

    def __init__(self, folder: Path) -> None:
        from radserve_engines.families.model_inputs import ModelInputs

        image = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
        inputs = ModelInputs(folder)
        self.inputs: dict[str, Any] = inputs.encode(f"{inputs.family.placeholder}\n{_QUESTION}", [image])

    def logits(self, model: Any) -> Any:
        """(T, vocabulary) float32."""
        import torch

        with torch.inference_mode():
            return model(**with_decoder(model, self.inputs)).logits[0].float()


def with_decoder(model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """`inputs`, with a first decoder token where the language model is an encoder and a decoder (T5)."""
    import torch

    text = model.config.get_text_config()
    if not getattr(text, "is_encoder_decoder", False):
        return inputs
    start = getattr(text, "decoder_start_token_id", None) or 0
    return {**inputs, "decoder_input_ids": torch.tensor([[start]])}
