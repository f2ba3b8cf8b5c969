"""SUV of a PET image: activity by body weight and by the dose that was left at the start of the scan.

The vendor-neutral rule of QIBA's FDG-PET profile: SUVbw = activity [Bq/ml] × weight [g] / decayed dose [Bq].
Where the header lacks a term, or its terms contradict each other, there is no SUV, and the reason is told.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from radserve_imaging.attributes import Attributes
from radserve_imaging.tags import (
    ACQUISITION_DATE,
    ACQUISITION_TIME,
    CORRECTED_IMAGE,
    DECAY_CORRECTION,
    GE_PET_SCAN_DATETIME,
    PATIENT_WEIGHT,
    PHILIPS_SUV_SCALE_FACTOR,
    RADIONUCLIDE_HALF_LIFE,
    RADIONUCLIDE_TOTAL_DOSE,
    RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE,
    RADIOPHARMACEUTICAL_START_DATETIME,
    RADIOPHARMACEUTICAL_START_TIME,
    SERIES_DATE,
    SERIES_TIME,
    SUV_TYPE,
    UNITS,
    describe,
)

_LEAST_DOSE = 1e5  # Bq; less than any injected dose, so the writer meant another unit
_MOMENTS = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_LONGEST_WAIT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Suv:
    """SUVbw (g/ml) of a modality value of 1, and how it was found."""

    factor: float
    basis: str


def read_suv(attributes: Attributes) -> Suv | str:
    """The SUV factor, or what keeps it from being computed."""
    units = (attributes.text(UNITS) or "").upper()
    if units == "GML":
        kind = (attributes.text(SUV_TYPE) or "BW").upper()
        return Suv(1.0, "the values are SUVbw") if kind == "BW" else f"its SUV are {kind[:16]}, not by weight"
    if units == "CNTS":
        factor = attributes.number(PHILIPS_SUV_SCALE_FACTOR, "DS")
        if not factor or factor < 0:
            return "it holds counts without an SUV scale factor"
        return Suv(factor, f"rescaled counts × {factor:g}, by Philips' own (7053,1000) SUV Scale Factor")
    if units != "BQML":
        return f"{describe(UNITS)} is {units[:16] or 'missing'}, not BQML"
    return _by_weight(attributes)


def _by_weight(attributes: Attributes) -> Suv | str:
    corrected = {value.upper() for value in attributes.texts(CORRECTED_IMAGE)}
    for needed in ("ATTN", "DECY"):
        if needed not in corrected:
            return f"{describe(CORRECTED_IMAGE)} lacks {needed}"
    weight = attributes.number(PATIENT_WEIGHT, "DS")
    if not weight or weight <= 0:
        return f"{describe(PATIENT_WEIGHT)} is missing"
    (injection, *_) = [*attributes.items(RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE), None]
    dose = injection and injection.number(RADIONUCLIDE_TOTAL_DOSE, "DS")
    if injection is None or not dose or dose < _LEAST_DOSE:
        return f"{describe(RADIONUCLIDE_TOTAL_DOSE)} is missing or not in Bq"
    left = _share_left(attributes, injection)
    if isinstance(left, str):
        return left
    factor = weight * 1000 / (dose * left)
    return Suv(factor, f"1 Bq/ml = {factor:.6g} SUVbw, by weight and a dose decayed to {left:.4f}")


def _share_left(attributes: Attributes, injection: Attributes) -> float | str:
    """Which share of the dose was left at the time that the values are corrected to (C.8.9.1.1.7)."""
    correction = (attributes.text(DECAY_CORRECTION) or "").upper()
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        return f"{describe(DECAY_CORRECTION)} is {correction[:16] or 'missing'}"
    half_life = injection.number(RADIONUCLIDE_HALF_LIFE, "DS")
    if not half_life or half_life <= 0:
        return f"{describe(RADIONUCLIDE_HALF_LIFE)} is missing"
    scan = _scan_start(attributes)
    if scan is None:
        return "the time at which its scan started is not known"
    given = _moment(injection.text(RADIOPHARMACEUTICAL_START_DATETIME))
    if given is None:
        given = _moment(f"{scan:%Y%m%d}{injection.text(RADIOPHARMACEUTICAL_START_TIME) or 'none'}")
    if given is None or not timedelta() <= scan - given <= _LONGEST_WAIT:
        return "the times of injection and scan contradict each other"
    return float(2 ** (-(scan - given).total_seconds() / half_life))


def _scan_start(attributes: Attributes) -> datetime | None:
    """The series' time unless it was set by later processing; then GE's own (GEMS_PETD_01)."""
    series, acquisition = (
        _moment(f"{attributes.text(date) or 'none'}{attributes.text(time) or ''}")
        for date, time in ((SERIES_DATE, SERIES_TIME), (ACQUISITION_DATE, ACQUISITION_TIME))
    )
    if series is not None and acquisition is not None and series <= acquisition:
        return series
    return _moment(attributes.text(GE_PET_SCAN_DATETIME))


def _moment(text: str | None) -> datetime | None:
    """A DT value, or DA and TM joined (PS3.5 6.2: minutes and seconds may be missing); None if it is none."""
    whole, _, fraction = (text or "").partition(".")
    digits = fraction.split("+")[0].split("-")[0][:6]
    pattern = _MOMENTS.get(len(whole))
    try:
        found = None if pattern is None else datetime.strptime(whole, pattern)
    except ValueError:
        return None
    return found and found + timedelta(seconds=float(f"0.{digits or 0}"))
