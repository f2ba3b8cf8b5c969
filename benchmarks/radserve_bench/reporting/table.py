"""One table, as Markdown and as lines for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

NONE = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """`names` columns on the left hold words, the others figures. `notes` stand below."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    notes: tuple[str, ...] = ()

    def filled(self) -> "Table":
        """Without columns of figures that no row has; without rows if no figure is left."""
        kept = [
            at
            for at in range(len(self.head))
            if at < self.names or any(row[at] not in ("", NONE) for row in self.rows)
        ]
        rows = tuple(tuple(row[at] for at in kept) for row in self.rows if len(kept) > self.names)
        return Table(self.title, tuple(self.head[at] for at in kept), rows, self.names, self.notes)

    def markdown(self) -> str:
        """With its title as a heading; columns are padded, so that the source can be read as well."""
        head = [cell.replace("|", "\\|") for cell in self.head]
        rows = [[cell.replace("|", "\\|") for cell in row] for row in self.rows]
        widths = _widths([head, *rows])
        rule = ["-" * (width - 1) + ("-" if at < self.names else ":") for at, width in enumerate(widths)]
        lines = [f"| {' | '.join(self._aligned(cells, widths))} |" for cells in (head, rule, *rows)]
        notes = [line for note in self.notes for line in ("", note)]
        return "\n".join([f"### {self.title}", "", *lines, *notes])

    def text(self) -> str:
        """With its title above; what the row before says too, is left out of the columns of names."""
        rows = [list(self.head)]
        previous: Sequence[str] = ()
        for row in self.rows:
            rows.append(list(_unrepeated(row, previous, self.names)))
            previous = row
        widths = _widths(rows)
        lines = ["  ".join(self._aligned(row, widths)).rstrip() for row in rows]
        return "\n".join([self.title, *lines, *self.notes])

    def _aligned(self, cells: Sequence[str], widths: Sequence[int]) -> list[str]:
        return [
            f"{cell:<{width}}" if at < self.names else f"{cell:>{width}}"
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(3, *(len(row[at]) for row in rows)) for at in range(len(rows[0]))]


def _unrepeated(row: Sequence[str], previous: Sequence[str], names: int) -> Sequence[str]:
    same = 0
    while previous and same < names and row[same] == previous[same]:
        same += 1
    return [*([""] * same), *row[same:]]
