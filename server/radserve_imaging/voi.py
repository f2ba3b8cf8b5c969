"""Chooses which values of interest are shown, and says why: request, policy, file, modality's rule."""

from collections.abc import Callable
from dataclasses import dataclass

from radserve_imaging.lut import LookupTable
from radserve_imaging.policy import ImagePolicy, Window
from radserve_imaging.population import Population
from radserve_imaging.record import VoiRecord
from radserve_imaging.windowing import Values, apply_window, window_between

SOFT_TISSUE = Window(40.0, 400.0)


@dataclass(frozen=True, slots=True)
class FileVoi:
    """What the file itself asks for: its first VOI LUT and its first usable window, if any."""

    table: LookupTable | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What the choice depends on: the modality, whether its values are HU, and the file's wish."""

    modality: str | None = None
    hounsfield: bool = False
    file: FileVoi = FileVoi()


@dataclass(frozen=True, slots=True)
class Voi:
    """The chosen transform, a window or a table, and its record."""

    transform: Window | LookupTable
    record: VoiRecord

    def brightness(self, values: Values) -> Values:
        """Modality values as brightness, 0…1."""
        if isinstance(self.transform, LookupTable):
            return self.transform.brightness(values)
        return apply_window(values, self.transform)


def choose_voi(
    subject: Subject, population: Callable[[], Population], requested: Window | None, policy: ImagePolicy
) -> Voi:
    """The first that applies: request, policy, the file's LUT, its window, the modality's rule.

    `population` counts the frame's values, and is called only where the rule needs them.
    """
    ct_window = policy.ct_window if subject.hounsfield else None
    if requested is not None:
        return _windowed("request", requested, "the request asks for this window")
    if ct_window is not None and policy.ct_prefer == "policy":
        return _windowed("policy", ct_window, "the engine was built on CT in this window")
    if subject.file.table is not None:
        reason = "the file holds a VOI LUT Sequence"
        return Voi(subject.file.table, VoiRecord("file VOI LUT", None, None, None, reason))
    if subject.file.window is not None:
        return _windowed("file window", subject.file.window, "the file's own window; nothing overrides it")
    if ct_window is not None:
        return _windowed("policy", ct_window, "the file has no window; the engine's CT window stands in")
    if subject.hounsfield:
        return _windowed("default", SOFT_TISSUE, "CT without a window is shown as soft tissue")
    return _by_modality(subject, population(), policy)


def _by_modality(subject: Subject, population: Population, policy: ImagePolicy) -> Voi:
    if subject.modality == "MR" and len(population.values):
        low, high = policy.mr_percentiles
        ends = population.percentile(low), population.percentile(high)
        if ends[0] < ends[1]:
            reason = f"MR without a window: percentiles {low:g} to {high:g} of the frame, padding left out"
            return _windowed("percentiles", window_between(*ends), reason)
    reason = "no window in file or policy: from the frame's least to its greatest value, padding left out"
    return _windowed("full range", window_between(*population.span()), reason)


def _windowed(source: str, window: Window, reason: str) -> Voi:
    return Voi(window, VoiRecord(source, window.center, window.width, window.function, reason))
