"""Several questions on one image in one training sequence, so that the image is encoded once.

A row is the image prefix, then question–answer segments side by side. Each segment attends to the
prefix and to itself only, and its positions start again where the prefix ends: every segment is
computed exactly as if it stood alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from radserve_engines.demo_checkpoint import CELLS, IMAGE_TOKENS
from radserve_engines.vqa_data import Question

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Segment:
    """One tokenised question and answer; `answer` ends with the end-of-turn token."""

    question: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.question) + len(self.answer)


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows.

    `ids`, `labels` and `weights` are [rows, length], `positions` [3, rows, length] and `mask`
    [rows, 1, length, length]. The weights of one answer's tokens add up to one.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        moved = (getattr(self, field.name).to(device) for field in fields(self))
        return Batch(*moved)


class Packer:
    """Turns questions into rows for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self.head = self._encode("<|im_start|>user\n<|vision_start|>")
        self.tail = self._encode("<|vision_end|>")
        self._turn = self._encode("<|im_end|>\n<|im_start|>assistant\n")
        self._end = tokenizer.eos_token_id
        self._pad = tokenizer.pad_token_id
        self._image = tokenizer.convert_tokens_to_ids("<|image_pad|>")

    def segment(self, item: Question, lower: bool = False) -> Segment:
        """Tokenise one question, lower-cased if asked, and its answer."""
        text = item.question.lower() if lower else item.question
        return Segment(self._encode(text) + self._turn, [*self._encode(item.answer), self._end])

    def pack(self, rows: Sequence[Sequence[Segment]], cells: torch.Tensor, room: int | None = None) -> Batch:
        """Lay out `rows`; `cells` [rows, kept] are the image tokens kept, in raster order.

        Each row has `room` tokens for its segments (default: what the longest needs).
        """
        kept = cells.shape[1]
        prefix = [*self.head, *[self._image] * kept, *self.tail]
        start = len(prefix)
        length = start + (room or max(sum(len(segment) for segment in row) for row in rows))
        ids = torch.full((len(rows), length), self._pad)
        ids[:, :start] = torch.tensor(prefix)
        owner = torch.full_like(ids, -1)
        owner[:, :start] = 0
        batch = Batch(
            ids,
            labels=torch.full_like(ids, IGNORED),
            weights=torch.zeros(ids.shape),
            positions=self._prefix_positions(cells, length),
            mask=torch.empty(0),
        )
        for index, row in enumerate(rows):
            self._fill(batch, owner, index, row, start)
        return replace(batch, mask=_mask(owner))

    def _fill(self, batch: Batch, owner: torch.Tensor, index: int, row: Sequence[Segment], at: int) -> None:
        first = len(self.head) + CELLS + len(self.tail)
        for number, segment in enumerate(row, start=1):
            tokens = segment.question + segment.answer
            answer, end = at + len(segment.question), at + len(tokens)
            batch.ids[index, at:end] = torch.tensor(tokens)
            batch.labels[index, answer:end] = torch.tensor(segment.answer)
            batch.weights[index, answer:end] = 1 / len(segment.answer)
            batch.positions[:, index, at:end] = torch.arange(first, first + len(tokens))
            owner[index, at:end] = number
            at = end

    def _prefix_positions(self, cells: torch.Tensor, length: int) -> torch.Tensor:
        """Multimodal rotary positions (time, row, column) of head, image and tail."""
        first, kept = len(self.head), cells.shape[1]
        positions = torch.zeros(3, cells.shape[0], length, dtype=torch.long)
        positions[:, :, :first] = torch.arange(first)
        positions[0, :, first : first + kept] = first
        positions[1, :, first : first + kept] = first + cells // CELLS
        positions[2, :, first : first + kept] = first + cells % CELLS
        tail = torch.arange(len(self.tail)) + first + CELLS
        positions[:, :, first + kept : first + kept + len(self.tail)] = tail
        return positions

    def _encode(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._known[text]


def all_cells(rows: int) -> torch.Tensor:
    """Every image token of `rows` images."""
    return torch.arange(IMAGE_TOKENS).expand(rows, IMAGE_TOKENS)


def random_cells(rows: int, kept: int, generator: torch.Generator) -> torch.Tensor:
    """A random subset of `kept` image tokens for each of `rows` images, in raster order."""
    order = torch.rand(rows, IMAGE_TOKENS, generator=generator).argsort(dim=1)
    return order[:, :kept].sort(dim=1).values


def _mask(owner: torch.Tensor) -> torch.Tensor:
    """True where a query (second to last axis) may see a key: causal, same segment or prefix."""
    length = owner.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    query, key = owner[:, :, None], owner[:, None, :]
    mask: torch.Tensor = causal & ((key == 0) | (key == query))
    return mask[:, None]
