"""Renders chosen slices of a stack, reading one file at a time: memory holds the chosen, not the series."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from radserve_imaging.dicom import DicomImage
from radserve_imaging.errors import InvalidSlicesError, NoSeriesError, PresentationStateError
from radserve_imaging.limits import DEFAULT_LIMITS, Limits
from radserve_imaging.media import sniff
from radserve_imaging.montage import Montage, arrange, tile_policy
from radserve_imaging.picture import Reading
from radserve_imaging.planes import count_frames, list_planes
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.population import Census, Population
from radserve_imaging.render import Rendering, render, render_frame
from radserve_imaging.slice_choice import SliceChoice
from radserve_imaging.stack_plan import StackPlan, plan_stack
from radserve_imaging.stacks import sort_planes
from radserve_imaging.volume import take_census

Read = Callable[[int], bytes]

_AS_IT_IS = Reading()
_MIDDLE = SliceChoice()
_NOT_PRESENTED = "the presentation state does not refer to this slice, which is shown without it"


def render_plan(
    read: Read,
    plan: StackPlan,
    policy: ImagePolicy,
    reading: Reading = _AS_IT_IS,
    limits: Limits = DEFAULT_LIMITS,
) -> Sequence[Rendering | Montage]:
    """Render what a plan shows, as images or as one montage; `read` gives a file's bytes by its number.

    `reading.frame` has no meaning here. A presentation state applies to the slices it refers to, of which one must be
    shown. Raises ImagingError.
    """
    files = _OneFile(read, limits)
    counted: list[Census] = []

    def census() -> Census:
        if not counted:
            counted.append(take_census(len(plan.counted), lambda index: files.count(*plan.counted[index])))
        return counted[0]

    montage = policy.arrangement == "montage" and len(plan.shown) > 1
    each = tile_policy(policy, len(plan.shown)) if montage else policy
    renderings = []
    for item in plan.shown:
        image, warnings, wish = files.open(item.file), plan.warnings, replace(reading, frame=item.frame)
        if wish.presentation_state and not image.is_presented(item.frame - 1, wish.presentation_state):
            wish = replace(wish, presentation_state=None)
            warnings = (*warnings, _NOT_PRESENTED)
        renderings.append(
            render_frame(image, each, wish, census if plan.counted else None, item.place, warnings)
        )
    if reading.presentation_state and all(
        item.record.presentation_state_sha256 is None for item in renderings
    ):
        raise PresentationStateError("the presentation state refers to none of the slices that are shown")
    return [arrange(renderings, policy)] if montage else renderings


def render_series(
    read: Read,
    count: int,
    policy: ImagePolicy,
    reading: Reading = _AS_IT_IS,
    limits: Limits = DEFAULT_LIMITS,
    choice: SliceChoice | None = None,
) -> Sequence[Rendering | Montage]:
    """Sort `count` files, take the largest stack among them, and render the slices chosen of it.

    Raises ImagingError; NoSeriesError where no file holds a slice.
    """
    planes = [plane for file in range(count) for plane in list_planes(read(file), limits, file)]
    found = sort_planes(planes)
    if not found.stacks:
        raise NoSeriesError(f"none of the {count} files holds a slice")
    return render_plan(read, plan_stack(found.stacks[0], policy, choice), policy, reading, limits)


def render_object(
    data: bytes,
    policy: ImagePolicy,
    reading: Reading = _AS_IT_IS,
    limits: Limits = DEFAULT_LIMITS,
    choice: SliceChoice | None = None,
) -> Sequence[Rendering | Montage]:
    """Render one file: the frame that is asked for, else the frames chosen of its largest stack.

    A file of one frame gives one image. Raises ImagingError.
    """
    limits.check_bytes(len(data))
    several = sniff(data) == "application/dicom" and count_frames(data, limits) > 1
    if choice is not None and (not several or reading.frame is not None):
        why = "a frame was asked for as well" if several else "this image has one frame"
        raise InvalidSlicesError(f"slices are chosen of a series or of several frames, but {why}")
    if not several or reading.frame is not None or (choice is None and policy.slices == _MIDDLE):
        return [render(data, policy, reading, limits)]
    return render_series(lambda _: data, 1, policy, reading, limits, choice)


class _OneFile:
    """Opens files, and keeps the last one: frames of one file follow each other."""

    def __init__(self, read: Read, limits: Limits) -> None:
        self._read = read
        self._limits = limits
        self._open: tuple[int, DicomImage] | None = None

    def open(self, file: int) -> DicomImage:
        if self._open is None or self._open[0] != file:
            self._open = None
            data = self._read(file)
            self._limits.check_bytes(len(data))
            self._open = file, DicomImage(data, self._limits)
        return self._open[1]

    def count(self, file: int, frame: int) -> Population:
        return self.open(file).count(frame - 1)
