"""The baseline: the same checkpoint in PyTorch, asked through `transformers` `generate`, fp32, one at a time."""

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from radserve_bench.token_clock import TokenClock
from radserve_engines.families.model_inputs import ModelInputs
from radserve_engines.manifest import read_manifest
from radserve_engines.prompt import PromptTemplate
from radserve_engines.runtime.torch import load_model


class Baseline:
    """Answers of a fixed number of tokens, timed from the call of `generate`."""

    def __init__(self, checkpoint: Path, tokens: int) -> None:
        self._tokens = tokens
        self._template = PromptTemplate(checkpoint, read_manifest(checkpoint))
        self._inputs = ModelInputs(checkpoint)
        self._model = load_model(checkpoint, torch.float32)

    def ask(self, pixels: NDArray[np.uint8], question: str) -> tuple[float, float]:
        """(H, W, 3) and a question → seconds to the first token, and tokens a second."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = self._template.render(({"role": "user", "content": content},), (pixels,))
        inputs = self._inputs.encode(prompt.text, (pixels,))
        clock = TokenClock()
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
