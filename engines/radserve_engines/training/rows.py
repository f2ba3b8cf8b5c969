"""Which questions share a training row, and in what order the rows come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from radserve_engines.training.made_questions import Facts, make_question, read_facts
from radserve_engines.training.packing import Packer, Segment
from radserve_engines.vqa_data import Question, by_image


@dataclass(frozen=True, slots=True)
class Row:
    """One image and the questions on it that fit into a row."""

    image: str
    segments: tuple[Segment, ...]


class RowPlanner:
    """Draws rows of at most `room` tokens of text: every question once an epoch, made ones in what is left."""

    def __init__(self, questions: Sequence[Question], packer: Packer, room: int, seed: int) -> None:
        self._groups = list(by_image(questions).values())
        self._facts = [read_facts(group) for group in self._groups]
        self._packer, self._room, self._seed = packer, room, seed

    def batches(self, size: int, skip: int = 0) -> Iterator[list[Row]]:
        """Batches of `size` rows without end, less the first `skip`; they depend on the seed only."""
        epoch = 0
        while True:
            chooser = np.random.default_rng([self._seed, epoch])
            rows = self._plan_epoch(chooser)
            full = len(rows) // size
            for number in range(min(skip, full), full):
                yield rows[number * size : (number + 1) * size]
            skip -= min(skip, full)
            epoch += 1

    def _plan_epoch(self, chooser: np.random.Generator) -> list[Row]:
        rows: list[Row] = []
        for group, facts in zip(self._groups, self._facts, strict=True):
            rows += self._plan_image(group, facts, chooser)
        chooser.shuffle(rows)  # type: ignore[arg-type]
        return rows

    def _plan_image(self, group: Sequence[Question], facts: Facts, chooser: np.random.Generator) -> list[Row]:
        rows: list[list[Segment]] = [[]]
        for place in chooser.permutation(len(group)):
            segment = self._segment(group[place], chooser)
            if len(segment) > self._room:
                continue
            if sum(map(len, rows[-1])) + len(segment) > self._room:
                rows.append([])
            rows[-1].append(segment)
        if facts:
            for row in rows:
                self._fill(row, group, facts, chooser)
        return [Row(group[0].image, tuple(row)) for row in rows if row]

    def _fill(
        self,
        row: list[Segment],
        group: Sequence[Question],
        facts: Facts,
        chooser: np.random.Generator,
    ) -> None:
        made = self._segment(make_question(group, facts, chooser), chooser)
        if sum(map(len, row)) + len(made) <= self._room:
            row.append(made)

    def _segment(self, item: Question, chooser: np.random.Generator) -> Segment:
        return self._packer.segment(item, lower=chooser.random() < 0.5)
