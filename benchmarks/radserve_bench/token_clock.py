"""When `transformers` `generate` gave out each token."""

import time

import torch
from transformers.generation.streamers import BaseStreamer


class TokenClock(BaseStreamer):  # type: ignore[misc]
    """`times`, in seconds on the monotonic clock: the prompt's, then each token's, once it has left the device."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing to do."""
