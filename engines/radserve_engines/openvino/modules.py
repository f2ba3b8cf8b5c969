"""Torch modules that are traced into the graphs of an OpenVINO engine."""

from typing import Any

import torch

from radserve_engines.vision_tower import embed_patches, encode_patches

# Stands for minus infinity, and is finite in float16.
_BLOCKED = -65504.0


class TextEmbedding(torch.nn.Module):  # type: ignore[misc]
    """Token ids to embedded tokens."""

    def __init__(self, embedding: Any) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embed [batch, length] as [batch, length, hidden]."""
        embedded: torch.Tensor = self.embedding(tokens)
        return embedded


class PatchEmbedding(torch.nn.Module):  # type: ignore[misc]
    """Normalised patches to embedded patches."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.patch_embed = visual.patch_embed

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Embed [patches, values] as [patches, hidden]."""
        return embed_patches(self.patch_embed, hidden_states)


class VisionMerger(torch.nn.Module):  # type: ignore[misc]
    """Embedded patches to image tokens; masks replace the loops over images and windows."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual
        self._unit = visual.spatial_merge_unit

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        window_attention_mask: torch.Tensor,
        window_index: torch.Tensor,
        rotary_pos_emb: torch.Tensor,
    ) -> torch.Tensor:
        """Encode [patches, hidden] as [patches / 4, text hidden]."""
        full = self.visual.fullatt_block_indexes
        masks = [
            (attention_mask if number in full else window_attention_mask)[:, None]
            for number in range(len(self.visual.blocks))
        ]
        hidden = self._windowed(hidden_states, window_index)[None]
        tokens = encode_patches(
            self.visual, hidden, self._windowed(rotary_pos_emb, window_index)[None], masks
        )
        return tokens[0][torch.argsort(window_index)]

    def _windowed(self, rows: torch.Tensor, window_index: torch.Tensor) -> torch.Tensor:
        groups = rows.reshape(-1, self._unit, rows.shape[-1])[window_index]
        return groups.reshape(-1, rows.shape[-1])


class LanguageModel(torch.nn.Module):  # type: ignore[misc]
    """Embedded tokens and a key–value cache to logits and the longer cache."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text = model.model.language_model
        self.head = model.lm_head

    def forward(
        self,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        inputs_embeds: torch.Tensor,
        *past: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """`past` alternates keys and values, each [batch, heads, past length, head size]."""
        cache = _GrowingCache(past)
        hidden = self.text(
            inputs_embeds=inputs_embeds,
            attention_mask={"full_attention": _causal(attention_mask, inputs_embeds.shape[1])},
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return (self.head(hidden), *cache.tensors)


class _GrowingCache:
    """What the text model asks of a cache, without anything that a trace cannot hold."""

    def __init__(self, tensors: tuple[torch.Tensor, ...]) -> None:
        self.tensors = list(tensors)

    def get_seq_length(self) -> int:
        return int(self.tensors[0].shape[2])

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer: int, _: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        at = 2 * layer
        self.tensors[at] = torch.cat((self.tensors[at], key), dim=2)
        self.tensors[at + 1] = torch.cat((self.tensors[at + 1], value), dim=2)
        return self.tensors[at], self.tensors[at + 1]


def _causal(attention_mask: torch.Tensor, queries: int) -> torch.Tensor:
    """Additive mask [batch, 1, queries, keys]: no later key, no padding."""
    keys = torch.arange(attention_mask.shape[1])
    rows = torch.arange(queries) + attention_mask.shape[1] - queries
    seen = (keys[None, :] <= rows[:, None])[None, None] & attention_mask[:, None, None, :].bool()
    return torch.where(seen, 0.0, _BLOCKED)
