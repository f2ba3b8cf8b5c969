"""Sorts the frames of a study into stacks that can be shown as one, by geometry alone (PS3.3 C.7.6.2.1.1).

A stack is of one series, one orientation, one echo, one acquisition where acquisitions repeat the same
places. Its slices lie along the normal, row direction × column direction, whatever their names, numbers or the
order of their arrival. Localizers and derived images are left out where there are others.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from radserve_imaging.planes import Plane
from radserve_imaging.slice_geometry import (
    Vector,
    describe_gaps,
    dot,
    name_plane,
    normal_of,
    same_direction,
    tilt_of,
)

_PLACE_MM = 0.01
"""Slices closer than this lie at one place."""

_REPEATS: tuple[tuple[str, Callable[[Plane], Hashable]], ...] = (
    ("acquisitions", lambda plane: plane.acquisition),
    ("temporal positions", lambda plane: plane.temporal),
    ("b-values", lambda plane: plane.b_value),
    ("image types", lambda plane: plane.image_type),
)


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices in their order along `normal`, at `positions` (mm); both None and in file order without geometry."""

    planes: tuple[Plane, ...]
    normal: Vector | None = None
    positions: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()

    def describe(self) -> str:
        """In a few words: modality, how many slices, how they lie."""
        first = self.planes[0]
        what = f"{first.modality or 'images'}, {len(self.planes)} slices of {first.columns} × {first.rows} px"
        return what if self.normal is None else f"{what}, {name_plane(self.normal)}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A frame that is in no stack, and why."""

    plane: Plane
    reason: str


@dataclass(slots=True)
class Sorted:
    """The stacks, the one with most slices first, and what was left out."""

    stacks: list[Stack] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def sort_planes(planes: Iterable[Plane]) -> Sorted:
    """Sort the frames of any number of files, in any order, into stacks."""
    found = Sorted()
    for series in _by(planes, lambda plane: plane.series).values():
        kept, left_out = _leave_out(series)
        found.left_out += left_out
        for group in _by(kept, _kind).values():
            for part in _by_orientation(group):
                found.stacks += _stack(part)
    found.stacks.sort(key=lambda stack: -len(stack.planes))
    return found


def _leave_out(series: list[Plane]) -> tuple[list[Plane], list[LeftOut]]:
    """Localizers and derived images go where others stay."""
    left_out: list[LeftOut] = []
    for reason, test in (("localizer", _is_localizer), ("derived image", _is_derived)):
        kept = [plane for plane in series if not test(plane)]
        if kept and len(kept) < len(series):
            left_out += [LeftOut(plane, reason) for plane in series if test(plane)]
            series = kept
    return series, left_out


def _is_localizer(plane: Plane) -> bool:
    return "LOCALIZER" in plane.image_type


def _is_derived(plane: Plane) -> bool:
    return plane.image_type[:1] == ("DERIVED",)


def _kind(plane: Plane) -> Hashable:
    """What all slices of a stack have in common, besides their orientation."""
    spacing = plane.spacing and tuple(round(side, 3) for side in plane.spacing)
    placed = plane.position is not None and plane.orientation is not None
    # Frames without a place belong to their own file: a cine, not a volume.
    cine = plane.file if not placed and plane.frames > 1 else None
    return plane.modality, plane.rows, plane.columns, spacing, plane.echo, placed, cine


def _by_orientation(group: list[Plane]) -> list[list[Plane]]:
    parts: list[list[Plane]] = []
    for plane in group:
        for part in parts:
            if same_direction(part[0].orientation, plane.orientation):
                part.append(plane)
                break
        else:
            parts.append([plane])
    return parts


def _stack(group: list[Plane]) -> list[Stack]:
    """One stack, or several where places repeat or acquisitions overlap."""
    normal = normal_of(group[0].orientation)
    if normal is None or group[0].position is None:
        planes = sorted(group, key=lambda plane: (plane.instance or 0, plane.file, plane.frame))
        warning = "the slices have no position; they are sorted by their number"
        alone = len(planes) == 1 or planes[0].frames > 1
        return [Stack(tuple(planes), warnings=() if alone else (warning,))]
    parts, warnings = _split_repeats(group, normal)
    return [_place(part, normal, warnings) for part in parts]


def _split_repeats(group: list[Plane], normal: Vector) -> tuple[list[list[Plane]], tuple[str, ...]]:
    """Split what lies at one place twice, by the attribute that tells it apart in the fewest parts, and again."""
    places = _places(group, normal)
    most = max(len(place) for place in places)
    if most == 1:
        if not _interleave(group, normal):
            return [group], ()
        return list(_by(group, lambda plane: plane.acquisition).values()), (_told("acquisitions"),)
    splits = []
    for name, key in _REPEATS:
        parts = list(_by(group, key).values())
        differs = any(len({key(plane) for plane in place}) > 1 for place in places)
        # A number of each image's own, or of each rotation's, differs too, but would tear the stack to pieces.
        if differs and len(parts) <= 2 * most:
            splits.append((len(parts), name, parts))
    if not splits:
        return _rounds(places), (f"up to {most} slices lie at one place, told apart by their number only",)
    _, name, parts = min(splits, key=lambda split: split[0])
    found: list[list[Plane]] = []
    warnings: list[str] = [_told(name)]
    for part in parts:
        stacks, more = _split_repeats(part, normal)
        found += stacks
        warnings += more
    return found, tuple(dict.fromkeys(warnings))


def _told(name: str) -> str:
    return f"the series holds several {name}, shown as stacks of their own"


def _places(group: list[Plane], normal: Vector) -> list[list[Plane]]:
    """The planes by where they lie along the normal, those that are closer than _PLACE_MM together."""
    places: list[list[Plane]] = []
    last = -math.inf
    for plane in sorted(group, key=lambda plane: _along(plane, normal)):
        if _along(plane, normal) - last >= _PLACE_MM:
            places.append([])
        places[-1].append(plane)
        last = _along(plane, normal)
    return places


def _rounds(places: list[list[Plane]]) -> list[list[Plane]]:
    """The first plane of each place, the second of each …, by their number."""
    rounds: list[list[Plane]] = []
    for place in places:
        for index, plane in enumerate(
            sorted(place, key=lambda plane: (plane.instance or 0, plane.file, plane.frame))
        ):
            rounds += [[]] if index == len(rounds) else []
            rounds[index].append(plane)
    return rounds


def _interleave(group: list[Plane], normal: Vector) -> bool:
    """Whether acquisitions cover the same stretch, and do not complete each other to an even stack."""
    parts = [part for part in _by(group, lambda plane: plane.acquisition).values() if len(part) > 2]
    ends = sorted((min(at), max(at)) for at in ([_along(plane, normal) for plane in part] for part in parts))
    overlap = any(later[0] < earlier[1] - _PLACE_MM for earlier, later in pairwise(ends))
    whole = len(parts) == len({plane.acquisition for plane in group})
    return overlap and whole and bool(describe_gaps(sorted(_along(plane, normal) for plane in group)))


def _place(group: list[Plane], normal: Vector, warnings: tuple[str, ...]) -> Stack:
    planes = sorted(group, key=lambda plane: _along(plane, normal))
    positions = tuple(_along(plane, normal) for plane in planes)
    found = [*warnings, *describe_gaps(positions)]
    tilt = tilt_of([plane.position for plane in planes if plane.position], normal)
    if tilt:
        found.append(f"the gantry was tilted: slices are shifted against each other by {tilt:.1f}°")
    for name, test in (("localizers", _is_localizer), ("derived images", _is_derived)):
        if all(test(plane) for plane in planes):
            found.append(f"the series holds {name} only")
    return Stack(tuple(planes), normal, positions, tuple(found))


def _along(plane: Plane, normal: Vector) -> float:
    return dot(plane.position, normal) if plane.position else math.nan


def _by(planes: Iterable[Plane], key: Callable[[Plane], Hashable]) -> dict[Hashable, list[Plane]]:
    groups: dict[Hashable, list[Plane]] = defaultdict(list)
    for plane in planes:
        groups[key(plane)].append(plane)
    return groups
