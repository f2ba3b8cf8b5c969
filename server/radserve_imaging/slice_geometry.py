"""Directions and distances of slices in the patient's coordinates, PS3.3 C.7.6.2.1.1; lengths in mm."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

Vector = tuple[float, float, float]

_DIRECTION = math.cos(math.radians(0.5))
_LEAST_TILT = 0.5  # degrees
_TOLERANCE = 0.05  # of the usual distance between two slices


def normal_of(orientation: Sequence[float] | None) -> Vector | None:
    """Row direction × column direction, of length 1; None where these span no plane."""
    if orientation is None:
        return None
    a, b, c, d, e, f = orientation
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.sqrt(dot(normal, normal))
    return None if not 0.5 < length < 2 else (normal[0] / length, normal[1] / length, normal[2] / length)


def name_plane(normal: Vector) -> str:
    """Axial, coronal or sagittal, whichever is nearest; oblique says that it is far from all."""
    names = ("sagittal", "coronal", "axial")
    closeness = [abs(side) for side in normal]
    name = names[closeness.index(max(closeness))]
    return name if max(closeness) > math.cos(math.radians(10)) else f"oblique {name}"


def same_direction(first: Sequence[float] | None, second: Sequence[float] | None) -> bool:
    """Whether rows and columns run the same way, to half a degree."""
    if first is None or second is None:
        return first is second
    rows, columns = dot(first[:3], second[:3]), dot(first[3:], second[3:])
    return rows > _DIRECTION and columns > _DIRECTION


def dot(first: Sequence[float], second: Sequence[float]) -> float:
    """The scalar product."""
    return sum(a * b for a, b in zip(first, second, strict=True))


def describe_gaps(positions: Sequence[float]) -> list[str]:
    """Missing slices and uneven distances between positions along the normal, ascending."""
    steps = [b - a for a, b in pairwise(positions)]
    if not steps:
        return []
    usual = median(steps)
    uneven = [step for step in steps if abs(step - usual) > max(_TOLERANCE * usual, 0.01)]
    if not uneven:
        return []
    if all(_is_multiple(step, usual) for step in uneven):
        holes = [
            f"{round(step / usual) - 1} after slice {number}"
            for number, step in enumerate(steps, 1)
            if step in uneven
        ]
        return [f"slices are missing: {', '.join(holes[:8])}{' …' if len(holes) > 8 else ''}"]
    return [f"the distance between slices varies from {min(steps):.4g} to {max(steps):.4g} mm"]


def tilt_of(positions: Sequence[Sequence[float]], normal: Vector) -> float | None:
    """The angle (degrees) between the way from first to last slice and their normal; None if it is nil."""
    way = [last - first for first, last in zip(positions[0], positions[-1], strict=True)]
    length = math.sqrt(dot(way, way))
    if length == 0:
        return None
    angle = math.degrees(math.acos(min(1.0, abs(dot(way, normal)) / length)))
    return angle if angle > _LEAST_TILT else None


def _is_multiple(step: float, usual: float) -> bool:
    times = round(step / usual)
    return times >= 2 and abs(step - times * usual) <= _TOLERANCE * step
