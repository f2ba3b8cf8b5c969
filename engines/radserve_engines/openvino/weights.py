"""Fewer bits for the weights of an OpenVINO engine's graphs: INT8 for all, INT4 for the language model."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from radserve_engines.generation import Generation
from radserve_engines.openvino.inputs import DecoderInputs

Item = TypeVar("Item")
# Over 300 held-out answers of the demo model, the mean divergence from its unquantized text layers was 0.0019 to 0.0030
# nats a token with groups of 32, 64 and 128, symmetric or not, with AWQ and scale estimation or rounded alone (INT8:
# 0.00005): so small a model does not tell them apart. Larger ones are known to gain from AWQ and lose by large groups.
GROUP = 64


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
    """NNCF's progress bars, and what it logs below an error, are left out: `note` tells how far it is."""
    from rich import get_console  # NNCF draws on this one

    logger, console = logging.getLogger("nncf"), get_console()
    level, quiet = logger.level, console.quiet
    logger.setLevel(logging.ERROR)
    console.quiet = True
    try:
        yield
    finally:
        logger.setLevel(level)
        console.quiet = quiet
