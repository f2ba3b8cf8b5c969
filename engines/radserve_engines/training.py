"""Train the demo checkpoint from random weights: `python -m radserve_engines.training --help`.

The schedule runs on time, not on steps: learning rate and patch dropping follow the share of
`--minutes` that has been spent, so a slow machine gives a worse model and not a later one. A run
that was stopped goes on from the last saved state.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from radserve_engines.demo_checkpoint import (
    CONTEXT,
    IMAGE_SIDE,
    IMAGE_TOKENS,
    VOCABULARY,
    make_model,
    save_checkpoint,
)
from radserve_engines.packing import IGNORED, Batch, Packer, all_cells, random_cells
from radserve_engines.tokenizer import train_tokenizer
from radserve_engines.vision_tower import encode_images, normalise_pixels
from radserve_engines.vqa_data import ImageCache, Question, by_image, load_training_questions, render_images


@dataclass(frozen=True, slots=True)
class Recipe:
    """What fixes a training run, apart from the data and the machine's speed."""

    minutes: float = 40.0
    batch: int = 16
    questions_per_row: int = 6
    peak_rate: float = 1e-3
    warmup: float = 0.03
    weight_decay: float = 0.05
    kept_tokens: int = IMAGE_TOKENS // 2
    drop_until: float = 0.8
    seed: int = 2019
    save_every_s: float = 240.0


class Trainer:
    """Owns model, optimiser and progress; `run` trains until the time is spent."""

    def __init__(self, recipe: Recipe, tokenizer: Any, images: ImageCache, out: Path) -> None:
        self.recipe, self.tokenizer, self.images, self.out = recipe, tokenizer, images, out
        self.model = make_model(tokenizer, recipe.seed)
        groups = _parameter_groups(self.model, recipe.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.packer = Packer(tokenizer)
        self.step, self.spent_s = 0, 0.0
        self._resume()

    def run(self, questions: Sequence[Question]) -> None:
        """Train on `questions` until the recipe's minutes are spent, then save."""
        saved, loss_sum, since = self.spent_s, 0.0, self.step
        for rows in plan_batches(questions, self.recipe, self.step):
            started = time.perf_counter()
            loss_sum += self._train_step(rows)
            self.step += 1
            self.spent_s += time.perf_counter() - started
            if self.step % 50 == 0:
                self._report(loss_sum / (self.step - since))
                loss_sum, since = 0.0, self.step
            if self.spent_s - saved > self.recipe.save_every_s:
                self._save()
                saved = self.spent_s
            if self.progress >= 1:
                break
        self._save()

    @property
    def progress(self) -> float:
        """Share of the training time that is spent."""
        return self.spent_s / (60 * self.recipe.minutes)

    def _train_step(self, rows: Sequence[Sequence[Question]]) -> float:
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)
        batch, images, cells = self._assemble(rows, generator)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.progress)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = answer_loss(self.model, batch, images, cells)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _assemble(
        self, rows: Sequence[Sequence[Question]], generator: torch.Generator
    ) -> tuple[Batch, torch.Tensor, torch.Tensor]:
        cells = all_cells(len(rows))
        if self.progress < self.recipe.drop_until:
            cells = random_cells(len(rows), self.recipe.kept_tokens, generator)
        lower = torch.rand(len(rows), generator=generator) < 0.5
        segments = [
            [self.packer.segment(item, bool(low)) for item in row]
            for row, low in zip(rows, lower, strict=True)
        ]
        pixels = torch.from_numpy(self.images.stack(row[0].image for row in rows))
        return self.packer.pack(segments, cells), augment(normalise_pixels(pixels), generator), cells

    def _report(self, loss: float) -> None:
        left = 60 * self.recipe.minutes - self.spent_s
        print(
            f"step {self.step}  loss {loss:.3f}  rate {learning_rate(self.recipe, self.progress):.1e}"
            f"  {self.spent_s / 60:.1f} min spent, {left / 60:.1f} left",
            flush=True,
        )

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent_s": self.spent_s,
        }
        partial = self.out / "state.partial"
        torch.save(state, partial)
        partial.replace(self.out / "state.pt")
        save_checkpoint(self.model, self.tokenizer, self.out / "checkpoint")

    def _resume(self) -> None:
        path = self.out / "state.pt"
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent_s = state["step"], state["spent_s"]


def answer_loss(model: Any, batch: Batch, images: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the answers of a packed batch: mean over each answer's tokens, then over answers."""
    visual, text = model.model.visual, model.model.language_model
    seen = encode_images(visual, images, cells)
    words = text.embed_tokens(batch.ids)
    at = int((batch.ids[0] == model.config.image_token_id).nonzero()[0])
    embedded = torch.cat((words[:, :at], seen.to(words.dtype), words[:, at + seen.shape[1] :]), dim=1)
    hidden = text(
        inputs_embeds=embedded,
        position_ids=batch.positions,
        attention_mask={"full_attention": batch.mask},
        use_cache=False,
    ).last_hidden_state
    target = batch.labels[:, 1:]
    wanted = target != IGNORED
    logits = model.lm_head(hidden[:, :-1][wanted])
    losses = functional.cross_entropy(logits.float(), target[wanted], reduction="none")
    weights = batch.weights[:, 1:][wanted]
    loss: torch.Tensor = (losses * weights).sum() / weights.sum()
    return loss


def plan_batches(
    questions: Sequence[Question], recipe: Recipe, skip: int = 0
) -> Iterator[list[list[Question]]]:
    """Yield batches of rows (questions of one image) without end; the order depends on the seed only."""
    groups = list(by_image(questions).values())
    epoch = 0
    while True:
        chooser = np.random.default_rng([recipe.seed, epoch])
        for rows in _plan_epoch(groups, recipe, chooser):
            if skip:
                skip -= 1
            else:
                yield rows
        epoch += 1


def _plan_epoch(
    groups: Sequence[Sequence[Question]], recipe: Recipe, chooser: np.random.Generator
) -> list[list[list[Question]]]:
    rows = []
    for group in groups:
        order = [group[i] for i in chooser.permutation(len(group))]
        size = recipe.questions_per_row
        rows += [order[i : i + size] for i in range(0, len(order), size)]
    chooser.shuffle(rows)
    # Rows of like length share a batch within stretches of 16 batches, to save padding.
    stretch = 16 * recipe.batch
    batches = []
    for first in range(0, len(rows), stretch):
        part = sorted(rows[first : first + stretch], key=lambda row: sum(len(q.question) for q in row))
        batches += [part[i : i + recipe.batch] for i in range(0, len(part), recipe.batch)]
    return [batches[i] for i in chooser.permutation(len(batches))]


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift, zoom and turn a little, vary brightness and contrast; never mirror left and right."""
    count = images.shape[0]
    draw = torch.rand(count, 6, generator=generator) * 2 - 1
    angle, zoom = draw[:, 0] * 0.1, 1 + draw[:, 1] * 0.1
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    rows = (cosine, -sine, draw[:, 2] * 0.1, sine, cosine, draw[:, 3] * 0.1)
    matrices = torch.stack(rows, dim=1).view(count, 2, 3)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    black = normalise_pixels(torch.zeros(1, 1, 1, 3, dtype=torch.uint8))
    moved = functional.grid_sample(images - black, grid, align_corners=False)
    contrast, brightness = 1 + draw[:, 4] * 0.2, draw[:, 5] * 0.2
    return (moved * contrast.view(-1, 1, 1, 1)) + black + brightness.view(-1, 1, 1, 1)


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Linear warm-up, then a cosine down to a fiftieth of the peak."""
    if progress < recipe.warmup:
        return recipe.peak_rate * max(progress / recipe.warmup, 0.01)
    turn = min((progress - recipe.warmup) / (1 - recipe.warmup), 1.0)
    return recipe.peak_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * turn)))


def make_tokenizer(questions: Sequence[Question]) -> Any:
    """Train the tokenizer on questions, as written and lower-cased, and answers."""
    texts = (text for item in questions for text in (item.question, item.question.lower(), item.answer))
    return train_tokenizer(texts, VOCABULARY, CONTEXT)


def _parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def main() -> None:
    """Parse the command line and train."""
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="radserve_engines.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the question sets")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the rendered images")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint/ and state.pt")
    parser.add_argument("--minutes", type=float, default=defaults.minutes)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    questions = load_training_questions(options.data)
    images = render_images(options.data, (item.image for item in questions), options.cache, IMAGE_SIDE)
    recipe = Recipe(minutes=options.minutes, seed=options.seed)
    trainer = Trainer(recipe, make_tokenizer(questions), images, options.out)
    trainer.run(questions)


if __name__ == "__main__":
    main()
