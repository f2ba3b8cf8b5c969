"""The four graphs of a Qwen2.5-VL engine, traced from PyTorch.

They have the names and inputs that GenAI's `VLMPipeline` and `ContinuousBatchingPipeline` expect (the layout of
optimum-intel, without depending on it). The language model is stateful: its key–value cache is hidden in variables,
which GenAI turns into paged attention. Weights of 16 bits stay so in the graph, and are summed up in f32.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from radserve_engines.checkpoints.loading import check_complete
from radserve_engines.errors import BuildRefused, CheckpointError
from radserve_engines.openvino.state import hide_cache


def load_traceable(checkpoint: Path, dtype: str = "auto") -> Any:
    """The model for tracing only, by default in the checkpoint's dtype, its vision tower in float32.

    Raises BuildRefused for sliding-window attention, CheckpointError for weights that do not fit the class.
    """
    from openvino.frontend.pytorch import patch_model
    from transformers import Qwen2_5_VLForConditionalGeneration

    try:
        model, found = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            checkpoint, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{checkpoint} cannot be loaded: {error}") from error
    check_complete(checkpoint, model, found)
    model.eval()
    if "sliding_attention" in model.config.text_config.layer_types:
        raise BuildRefused(
            f"{checkpoint / 'config.json'}: use_sliding_window is true, and the OpenVINO language model attends to "
            "the whole context; build for --target torch, or set it to false if the checkpoint was tuned so"
        )
    model.model.visual.float()  # NNCF folds no FakeQuantize into 16-bit constants
    patch_model.__make_16bit_traceable(model)
    return model


def convert_text_embeddings(model: Any) -> Any:
    """`input` token ids [batch, length] → `inputs_embeds` [batch, length, hidden]."""
    import torch

    from radserve_engines.openvino.modules import TextEmbedding

    embedding = TextEmbedding(model.model.language_model.embed_tokens)
    graph = _trace(embedding, (torch.ones(2, 3, dtype=torch.long),))
    return _name(graph, {"input": [-1, -1]}, ["inputs_embeds"])


def convert_vision_embeddings(model: Any) -> Any:
    """`hidden_states` normalised patches [patches, 1176] → `last_hidden_state` [patches, hidden]."""
    import torch

    from radserve_engines.openvino.modules import PatchEmbedding

    visual = model.model.visual
    width = visual.patch_embed.proj.weight[0].numel()
    graph = _trace(PatchEmbedding(visual), (torch.zeros(16, width),))
    return _name(graph, {"hidden_states": [-1, width]}, ["last_hidden_state"])


def convert_vision_merger(model: Any) -> Any:
    """Embedded patches → image tokens, with the masks and the window order as inputs."""
    import torch

    from radserve_engines.openvino.modules import VisionMerger

    visual = model.model.visual
    width = visual.config.hidden_size
    rotary = width // visual.config.num_heads // 2
    example = (
        torch.randn(16, width),
        torch.zeros(1, 16, 16),
        torch.zeros(1, 16, 16),
        torch.arange(16 // visual.spatial_merge_unit),
        torch.randn(16, rotary),
    )
    shapes = {
        "hidden_states": [-1, width],
        "attention_mask": [1, -1, -1],
        "window_attention_mask": [1, -1, -1],
        "window_index": [-1],
        "rotary_pos_emb": [-1, rotary],
    }
    return _name(_trace(VisionMerger(visual), example), shapes, ["last_hidden_state"])


def convert_language_model(model: Any) -> Any:
    """Embedded tokens, 2-D mask and [3, batch, length] positions → `logits`; the cache is hidden state."""
    import torch

    from radserve_engines.openvino.modules import LanguageModel

    config = model.config.text_config
    heads, size = config.num_key_value_heads, config.hidden_size // config.num_attention_heads
    past = [torch.randn(2, heads, 4, size) for _ in range(2 * config.num_hidden_layers)]
    mask, positions = torch.ones(2, 7, dtype=torch.long), torch.arange(4, 7).expand(3, 2, 3).clone()
    graph = _trace(LanguageModel(model), (mask, positions, torch.randn(2, 3, config.hidden_size), *past))
    caches = [f"{layer}.{part}" for layer in range(config.num_hidden_layers) for part in ("key", "value")]
    shapes = {
        "attention_mask": [-1, -1],
        "position_ids": [3, -1, -1],
        "inputs_embeds": [-1, -1, config.hidden_size],
        **{f"past_key_values.{cache}": [-1, heads, -1, size] for cache in caches},
    }
    graph = _name(graph, shapes, ["logits", *[f"present.{cache}" for cache in caches]])
    hide_cache(graph, caches)
    return graph


TEXT_EMBEDDINGS, VISION_EMBEDDINGS = "text_embeddings_model", "vision_embeddings_model"
VISION_MERGER, LANGUAGE_MODEL = "vision_embeddings_merger_model", "language_model"
GRAPHS: Mapping[str, Callable[[Any], Any]] = {
    TEXT_EMBEDDINGS: convert_text_embeddings,
    VISION_EMBEDDINGS: convert_vision_embeddings,
    VISION_MERGER: convert_vision_merger,
    LANGUAGE_MODEL: convert_language_model,
}


def graph_path(folder: Path, name: str) -> Path:
    """Where GenAI looks for a graph; its weights lie beside it in a file that ends in .bin."""
    return folder / f"openvino_{name}.xml"


def _trace(module: Any, example: tuple[Any, ...]) -> Any:
    import openvino
    import torch

    with torch.no_grad(), warnings.catch_warnings():
        # OpenVINO still traces with torch.jit; the tracer warns of shapes that are constant here.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return openvino.convert_model(module.eval(), example_input=example)


def _name(graph: Any, shapes: dict[str, list[int]], outputs: list[str]) -> Any:
    """Give inputs their names and shapes (-1 is dynamic) and outputs their names, in order."""
    import openvino

    for port, (name, shape) in zip(graph.inputs, shapes.items(), strict=True):
        port.get_node().set_partial_shape(openvino.PartialShape(shape))
        port.get_node().set_friendly_name(name)
        port.get_tensor().set_names({name})
    for port, name in zip(graph.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})
    graph.validate_nodes_and_infer_types()
    return graph
