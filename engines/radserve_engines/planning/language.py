"""The language model's side of a config.json: its shape, its parameters by part, and its KV cache.

Counts are closed formulas over the config, one for each way of building a layer (RMSNorm and a gated MLP; OPT;
BLOOM; T5), so that a plan needs neither the weights nor PyTorch. Tests hold them against transformers' own models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from radserve_engines.errors import PlanError


@dataclass(frozen=True, slots=True)
class Language:
    """A decoder (for T5 also an encoder). `linear` are the weights that recipes quantize, `other` the rest of the
    layers (norms, biases, routers); `embeddings` and `head` stay bf16, and a tied head has no weights of its own."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    linear: int
    other: int
    embeddings: int
    expert_linear: int = (
        0  # of `linear`: in experts, of which a token passes `experts_active` out of `experts`
    )
    experts: int = 1
    experts_active: int = 1
    encoder_linear: int = 0  # of `linear`: in an encoder, run over the prompt and not for every answer token
    sliding_window: int | None = None

    @property
    def head(self) -> int:
        """Parameters multiplied to get logits, whether stored once more or tied."""
        return self.vocabulary * self.hidden

    @property
    def body(self) -> int:
        """Parameters of the layers and the last norm."""
        return self.linear + self.other

    @property
    def parameters(self) -> int:
        """What the checkpoint holds."""
        return self.body + self.embeddings + (0 if self.tied else self.head)

    def kv_values(self, tensor_parallel: int = 1) -> int:
        """Keys and values of one token on one GPU; a KV head is never split, so few heads are repeated."""
        return 2 * self.layers * -(-self.kv_heads // tensor_parallel) * self.head_dim

    def streamed(self, batch: int) -> float:
        """Weights of the layers read for one decode step of `batch` answers: all, or the experts they touch."""
        share = 1 - (1 - self.experts_active / self.experts) ** batch
        return self.linear - self.encoder_linear - self.expert_linear * (1 - share)

    @property
    def decoded(self) -> float:
        """Weights that multiply one answer token."""
        return self.streamed(1)

    @property
    def prefilled(self) -> float:
        """Weights that multiply one prompt token; in an encoder-decoder that is the encoder."""
        return self.encoder_linear or self.decoded


_LLAMA = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
_QWEN = {**_LLAMA, "vocab_size": 151936, "intermediate_size": 22016, "num_key_value_heads": 32}
_QWEN_VL = {
    **_QWEN,
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
}
_QWEN3 = {**_QWEN, "head_dim": 128}
_GEMMA3 = {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
# What transformers assumes where a config.json is silent, as many are.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": _LLAMA,
    "mistral": {**_LLAMA, "intermediate_size": 14336, "num_key_value_heads": 8},
    "qwen2": _QWEN,
    "qwen2_vl_text": _QWEN_VL,
    "qwen2_5_vl_text": _QWEN_VL,
    "qwen3": _QWEN3,
    "qwen3_vl_text": _QWEN3,
    "qwen3_vl_moe_text": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "moe_intermediate_size": 1408,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "vocab_size": 151936,
    },
    "gemma3_text": _GEMMA3,
    "phi3": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32064,
    },
    "phi4_multimodal": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 200064,
    },
    "opt": {
        "hidden_size": 768,
        "ffn_dim": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "vocab_size": 50272,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
    "bloom": {
        "hidden_size": 64,
        "n_layer": 2,
        "n_head": 8,
        "vocab_size": 250880,
        "tie_word_embeddings": True,
    },
    "t5": {
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_heads": 8,
        "vocab_size": 32128,
        "relative_attention_num_buckets": 32,
        "feed_forward_proj": "relu",
        "tie_word_embeddings": True,
    },
}
_ATTENTION_BIAS = ("qwen2", "qwen2_vl_text", "qwen2_5_vl_text")
_HEAD_NORMS = ("qwen3", "qwen3_vl_text", "qwen3_vl_moe_text", "gemma3_text")


def read_language(config: Mapping[str, Any], kind: str) -> Language:
    """Out of a text config whose model type is `kind`; raises PlanError that names the missing or odd field."""
    if kind not in DEFAULTS:
        raise PlanError(
            f"config.json: language model {kind!r} is not known here; known: {', '.join(DEFAULTS)}",
            param="model",
        )
    given = {key: value for key, value in config.items() if value is not None}
    fields = {**DEFAULTS[kind], **given}
    if kind == "t5":
        return _t5(fields)
    if kind in ("opt", "bloom"):
        return _biased(fields, kind)
    return _gated(fields, kind)


def whole(fields: Mapping[str, Any], *names: str) -> int:
    """The first of these fields that is given; raises PlanError unless it is a whole number of at least 1."""
    name = next((one for one in names if one in fields), names[0])
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise PlanError(f"config.json: {name} is {value!r}, not a whole number of at least 1", param="model")
    return value


def _gated(fields: Mapping[str, Any], kind: str) -> Language:
    """RMSNorm, grouped-query attention, gated MLP: Llama, Mistral, Qwen 2 to 3, Gemma 3, Phi; experts for Qwen3 MoE."""
    hidden, heads = whole(fields, "hidden_size"), whole(fields, "num_attention_heads")
    layers, middle = whole(fields, "num_hidden_layers"), whole(fields, "intermediate_size")
    kv_heads = whole({"num_attention_heads": heads, **fields}, "num_key_value_heads", "num_attention_heads")
    head_dim = whole({"derived": hidden // heads, **fields}, "head_dim", "derived")
    queries, keys = heads * head_dim, kv_heads * head_dim
    biases = queries + 2 * keys if kind in _ATTENTION_BIAS or fields.get("attention_bias") else 0
    norms = (4 if kind == "gemma3_text" else 2) * hidden + (2 * head_dim if kind in _HEAD_NORMS else 0)
    attention = 2 * hidden * queries + 2 * hidden * keys
    experts, active, router, mlp = 1, 1, 0, 3 * hidden * middle
    if kind == "qwen3_vl_moe_text":
        experts, active = whole(fields, "num_experts"), whole(fields, "num_experts_per_tok")
        middle = whole(fields, "moe_intermediate_size")
        router, mlp = hidden * experts, 3 * hidden * middle * experts
    return Language(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=middle,
        vocabulary=whole(fields, "vocab_size"),
        tied=bool(fields.get("tie_word_embeddings", False)),
        linear=layers * (attention + mlp),
        other=layers * (norms + biases + router) + hidden,
        embeddings=whole(fields, "vocab_size") * hidden,
        expert_linear=layers * mlp if experts > 1 else 0,
        experts=experts,
        experts_active=active,
        sliding_window=fields.get("sliding_window") if kind == "gemma3_text" else None,
    )


def _biased(fields: Mapping[str, Any], kind: str) -> Language:
    """LayerNorm and a plain MLP, all with biases: OPT (learned positions) and BLOOM (normed embeddings)."""
    hidden = whole(fields, "n_embed", "hidden_size")
    layers, heads = (
        whole(fields, "n_layer", "num_hidden_layers"),
        whole(fields, "n_head", "num_attention_heads"),
    )
    middle, vocabulary = whole({"ffn_dim": 4 * hidden, **fields}, "ffn_dim"), whole(fields, "vocab_size")
    extra = 2 * hidden if kind == "bloom" else (whole(fields, "max_position_embeddings") + 2) * hidden
    return Language(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        intermediate=middle,
        vocabulary=vocabulary,
        tied=bool(fields["tie_word_embeddings"]),
        linear=layers * (4 * hidden * hidden + 2 * hidden * middle),
        other=layers * (4 * hidden + 4 * hidden + middle + hidden) + 2 * hidden,
        embeddings=vocabulary * hidden + extra,
    )


def _t5(fields: Mapping[str, Any]) -> Language:
    """Encoder and decoder. What the decoder keeps of a prompt token are its cross-attention keys and values."""
    hidden, heads, head_dim = whole(fields, "d_model"), whole(fields, "num_heads"), whole(fields, "d_kv")
    encoders = whole(fields, "num_layers")
    layers = whole({"num_layers": encoders, **fields}, "num_decoder_layers", "num_layers")
    middle, vocabulary = whole(fields, "d_ff"), whole(fields, "vocab_size")
    mlp = (3 if str(fields["feed_forward_proj"]).startswith("gated") else 2) * hidden * middle
    attention = 4 * hidden * heads * head_dim
    buckets = 2 * whole(fields, "relative_attention_num_buckets") * heads
    return Language(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        intermediate=middle,
        vocabulary=vocabulary,
        tied=bool(fields["tie_word_embeddings"]),
        linear=encoders * (attention + mlp) + layers * (2 * attention + mlp),
        other=encoders * 2 * hidden + layers * 3 * hidden + 2 * hidden + buckets,
        embeddings=vocabulary * hidden,
        encoder_linear=encoders * (attention + mlp),
    )
