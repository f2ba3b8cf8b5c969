"""Warm up a vision tower from random weights: classify what the question sets say of each image.

A language model passes little of its gradient to a tower that sees nothing yet. Here a linear layer on
the mean image token has to tell modality, plane, organ and the like, which costs no language model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from radserve_engines.training.labels import Labels, label_loss
from radserve_engines.training.packing import random_cells
from radserve_engines.training.timed import Schedule, TimedTraining
from radserve_engines.vision_tower import cell_angles, encode_images
from radserve_engines.vqa_data import ImageCache


@dataclass(frozen=True, slots=True)
class WarmUp(Schedule):
    """`kept` of the 64 image tokens are seen, from the share `late` of the time on `kept_late`."""

    minutes: float = 22.0
    peak_rate: float = 1e-3
    kept: int = 20
    kept_late: int = 40
    late: float = 0.7


class VisionTraining(TimedTraining):
    """Changes the tower that it is given."""

    name = "vision"
    recipe: WarmUp

    def __init__(
        self,
        recipe: WarmUp,
        visual: Any,
        labels: Labels,
        images: ImageCache,
        out: Path,
        *,
        compiled: bool = True,
    ) -> None:
        super().__init__(recipe, images, out / "warm_up.pt")
        self.labels = labels
        torch.manual_seed(recipe.seed)
        width = visual.config.out_hidden_size
        head = torch.nn.Sequential(torch.nn.LayerNorm(width), torch.nn.Linear(width, len(labels.label_of)))
        self.visual, self.head = visual.to(self.device), head.to(self.device)
        self.optimizer = torch.optim.AdamW(
            [*self.visual.parameters(), *self.head.parameters()],
            betas=(0.9, 0.98),
            weight_decay=recipe.weight_decay,
        )
        self.angles = cell_angles(self.visual)
        self.label_of = labels.label_of.to(self.device)
        self.encode = torch.compile(encode_images, dynamic=False) if compiled else encode_images
        self.resume()

    def parts(self) -> Mapping[str, Any]:
        return {"visual": self.visual, "head": self.head, "optimizer": self.optimizer}

    def batches(self, skip: int) -> Iterator[torch.Tensor]:
        """Row numbers of `labels`, each once an epoch but for an incomplete batch."""
        generator = torch.Generator().manual_seed(self.recipe.seed)
        while True:
            order = torch.randperm(len(self.labels.images), generator=generator)
            batches = order.split(self.recipe.batch)
            batches = batches[:-1] or batches
            yield from batches[skip:]
            skip = max(skip - len(batches), 0)

    def loss(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        recipe = self.recipe
        images = self.look_at((self.labels.images[row] for row in batch), generator)
        kept = recipe.kept if self.progress < recipe.late else recipe.kept_late
        cells = random_cells(len(batch), kept, generator).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            tokens = self.encode(self.visual, images, cells, self.angles)
        logits = self.head(tokens.float().mean(1))
        return label_loss(logits, self.labels.targets[batch].to(self.device), self.label_of)
