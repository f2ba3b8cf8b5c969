"""Which slices of a stack will be shown, and which only counted: all that rendering needs to know of the rest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from radserve_imaging.errors import InvalidSlicesError
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.record import SliceRecord
from radserve_imaging.slice_choice import SliceChoice
from radserve_imaging.stacks import Stack
from radserve_imaging.volume import counted_frames


@dataclass(frozen=True, slots=True)
class ShownSlice:
    """A frame (from 1) of a file that will be shown, and its place in the stack."""

    file: int
    frame: int
    place: SliceRecord


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What to show, in order; `counted` are the (file, frame) pairs whose values make the volume's percentiles."""

    shown: tuple[ShownSlice, ...]
    counted: tuple[tuple[int, int], ...]
    slices: int
    warnings: tuple[str, ...]

    def files(self) -> list[int]:
        """The files that are needed, each once, ascending."""
        return sorted({item.file for item in self.shown} | {file for file, _ in self.counted})

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` gives the same plan back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "StackPlan":
        """From what `to_json` made."""
        shown = tuple(
            ShownSlice(item["file"], item["frame"], SliceRecord(**item["place"])) for item in value["shown"]
        )
        counted = tuple((file, frame) for file, frame in value["counted"])
        return cls(shown, counted, value["slices"], tuple(value["warnings"]))


def plan_stack(stack: Stack, policy: ImagePolicy, choice: SliceChoice | None = None) -> StackPlan:
    """Choose by `choice`, else by the policy; raises InvalidSlicesError.

    CT is shown in HU and needs no count of its volume.
    """
    wish = policy.slices if choice is None else choice
    count, planes = len(stack.planes), stack.planes
    chosen = wish.indices(count)
    if policy.arrangement == "images" and len(chosen) > policy.max_images:
        raise InvalidSlicesError(
            f"{len(chosen)} slices were asked for, but the engine takes {policy.max_images} images at most"
        )
    words = f"{'the policy' if choice is None else 'the request'} asks for {_describe(wish)}"
    shown = tuple(
        ShownSlice(
            planes[index].file,
            planes[index].frame,
            SliceRecord(
                planes[index].series,
                index + 1,
                count,
                None if stack.positions is None else round(stack.positions[index], 3),
                words,
            ),
        )
        for index in chosen
    )
    needed = [] if planes[0].modality == "CT" else counted_frames(count)
    counted = tuple((planes[index].file, planes[index].frame) for index in needed)
    return StackPlan(shown, counted, count, stack.warnings)


def _describe(choice: SliceChoice) -> str:
    if choice.choose == "around":
        middle = "the middle slice" if choice.at is None else f"slice {choice.at}"
        return f"{middle} and {choice.neighbours} on either side" if choice.neighbours else middle
    many = "one slice" if choice.count == 1 else f"{choice.count} slices"
    if choice.choose == "range":
        return f"{many} from {choice.first or 1} to {choice.last or 'the last'}"
    return f"{many}, evenly spread"
