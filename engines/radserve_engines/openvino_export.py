"""Export a Qwen2.5-VL checkpoint as an INT8 OpenVINO GenAI engine.

`python -m radserve_engines.openvino_export --checkpoint DIR --out DIR [--data DIR --cache DIR]`

All weights become INT8. With question sets to calibrate on, the vision tower computes in INT8 too.

The four graphs have the names and inputs that GenAI's `VLMPipeline` and `ContinuousBatchingPipeline`
expect of Qwen2.5-VL (the layout of optimum-intel, without depending on it). The language model is
stateful: its key–value cache is hidden in variables, which GenAI turns into paged attention.
"""

import argparse
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_engines.demo_checkpoint import IMAGE_SIDE, load_checkpoint
from radserve_engines.openvino_state import hide_cache
from radserve_engines.vision_quantization import choose_calibration_images, quantize_vision_merger
from radserve_engines.vqa_data import ImageCache, load_training_questions, render_images

COPIED = ("config.json", "generation_config.json", "preprocessor_config.json", "chat_template.jinja")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Rendered images, and which of them the vision tower's value ranges are measured on."""

    images: ImageCache
    names: Sequence[str]


def export_engine(checkpoint: Path, out: Path, calibration: Calibration | None = None) -> None:
    """Write the INT8 engine of `checkpoint` to `out`."""
    import openvino
    import openvino_tokenizers

    model, tokenizer = load_checkpoint(checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    for name, convert in GRAPHS.items():
        graph = convert(model)
        if name == VISION_MERGER and calibration is not None:
            graph = quantize_vision_merger(graph, model, calibration.images, calibration.names)
        else:
            graph = _compress(graph)
        openvino.save_model(graph, out / f"openvino_{name}.xml", compress_to_fp16=True)
    graphs = openvino_tokenizers.convert_tokenizer(tokenizer, with_detokenizer=True)
    for name, graph in zip(("tokenizer", "detokenizer"), graphs, strict=True):
        openvino.save_model(graph, out / f"openvino_{name}.xml")
    for name in COPIED + TOKENIZER_FILES:
        shutil.copyfile(checkpoint / name, out / name)


def convert_text_embeddings(model: Any) -> Any:
    """`input` token ids [batch, length] → `inputs_embeds` [batch, length, hidden]."""
    import torch

    graph = _trace(model.model.language_model.embed_tokens, (torch.ones(2, 3, dtype=torch.long),))
    return _name(graph, {"input": [-1, -1]}, ["inputs_embeds"])


def convert_vision_embeddings(model: Any) -> Any:
    """`hidden_states` normalised patches [patches, 1176] → `last_hidden_state` [patches, hidden]."""
    import torch

    from radserve_engines.openvino_modules import PatchEmbedding

    visual = model.model.visual
    width = visual.patch_embed.proj.weight[0].numel()
    graph = _trace(PatchEmbedding(visual), (torch.zeros(16, width),))
    return _name(graph, {"hidden_states": [-1, width]}, ["last_hidden_state"])


def convert_vision_merger(model: Any) -> Any:
    """Embedded patches → image tokens, with the masks and the window order as inputs."""
    import torch

    from radserve_engines.openvino_modules import VisionMerger

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

    from radserve_engines.openvino_modules import LanguageModel

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


VISION_MERGER = "vision_embeddings_merger_model"
GRAPHS: dict[str, Callable[[Any], Any]] = {
    "text_embeddings_model": convert_text_embeddings,
    "vision_embeddings_model": convert_vision_embeddings,
    VISION_MERGER: convert_vision_merger,
    "language_model": convert_language_model,
}


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


def _compress(graph: Any) -> Any:
    """Compress weights to INT8, asymmetric, one scale a channel."""
    import nncf

    return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)


def load_calibration(data: Path, cache: Path, count: int) -> Calibration:
    """Render the training images below `data` into `cache` and choose `count` of them."""
    names = [item.image for item in load_training_questions(data)]
    return Calibration(render_images(data, names, cache, IMAGE_SIDE), choose_calibration_images(names, count))


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(prog="radserve_engines.openvino_export", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the Qwen2.5-VL checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder for the engine")
    parser.add_argument("--data", type=Path, help="folder of the question sets, to calibrate on")
    parser.add_argument("--cache", type=Path, help="folder for the rendered images")
    parser.add_argument("--calibration-images", type=int, default=200)
    given = parser.parse_args()
    if (given.data is None) != (given.cache is None):
        parser.error("--data and --cache go together")
    calibration = None
    if given.data is not None:
        calibration = load_calibration(given.data, given.cache, given.calibration_images)
    export_engine(given.checkpoint, given.out, calibration)


if __name__ == "__main__":
    main()
