"""A training that follows the clock, not a number of steps, and that goes on where it was stopped."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from radserve_engines.training.augmentation import Augmentation, augment
from radserve_engines.vision_tower import normalise_pixels
from radserve_engines.vqa_data import ImageCache

_REPORT_EVERY = 50


@dataclass(frozen=True, slots=True)
class Schedule:
    """What fixes any training here, apart from the data and the machine's speed."""

    minutes: float
    peak_rate: float
    ramp: float = 0.03
    weight_decay: float = 0.1
    batch: int = 32
    seed: int = 2019
    save_every_s: float = 240.0
    augmentation: Augmentation = field(default_factory=Augmentation)


class TimedTraining(ABC):
    """Steps until the minutes are spent; the state is saved every `save_every_s` and read again at the start.

    A subclass sets `optimizer`, adds the three abstract methods, and calls `resume` when it is complete. A parameter
    group of the optimizer may have a `share` of the learning rate.
    """

    name: str
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: Schedule, images: ImageCache, state: Path) -> None:
        self.recipe, self.images, self.state = recipe, images, state
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.step, self.spent_s = 0, 0.0

    @abstractmethod
    def parts(self) -> Mapping[str, Any]:
        """What the state holds: everything that has a `state_dict`, by name."""

    @abstractmethod
    def batches(self, skip: int) -> Iterator[Any]:
        """Batches without end, less the first `skip`."""

    @abstractmethod
    def loss(self, batch: Any, generator: torch.Generator) -> torch.Tensor:
        """The loss of one batch; `generator` is all the chance there may be, apart from dropout."""

    def run(self) -> None:
        """Train until the minutes are spent, then save."""
        saved, losses = self.spent_s, list[float]()
        for batch in self.batches(self.step):
            if self.progress >= 1:
                break
            started = time.perf_counter()
            losses.append(self._train_step(batch))
            self.step += 1
            self.spent_s += time.perf_counter() - started
            if self.step % _REPORT_EVERY == 0:
                self._report(sum(losses) / len(losses))
                losses.clear()
            if self.spent_s - saved > self.recipe.save_every_s:
                self.save()
                saved = self.spent_s
        self.save()

    @property
    def progress(self) -> float:
        """Share of the time that is spent."""
        return self.spent_s / (60 * self.recipe.minutes)

    def look_at(self, images: Iterable[str], generator: torch.Generator) -> torch.Tensor:
        """The named images [images, 3, height, width], normalised and augmented, on the training's device."""
        pixels = torch.from_numpy(self.images.stack(images)).to(self.device)
        return augment(normalise_pixels(pixels), generator, self.recipe.augmentation)

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {name: part.state_dict() for name, part in self.parts().items()}
        partial = self.state.with_suffix(".partial")
        torch.save({**state, "step": self.step, "spent_s": self.spent_s}, partial)
        partial.replace(self.state)

    def resume(self) -> None:
        """Read the state, if there is one."""
        if not self.state.is_file():
            return
        state = torch.load(self.state, weights_only=True, map_location=self.device)
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.step, self.spent_s = state["step"], state["spent_s"]

    def _train_step(self, batch: Any) -> float:
        recipe = self.recipe
        torch.manual_seed(recipe.seed + self.step)
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.step)
        rate = recipe.peak_rate * warmed_cosine(self.progress, recipe.ramp)
        for group in self.optimizer.param_groups:
            group["lr"] = group.get("share", 1.0) * rate
        loss = self.loss(batch, generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _report(self, loss: float) -> None:
        spent, left = self.spent_s / 60, self.recipe.minutes - self.spent_s / 60
        print(
            f"{self.name}  step {self.step}  loss {loss:.3f}  {spent:.1f} min spent, {left:.1f} left",
            flush=True,
        )


def warmed_cosine(progress: float, ramp: float) -> float:
    """Share of the peak learning rate: up in a line over `ramp`, then a cosine down to a fiftieth."""
    if progress < ramp:
        return max(progress / ramp, 0.01)
    turn = min((progress - ramp) / (1 - ramp), 1.0)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * turn))
