"""Functional groups of enhanced multi-frame objects, PS3.3 C.7.6.16: per frame, shared, or top level."""

from radserve_imaging.attributes import Attributes
from radserve_imaging.tags import PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, SHARED_FUNCTIONAL_GROUPS_SEQUENCE


class FrameAttributes:
    """The attributes that hold for one frame (`index` from 0) of an object."""

    def __init__(self, attributes: Attributes, index: int) -> None:
        shared = attributes.items(SHARED_FUNCTIONAL_GROUPS_SEQUENCE)[:1]
        per_frame = attributes.items(PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)[index : index + 1]
        self.top = attributes
        self._groups = [*per_frame, *shared]

    def macro(self, sequence: int) -> Attributes:
        """The item of a functional group macro for this frame, or the top level where there is none."""
        for group in self._groups:
            items = group.items(sequence)
            if items:
                return items[0]
        return self.top
