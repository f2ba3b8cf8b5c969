"""From a tiled tower's patches to the language model: MLPs, Gemma's pooling, BLIP-2's Q-Former."""

from collections.abc import Mapping
from typing import Any

from radserve_engines.planning.language import whole


def count_projector(settings: Mapping[str, Any], family: str, hidden: int, text: int) -> tuple[int, int]:
    """(parameters, those that multiply one image token)."""
    if family == "gemma3":
        return hidden * text + hidden, hidden * text
    if family == "blip-2":
        return _q_former(settings, hidden, text)
    if family == "internvl":
        wide = hidden * 4
        return 2 * wide + wide * text + text + text * text + text, wide * text + text * text
    linear = hidden * text + text * text
    if family == "phi4_multimodal":
        return linear + 2 * text + 2 * hidden, linear
    newline = 0 if family == "llava" else text
    return linear + 2 * text + newline, linear


def _q_former(settings: Mapping[str, Any], seen: int, text: int) -> tuple[int, int]:
    """BLIP-2: layers over the query tokens, every few of them with cross-attention to the tower's output."""
    defaults = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "cross_attention_frequency": 2,
    }
    fields = {**defaults, **settings.get("qformer_config", {})}
    width, middle = whole(fields, "hidden_size"), whole(fields, "intermediate_size")
    layers = whole(fields, "num_hidden_layers")
    crossed = -(-layers // whole(fields, "cross_attention_frequency"))
    own = 4 * (width * width + width) + 2 * width
    cross = 2 * (width * width + width) + 2 * (seen * width + width) + 2 * width
    mlp = 2 * width * middle + middle + width + 2 * width
    queries = whole({"num_query_tokens": 32, **settings}, "num_query_tokens") * width
    multiplied = layers * (own + mlp) + crossed * cross + width * text
    return queries + multiplied + text + 2 * width, multiplied
