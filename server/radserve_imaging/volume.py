"""Counts the values of a volume, frame by frame, so that its size in memory is that of one frame."""

from collections.abc import Callable

from radserve_imaging.population import Census, Population
from radserve_imaging.slice_choice import SliceChoice

MOST_COUNTED = 64
"""Of a larger volume, so many frames are counted, spread evenly: percentiles hardly change beyond."""


def counted_frames(frames: int) -> list[int]:
    """Which of so many frames are counted, from 0."""
    return SliceChoice("uniform", min(frames, MOST_COUNTED)).indices(frames)


def take_census(frames: int, count: Callable[[int], Population]) -> Census:
    """Count a volume of so many frames; `count` gives the population of one of them, from 0."""
    chosen = counted_frames(frames)
    over = "the volume" if len(chosen) == frames else f"{len(chosen)} of the volume's {frames} slices"
    return Census(Population.merge(count(index) for index in chosen), over)
