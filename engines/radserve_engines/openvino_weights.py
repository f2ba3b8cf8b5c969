"""Fewer bits for the weights of an OpenVINO engine's graphs: INT8 for all, INT4 for the language model."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from radserve_engines.generation import Generation
from radserve_engines.openvino_inputs import DecoderInputs

Item = TypeVar("Item")
GROUP = 32


def compress_to_int8(graph: Any) -> Any:
    """Weights to INT8, asymmetric, one scale a channel; activations stay as they are."""
    import nncf

    with quietly():
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)


def compress_to_int4(
    graph: Any, inputs: DecoderInputs, samples: Sequence[Generation], note: Callable[[], None] = lambda: None
) -> Any:
    """The language model's weights to INT4 by AWQ with scale estimation on `samples`; its head to INT8.

    `note` is called once for each sample.
    """
    import nncf

    with quietly():
        return nncf.compress_weights(
            graph,
            mode=nncf.CompressWeightsMode.INT4_ASYM,
            ratio=1.0,
            group_size=GROUP,
            dataset=nncf.Dataset(seen_once(samples, note), inputs.encode),
            subset_size=len(samples),
            awq=True,
            scale_estimation=True,
            advanced_parameters=nncf.AdvancedCompressionParameters(
                group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST
            ),
        )


class seen_once(Generic[Item]):
    """`items`, which may be gone through many times; `note` is called when one is reached for the first time."""

    def __init__(self, items: Sequence[Item], note: Callable[[], None]) -> None:
        self._items, self._note = items, note
        self._seen = 0

    def __iter__(self) -> Iterator[Item]:
        for number, item in enumerate(self._items):
            if number >= self._seen:
                self._seen = number + 1
                self._note()
            yield item

    def __len__(self) -> int:
        return len(self._items)


@contextmanager
def quietly() -> Iterator[None]:
    """NNCF's tables and its notes on what it did at level INFO are left out."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
