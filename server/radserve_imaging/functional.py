"""Functional groups of enhanced multi-frame objects, PS3.3 C.7.6.16: per frame, shared, or top level."""

from radserve_imaging.attributes import Attributes
from radserve_imaging.tags import PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, SHARED_FUNCTIONAL_GROUPS_SEQUENCE


class FrameAttributes:
    """The attributes that hold for one frame: `groups` come before what stands at the `top` level."""

    def __init__(self, top: Attributes, groups: list[Attributes]) -> None:
        self.top = top
        self._groups = groups

    def macro(self, sequence: int) -> Attributes:
        """The item of a functional group macro for this frame, or the top level where there is none."""
        return self.only_macro(sequence) or self.top

    def only_macro(self, sequence: int) -> Attributes | None:
        """The item of a functional group macro for this frame, or None."""
        for group in self._groups:
            items = group.items(sequence)
            if items:
                return items[0]
        return None


class FunctionalGroups:
    """All frames of an object, whose groups are found once."""

    def __init__(self, attributes: Attributes) -> None:
        self._top = attributes
        self._shared = attributes.items(SHARED_FUNCTIONAL_GROUPS_SEQUENCE)[:1]
        self._per_frame = attributes.items(PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)

    def frame(self, index: int) -> FrameAttributes:
        """The attributes of frame `index`, from 0."""
        return FrameAttributes(self._top, [*self._per_frame[index : index + 1], *self._shared])
