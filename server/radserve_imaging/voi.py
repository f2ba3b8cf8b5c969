"""Chooses which values of interest are shown, and says why: request, policy, file, modality's rule."""

from collections.abc import Callable
from dataclasses import dataclass

from radserve_imaging.lut import LookupTable
from radserve_imaging.pet import Suv
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.population import Census
from radserve_imaging.record import VoiRecord
from radserve_imaging.windowing import Values, Window, apply_window, window_between

SOFT_TISSUE = Window(40.0, 400.0)


@dataclass(frozen=True, slots=True)
class FileVoi:
    """What a file itself asks for: its first VOI LUT and its first usable window, if any."""

    table: LookupTable | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What the choice depends on: modality, units of its values (HU …), the file's wish, SUV of a PET.

    `presentation` is what a presentation state asks for that came with the request.
    """

    modality: str | None = None
    units: str | None = None
    file: FileVoi = FileVoi()
    suv: Suv | None = None
    presentation: FileVoi = FileVoi()


@dataclass(frozen=True, slots=True)
class Voi:
    """A window or a table, as a transform to brightness."""

    transform: Window | LookupTable

    def brightness(self, values: Values) -> Values:
        """Modality values as brightness, 0…1."""
        if isinstance(self.transform, LookupTable):
            return self.transform.brightness(values)
        return apply_window(values, self.transform)


@dataclass(frozen=True, slots=True)
class VoiChoice:
    """One VOI for grey, or three for red, green and blue; and the record of why."""

    vois: tuple[Voi, ...]
    record: VoiRecord


def choose_voi(
    subject: Subject, census: Callable[[], Census], requested: Window | None, policy: ImagePolicy
) -> VoiChoice:
    """The first that applies: request, presentation state, policy, file's LUT, its window, modality's rule.

    `census` counts the values of the frame or its volume, and is called only where the rule needs them.
    """
    if requested is not None:
        return _windowed("request", requested, "the request asks for this window", subject.units)
    return (
        _by_file(subject, subject.presentation, "presentation state", "the presentation state's own")
        or (_by_policy(subject, policy) if policy.ct_prefer == "policy" else None)
        or _by_suv(subject, policy)
        or (_by_percentiles(subject, census, policy) if policy.mr_prefer == "policy" else None)
        or _by_file(subject, subject.file, "file", "the file's own; nothing overrides it")
        or _by_policy(subject, policy)
        or _by_default(subject)
        or _by_percentiles(subject, census, policy)
        or _by_range(subject, census())
    )


def _by_policy(subject: Subject, policy: ImagePolicy) -> VoiChoice | None:
    """The windows in HU that the engine was built on."""
    if subject.units != "HU":
        return None
    if policy.ct_channels is not None:
        reason = "the engine was built on CT in three windows, one a colour channel"
        record = VoiRecord("policy", None, None, None, reason, "HU", policy.ct_channels)
        return VoiChoice(tuple(Voi(window) for window in policy.ct_channels), record)
    if policy.ct_window is None:
        return None
    return _windowed("policy", policy.ct_window, "the engine was built on CT in this window", "HU")


def _by_suv(subject: Subject, policy: ImagePolicy) -> VoiChoice | None:
    if subject.suv is None or policy.pt_suv is None:
        return None
    low, high = policy.pt_suv
    window, shown = window_between(low, high), window_between(*(x / subject.suv.factor for x in (low, high)))
    record = VoiRecord("SUV", window.center, window.width, window.function, subject.suv.basis, "SUVbw")
    return VoiChoice((Voi(shown),), record)


def _by_file(subject: Subject, file: FileVoi, source: str, reason: str) -> VoiChoice | None:
    """C.11.2: a VOI LUT comes before a window."""
    if file.table is not None:
        record = VoiRecord(f"{source} VOI LUT", None, None, None, reason, subject.units)
        return VoiChoice((Voi(file.table),), record)
    if file.window is None:
        return None
    return _windowed(f"{source} window", file.window, reason, subject.units)


def _by_default(subject: Subject) -> VoiChoice | None:
    if subject.units != "HU":
        return None
    return _windowed("default", SOFT_TISSUE, "CT without a window is shown as soft tissue", "HU")


def _by_percentiles(subject: Subject, census: Callable[[], Census], policy: ImagePolicy) -> VoiChoice | None:
    if subject.modality != "MR":
        return None
    counted = census()
    if not len(counted.population.values):
        return None
    ends = [counted.population.percentile(percent) for percent in policy.mr_percentiles]
    if ends[0] >= ends[1]:
        return None
    low, high = policy.mr_percentiles
    reason = f"MR by percentiles {low:g} to {high:g} of {counted.over}, padding left out"
    return _windowed("percentiles", window_between(*ends), reason, subject.units)


def _by_range(subject: Subject, counted: Census) -> VoiChoice:
    reason = f"no window in file or policy: from least to greatest value of {counted.over}, padding left out"
    return _windowed("full range", window_between(*counted.population.span()), reason, subject.units)


def _windowed(source: str, window: Window, reason: str, units: str | None) -> VoiChoice:
    preset = window.preset if units == "HU" else None
    reason = f"{reason} ({preset} preset)" if preset else reason
    record = VoiRecord(source, window.center, window.width, window.function, reason, units)
    return VoiChoice((Voi(window),), record)
