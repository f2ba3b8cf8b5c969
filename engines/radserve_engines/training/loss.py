"""The training loss of packed rows: cross-entropy of the answers, each answer counting the same."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from radserve_engines.training.packing import IGNORED, Batch
from radserve_engines.vision_tower import encode_images


@dataclass(frozen=True, slots=True)
class Regularisation:
    """Shares of values, and of whole text tokens, that are hidden; and how soft the targets are."""

    dropout: float = 0.1
    lost_tokens: float = 0.05
    smoothing: float = 0.05


NONE = Regularisation(0.0, 0.0, 0.0)


def encode_rows(
    model: Any,
    batch: Batch,
    images: torch.Tensor,
    cells: torch.Tensor,
    angles: torch.Tensor,
    first_image_token: int,
    how: Regularisation,
) -> torch.Tensor:
    """Last hidden states [rows, length, hidden]; `angles` are those of `vision_tower.cell_angles`."""
    text = model.model.language_model
    seen = encode_images(model.model.visual, images, cells, angles)
    words = text.embed_tokens(batch.ids)
    if how.lost_tokens:
        words = words * (torch.rand(words.shape[:2], device=words.device) >= how.lost_tokens)[..., None]
    after = first_image_token + seen.shape[1]
    embedded = torch.cat((words[:, :first_image_token], seen.to(words.dtype), words[:, after:]), dim=1)
    hidden: torch.Tensor = text(
        inputs_embeds=functional.dropout(embedded, how.dropout),
        position_ids=batch.positions,
        attention_mask={"full_attention": batch.mask},
        use_cache=False,
    ).last_hidden_state
    return functional.dropout(hidden, how.dropout)


def answer_loss(model: Any, batch: Batch, hidden: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy of the answers: mean over each answer's tokens, then over answers."""
    target = batch.labels[:, 1:]
    wanted = target != IGNORED
    logits = model.lm_head(hidden[:, :-1][wanted])
    losses = functional.cross_entropy(
        logits.float(), target[wanted], reduction="none", label_smoothing=smoothing
    )
    weights = batch.weights[:, 1:][wanted]
    loss: torch.Tensor = (losses * weights).sum() / weights.sum()
    return loss
