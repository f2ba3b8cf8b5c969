"""The baseline: the same checkpoint in PyTorch, asked through `transformers` `generate`, fp32, one at a time."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForImageTextToText, Qwen2VLImageProcessor
from transformers.generation.streamers import BaseStreamer

from radserve_engines.manifest import read_manifest
from radserve_engines.prompt import PromptTemplate


class Baseline:
    """Answers of a fixed number of tokens, timed from the call of `generate`."""

    def __init__(self, checkpoint: Path, tokens: int) -> None:
        self._tokens = tokens
        self._template = PromptTemplate(checkpoint, read_manifest(checkpoint))
        self._model = AutoModelForImageTextToText.from_pretrained(
            checkpoint, dtype=torch.float32, local_files_only=True
        ).eval()
        self._processor = Qwen2VLImageProcessor.from_pretrained(checkpoint, local_files_only=True)

    def ask(self, pixels: NDArray[np.uint8], question: str) -> tuple[float, float]:
        """(H, W, 3) and a question → seconds to the first token, and tokens a second."""
        inputs = self._inputs(pixels, question)
        clock = _TokenClock()
        began = time.perf_counter()
        with torch.inference_mode():
            self._model.generate(
                **inputs,
                max_new_tokens=self._tokens,
                min_new_tokens=self._tokens,
                do_sample=False,
                streamer=clock,
            )
        total = time.perf_counter() - began
        return clock.times[1] - began, (len(clock.times) - 1) / total

    def _inputs(self, pixels: NDArray[np.uint8], question: str) -> dict[str, Any]:
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = self._template.render(({"role": "user", "content": content},), (pixels,))
        features = self._processor(images=[pixels], return_tensors="pt")
        image = self._model.config.image_token_id
        ids = self._template.tokenizer.encode(prompt.text).ids
        ids = [token for i in ids for token in ([i] * prompt.image_tokens if i == image else [i])]
        return {
            "input_ids": torch.tensor([ids]),
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
            "pixel_values": features["pixel_values"],
            "image_grid_thw": features["image_grid_thw"],
        }


class _TokenClock(BaseStreamer):  # type: ignore[misc]
    """When the prompt and then each token came out of `generate`."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing to do."""
