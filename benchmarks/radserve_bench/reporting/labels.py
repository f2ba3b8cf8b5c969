"""Where a point's label goes: beside the point, clear of lines, points and other labels as far as can be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_SIZE = 8.5
_SIDES = ((1, -1), (-1, 1), (1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
_AWAY, _STEPS = 6.0, 24
_ON_LABEL, _OUTSIDE, _ON_POINT, _ON_LINE = 100.0, 50.0, 20.0, 1.0

Pair = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class LabelledLine:
    """Points in data coordinates, and a label for each, which may be empty."""

    points: Sequence[Pair]
    labels: Sequence[str]
    colour: str


def write_labels(axes: Any, lines: Sequence[LabelledLine]) -> None:
    """Label all lines of these axes; their limits and their place in the figure must be their last."""
    scale = axes.figure.dpi / 72
    shown = [[_pair(axes.transData.transform(point)) for point in line.points] for line in lines]
    points = [point for line in shown for point in line]
    path = [spot for line in shown for ends in pairwise(line) for spot in _between(*ends)]
    taken: list[Box] = []
    for line, spots in zip(lines, shown, strict=True):
        for label, point, spot in zip(line.labels, line.points, spots, strict=True):
            if not label:
                continue
            boxes = [_box(spot, side, label, scale) for side in _SIDES]
            costs = [
                _cost(box, taken, points, path) + _OUTSIDE * (not _holds(axes.bbox, box)) for box in boxes
            ]
            best = costs.index(min(costs))
            taken.append(boxes[best])
            _write(axes, label, point, _SIDES[best], line.colour)


def _write(axes: Any, label: str, point: Pair, side: tuple[int, int], colour: str) -> None:
    across, up = side
    axes.annotate(
        label,
        point,
        xytext=(_AWAY * across, _AWAY * up),
        textcoords="offset points",
        ha=("right", "center", "left")[across + 1],
        va=("top", "center", "bottom")[up + 1],
        fontsize=_SIZE,
        color=colour,
    )


def _box(spot: Pair, side: tuple[int, int], label: str, scale: float) -> Box:
    """Left, bottom, right, top in pixels; a digit is about 0.65 of its size wide."""
    width, height = 0.65 * _SIZE * len(label) * scale, 1.1 * _SIZE * scale
    middles = [
        at + _AWAY * scale * to + size / 2 * to
        for at, to, size in zip(spot, side, (width, height), strict=True)
    ]
    return middles[0] - width / 2, middles[1] - height / 2, middles[0] + width / 2, middles[1] + height / 2


def _cost(box: Box, taken: Sequence[Box], points: Sequence[Pair], path: Sequence[Pair]) -> float:
    labels = sum(box[0] < one[2] and one[0] < box[2] and box[1] < one[3] and one[1] < box[3] for one in taken)
    cost = _ON_LABEL * labels + _ON_LINE * sum(_inside(spot, box, 1.0) for spot in path)
    return cost + _ON_POINT * sum(_inside(point, box, 4.0) for point in points)


def _holds(frame: Any, box: Box) -> bool:
    return bool(frame.x0 <= box[0] and frame.y0 <= box[1] and box[2] <= frame.x1 and box[3] <= frame.y1)


def _inside(spot: Pair, box: Box, margin: float) -> bool:
    left, bottom, right, top = box
    return left - margin < spot[0] < right + margin and bottom - margin < spot[1] < top + margin


def _between(start: Pair, end: Pair) -> Iterator[Pair]:
    for step in range(_STEPS + 1):
        share = step / _STEPS
        yield start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _pair(values: Sequence[float]) -> Pair:
    return float(values[0]), float(values[1])
