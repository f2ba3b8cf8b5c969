"""PET by SUV: the factors are computed here once more, by hand, from the headers of real and built files."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from radserve_imaging import ImagePolicy, render

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
INJECTION = {
    "RadiopharmaceuticalStartTime": "100000",
    "RadionuclideTotalDose": "370000000",
    "RadionuclideHalfLife": "6586.2",
}
HEADER = {
    "Units": "BQML",
    "CorrectedImage": ["ATTN", "DECY"],
    "DecayCorrection": "START",
    "PatientWeight": "70",
    "SeriesDate": "20250101",
    "SeriesTime": "110000",
    "AcquisitionDate": "20250101",
    "AcquisitionTime": "110500",
    "RescaleSlope": 2,
    "RescaleIntercept": 0,
}


def pet(build, injection=INJECTION, **header):
    item = Dataset()
    for keyword, value in injection.items():
        setattr(item, keyword, value)
    given = {**HEADER, "RadiopharmaceuticalInformationSequence": [item], **header}
    return build(RAMP, modality="PT", **{name: value for name, value in given.items() if value is not None})


def shows(rendering, activity, factor, low=0.0, high=7.0):
    """Whether each grey is that of the SUV, but for the rounding of what lies between two greys."""
    grey = np.clip((activity * factor - low) / (high - low), 0, 1) * 255
    return bool(np.abs(rendering.pixels[:, :, 0] - grey).max() < 0.5001)


@pytest.mark.checks("Values of interest: SUV", "Objects: PT")
def test_activity_becomes_suv_by_weight_and_decayed_dose(build, full_size):
    rendering = full_size(pet(build))
    left = 370e6 * 2 ** (-3600 / 6586.2)
    assert shows(rendering, RAMP * 2.0, 70_000 / left)
    voi = rendering.record.voi
    assert (voi.source, voi.units, voi.center, voi.width) == ("SUV", "SUVbw", 3.5, 7.0)


def test_a_dose_corrected_to_injection_does_not_decay(build, full_size):
    assert shows(full_size(pet(build, DecayCorrection="ADMIN")), RAMP * 2.0, 70_000 / 370e6)


def test_the_policy_gives_the_range(build, full_size):
    rendering = full_size(pet(build, DecayCorrection="ADMIN"), pt_suv=(1, 3))
    assert shows(rendering, RAMP * 2.0, 70_000 / 370e6, 1.0, 3.0)
    assert full_size(pet(build), pt_suv=None).record.voi.source == "full range"


def test_values_that_are_suv_already_stay(build, full_size):
    data = pet(build, Units="GML", RescaleSlope=0.01)
    assert shows(full_size(data), RAMP * 0.01, 1.0)


def test_counts_become_suv_by_the_makers_factor(build, full_size):
    data = pet(build, Units="CNTS", RescaleSlope=4)
    assert any("SUV scale factor" in w for w in full_size(data).record.warnings)
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.add(DataElement(0x70530010, "LO", "Philips PET Private Group"))
    dataset.add(DataElement(0x70531000, "DS", "0.002"))
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    assert shows(full_size(out.getvalue()), RAMP * 4.0, 0.002)  # the rescale first, then the factor


@pytest.mark.checks("Values of interest: SUV")
@pytest.mark.parametrize(
    ("header", "injection", "why"),
    [
        ({"PatientWeight": None}, INJECTION, "Patient's Weight"),
        ({"PatientWeight": "0"}, INJECTION, "Patient's Weight"),
        ({"CorrectedImage": ["ATTN"]}, INJECTION, "DECY"),
        ({"DecayCorrection": "NONE"}, INJECTION, "Decay Correction"),
        ({"Units": "PROPCPS"}, INJECTION, "PROPCPS"),
        ({"Units": "GML", "SUVType": "LBM"}, INJECTION, "LBM"),
        ({}, {**INJECTION, "RadionuclideTotalDose": "370"}, "not in Bq"),
        ({}, {**INJECTION, "RadionuclideHalfLife": "0"}, "Half Life"),
        ({}, {**INJECTION, "RadiopharmaceuticalStartTime": "120000"}, "contradict"),
        ({"RadiopharmaceuticalInformationSequence": None}, {}, "Total Dose"),
        ({"SeriesTime": "235900"}, INJECTION, "scan started"),
    ],
)
def test_without_a_term_there_is_no_suv_and_the_reason_is_told(build, header, injection, why):
    record = render(pet(build, injection, **header), ImagePolicy()).record
    assert record.voi.source == "full range"
    assert any("PET not shown by SUV" in warning and why in warning for warning in record.warnings)


@pytest.mark.checks("Values of interest: SUV", "Objects: PT")
@pytest.mark.parametrize("time", ["1000", "10", "100000.000000"])
def test_times_without_minutes_or_seconds_are_read_as_they_are(build, time):
    whole = render(pet(build), ImagePolicy()).record.voi
    short = render(pet(build, {**INJECTION, "RadiopharmaceuticalStartTime": time}), ImagePolicy()).record.voi
    assert short == whole


def test_half_past_nine_is_not_three_past_nine(build):
    full = render(
        pet(build, {**INJECTION, "RadiopharmaceuticalStartTime": "093000"}), ImagePolicy()
    ).record.voi
    assert (
        render(pet(build, {**INJECTION, "RadiopharmaceuticalStartTime": "0930"}), ImagePolicy()).record.voi
        == full
    )


@pytest.mark.parametrize(
    ("digest", "weight_kg", "dose_bq", "half_life_s", "waited_s"),
    [
        ("a95c4d3d", 82.174, 173529998.7793, 6586.2, 0.109),
        ("86a79b70", 90.0, 474592928.0, 6588.0, 5316.0),
        ("3b84f202", 66.2, 381470000.0, 6586.2, 5024.678),
    ],
)
def test_real_files(corpus, digest, weight_kg, dose_bq, half_life_s, waited_s):
    """The terms were read off the headers by eye."""
    (path,) = [path for path, _ in corpus if digest in path.name]
    voi = render(path.read_bytes(), ImagePolicy()).record.voi
    factor = weight_kg * 1000 / (dose_bq * 2 ** (-waited_s / half_life_s))
    assert voi.units == "SUVbw"
    assert float(voi.reason.split()[3]) == pytest.approx(factor, rel=1e-5)
