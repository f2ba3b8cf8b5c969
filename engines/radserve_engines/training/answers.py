"""Train the whole model to answer: rows of questions that share an image, half of its tokens at first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from radserve_engines.demo_checkpoint import CONTEXT, IMAGE_TOKENS, VOCABULARY, save_checkpoint
from radserve_engines.tokenizer import train_tokenizer
from radserve_engines.training.loss import Regularisation, answer_loss, encode_rows
from radserve_engines.training.packing import Packer, all_cells, random_cells
from radserve_engines.training.rows import Row, RowPlanner
from radserve_engines.training.timed import Schedule, TimedTraining
from radserve_engines.vision_tower import cell_angles
from radserve_engines.vqa_data import ImageCache, Question


@dataclass(frozen=True, slots=True)
class Recipe(Schedule):
    """`room` tokens of text in a row; `kept_tokens` of the image until the share `drop_until` of the time, then all."""

    minutes: float = 80.0
    peak_rate: float = 8e-4
    vision_rate: float = 0.5
    room: int = 96
    kept_tokens: int = IMAGE_TOKENS // 2
    drop_until: float = 0.8
    regularisation: Regularisation = field(default_factory=Regularisation)


class AnswerTraining(TimedTraining):
    """Changes the model that it is given, and writes it to `out`/checkpoint."""

    name = "answers"
    recipe: Recipe

    def __init__(
        self,
        recipe: Recipe,
        model: Any,
        tokenizer: Any,
        questions: Sequence[Question],
        images: ImageCache,
        out: Path,
        *,
        compiled: bool = True,
    ) -> None:
        super().__init__(recipe, images, out / "state.pt")
        self.tokenizer, self.out = tokenizer, out
        self.model = model.to(self.device)
        self.optimizer = torch.optim.AdamW(_parameter_groups(model, recipe), betas=(0.9, 0.98))
        self.packer = Packer(tokenizer)
        self.planner = RowPlanner(questions, self.packer, recipe.room, recipe.seed)
        self.angles = cell_angles(model.model.visual)
        self.encode = torch.compile(encode_rows, dynamic=False) if compiled else encode_rows
        self.resume()

    def parts(self) -> Mapping[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer}

    def batches(self, skip: int) -> Iterator[list[Row]]:
        return self.planner.batches(self.recipe.batch, skip)

    def loss(self, batch: Sequence[Row], generator: torch.Generator) -> torch.Tensor:
        recipe = self.recipe
        cells = all_cells(len(batch))
        if self.progress < recipe.drop_until:
            cells = random_cells(len(batch), recipe.kept_tokens, generator)
        packed = self.packer.pack([row.segments for row in batch], cells, recipe.room).to(self.device)
        images = self.look_at((row.image for row in batch), generator)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            hidden = self.encode(
                self.model,
                packed,
                images,
                cells.to(self.device),
                self.angles,
                len(self.packer.head),
                recipe.regularisation,
            )
            return answer_loss(self.model, packed, hidden, recipe.regularisation.smoothing)

    def save(self) -> None:
        """The state, and the checkpoint as it stands."""
        super().save()
        save_checkpoint(self.model, self.tokenizer, self.out / "checkpoint")


def make_tokenizer(questions: Sequence[Question]) -> Any:
    """Train the tokenizer on questions, as written and lower-cased, and answers."""
    texts = (text for item in questions for text in (item.question, item.question.lower(), item.answer))
    return train_tokenizer(texts, VOCABULARY, CONTEXT)


def _parameter_groups(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    groups = []
    for part, share in ((model.model.visual, recipe.vision_rate), (model.model.language_model, 1.0)):
        for decays in (True, False):
            chosen = [p for p in part.parameters() if (p.ndim > 1) == decays]
            decay = recipe.weight_decay if decays else 0.0
            groups.append({"params": chosen, "weight_decay": decay, "share": share})
    return groups
