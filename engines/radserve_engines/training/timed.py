"""A training that follows the clock, not a number of steps, and that goes on where it was stopped."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

_REPORT_EVERY = 50


class TimedTraining(ABC):
    """Steps until `minutes` are spent; the state is saved every `save_every_s` and read again at the start.

    A subclass sets `optimizer`, adds the four abstract methods, and calls `resume` when it is complete.
    """

    name: str
    optimizer: torch.optim.Optimizer

    def __init__(self, minutes: float, save_every_s: float, state: Path) -> None:
        self.minutes, self.save_every_s, self.state = minutes, save_every_s, state
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

    @abstractmethod
    def seed(self) -> int:
        """What the chance of each step starts from."""

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
            if self.spent_s - saved > self.save_every_s:
                self.save()
                saved = self.spent_s
        self.save()

    @property
    def progress(self) -> float:
        """Share of the time that is spent."""
        return self.spent_s / (60 * self.minutes)

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
        torch.manual_seed(self.seed() + self.step)
        generator = torch.Generator().manual_seed(self.seed() * 1_000_003 + self.step)
        loss = self.loss(batch, generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _report(self, loss: float) -> None:
        spent = self.spent_s / 60
        print(
            f"{self.name}  step {self.step}  loss {loss:.3f}  {spent:.1f} min spent, {self.minutes - spent:.1f} left",
            flush=True,
        )


def warmed_cosine(progress: float, ramp: float) -> float:
    """Share of the peak learning rate: up in a line over `ramp`, then a cosine down to a fiftieth."""
    if progress < ramp:
        return max(progress / ramp, 0.01)
    turn = min((progress - ramp) / (1 - ramp), 1.0)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * turn))
