"""INT8 activations in the vision tower of an OpenVINO engine, calibrated on rendered images.

At 224 x 224 the vision tower is most of the time to first token, and it is bound by arithmetic:
INT8 weights alone do not speed it up, INT8 products do. The language model decodes one token at a
time, is bound by memory, and needs no calibrated activations.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_engines.openvino.inputs import Inputs, VisionInputs
from radserve_engines.openvino.weights import quietly, seen_once


def quantize_vision_merger(
    graph: Any,
    inputs: VisionInputs,
    images: Sequence[NDArray[np.uint8]],
    note: Callable[[], None] = lambda: None,
) -> Any:
    """The vision merger `graph` with INT8 weights and activations, calibrated on `images` (H, W, 3) of any size.

    `note` is called once for each image.
    """
    import nncf

    def encode(image: NDArray[np.uint8]) -> Inputs:
        return inputs.encode([image])

    with quietly():
        return nncf.quantize(
            graph,
            nncf.Dataset(seen_once(images, note), encode),
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
        )
