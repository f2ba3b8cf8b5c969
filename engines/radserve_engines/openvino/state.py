"""Hide a decoder's key–value cache in the variables of an OpenVINO graph.

The pattern (a gather by `beam_idx` behind each cache, a zero-length initial state) is the one that
OpenVINO's CPU plugin and GenAI's conversion to paged attention look for.
"""

from collections.abc import Sequence
from typing import Any


def hide_cache(graph: Any, caches: Sequence[str]) -> None:
    """Turn inputs `past_key_values.*` and outputs `present.*` of `caches` into state, in place."""
    from openvino._offline_transformations import apply_make_stateful_transformation

    _reorder_by_beam(graph, [f"past_key_values.{cache}" for cache in caches])
    pairs = {f"past_key_values.{cache}": f"present.{cache}" for cache in caches}
    apply_make_stateful_transformation(graph, pairs)
    _start_empty(graph)


def _reorder_by_beam(graph: Any, inputs: Sequence[str]) -> None:
    import openvino
    from openvino import opset13

    batch = graph.input("inputs_embeds").get_partial_shape()[0]
    beams = opset13.parameter(name="beam_idx", dtype=openvino.Type.i32, shape=openvino.PartialShape([batch]))
    beams.output(0).get_tensor().add_names({"beam_idx"})
    graph.add_parameters([beams])
    for name in inputs:
        port = graph.input(name)
        consumers = port.get_target_inputs()
        gathered = opset13.gather(port, beams, opset13.constant(0))
        for consumer in consumers:
            consumer.replace_source_output(gathered.output(0))
    graph.validate_nodes_and_infer_types()


def _start_empty(graph: Any) -> None:
    import numpy as np
    from openvino import opset13

    shape_of = opset13.shape_of(graph.input("inputs_embeds"), output_type="i64")
    batch = opset13.gather(shape_of, opset13.constant([0]), opset13.constant(0))
    for node in graph.get_ops():
        if node.get_type_name() != "ReadValue":
            continue
        sides = [dimension.min_length for dimension in node.get_output_partial_shape(0)]
        rest = [opset13.constant(np.array([side], dtype=np.int64)) for side in sides[1:]]
        zero = opset13.constant(0.0, dtype=node.get_output_element_type(0))
        node.set_arguments([opset13.broadcast(zero, opset13.concat([batch, *rest], axis=0))])
    graph.validate_nodes_and_infer_types()
