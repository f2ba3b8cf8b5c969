"""What the benchmark and its PyTorch process say to each other; one message is answered before the next is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded; what it is, as JSON values."""

    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prepare:
    """Tokenize the question, preprocess its images ((H, W, 3), RGB), and keep the model's inputs in the file."""

    path: str
    question: str
    images: tuple[NDArray[np.uint8], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The file is there."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer what was prepared in the file, in exactly `tokens` tokens, or to the model's own end."""

    path: str
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Answered:
    """Times by `time.perf_counter`: begun, images encoded, each token given out, `generate` returned."""

    began: float
    encoded: float
    times: tuple[float, ...]
    end: float
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """This question was not prepared, or not answered; the process goes on."""

    message: str
