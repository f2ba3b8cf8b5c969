"""Which values are shown: request, policy, file, modality's rule, in this order, by PS3.3's formulas."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from radserve_imaging import ImagePolicy, ImagingError, Reading, Window, render

WINDOW = {"WindowCenter": 100, "WindowWidth": 50}
HU = {"RescaleSlope": 1, "RescaleIntercept": -1024}


@pytest.fixture(scope="module")
def ramp():
    return np.arange(4096, dtype=np.uint16).reshape(64, 64)


def lut(entries, first=0, bits=16):
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries) % 65536, first % 65536, bits])
    item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    return item


@pytest.mark.checks("Values of interest: request")
def test_a_requested_window_beats_all(build, ramp):
    data = build(ramp, **HU, **WINDOW, VOILUTSequence=[lut([0, 1])])
    reading = Reading(window=Window(-600, 1500))
    record = render(data, ImagePolicy(ct_window=Window(40, 400)), reading).record
    assert (record.voi.source, record.voi.center, record.voi.width) == ("request", -600, 1500)


@pytest.mark.parametrize(
    ("prefer", "file", "source"),
    [
        ("policy", WINDOW, "policy"),
        ("policy", {}, "policy"),
        ("file", WINDOW, "file window"),
        ("file", {}, "policy"),
    ],
)
def test_ct_follows_the_policy_s_preference(build, ramp, prefer, file, source):
    policy = ImagePolicy(ct_window=Window(40, 400), ct_prefer=prefer)
    assert render(build(ramp, **HU, **file), policy).record.voi.source == source


def test_ct_without_any_window_is_soft_tissue(build, ramp):
    voi = render(build(ramp, **HU), ImagePolicy()).record.voi
    assert (voi.source, voi.center, voi.width, voi.function) == ("default", 40, 400, "LINEAR")


def test_a_ct_window_never_touches_other_modalities(build, ramp):
    record = render(build(ramp, modality="PT", **HU), ImagePolicy(ct_window=Window(40, 400))).record
    assert record.voi.source == "full range"


def test_the_first_of_several_windows_counts(build, ramp, full_size):
    data = build(ramp, modality="MR", WindowCenter=[100, 2000], WindowWidth=[50, 4000])
    record = full_size(data).record
    assert (record.voi.center, record.voi.width) == (100, 50)
    assert any("2 windows" in warning for warning in record.warnings)


@pytest.mark.checks(
    "Values of interest: LINEAR", "Values of interest: LINEAR_EXACT", "Values of interest: SIGMOID"
)
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", lambda x: (x - 99.5) / 49 + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 100) / 50 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(np.clip(-4 * (x - 100) / 50, -50, 50)))),
    ],
)
def test_window_functions_follow_their_formulas(build, ramp, full_size, function, expected):
    data = build(ramp, modality="MR", **WINDOW, VOILUTFunction=function)
    rendering = full_size(data)
    brightness = np.clip(expected(ramp.astype(float)), 0, 1)
    assert np.array_equal(rendering.pixels[:, :, 0], np.floor(brightness * 255 + 0.5))
    assert rendering.record.voi.function == function


@pytest.mark.checks("Values of interest: VOI LUT Sequence")
def test_a_voi_lut_beats_the_file_s_window(build, full_size):
    stored = np.arange(16, dtype=np.uint16).reshape(4, 4)
    table = lut([0, 255, 128, 64], first=4, bits=8)
    rendering = full_size(build(stored, modality="DX", VOILUTSequence=[table], **WINDOW))
    expected = np.array([0, 255, 128, 64])[np.clip(stored.astype(int) - 4, 0, 3)]
    assert np.array_equal(rendering.pixels[:, :, 0], expected)
    assert rendering.record.voi.source == "file VOI LUT"


@pytest.mark.checks("Values of interest: VOI LUT Sequence")
def test_a_voi_lut_over_negative_values_has_a_signed_start(build, full_size):
    stored = np.arange(-8, 8, dtype=np.int16).reshape(4, 4)
    table = lut([0, 100, 200], first=-1, bits=8)
    shown = full_size(build(stored, modality="DX", VOILUTSequence=[table])).pixels[:, :, 0]
    assert np.array_equal(shown, np.array([0, 100, 200])[np.clip(stored + 1, 0, 2)])


@pytest.mark.checks("Pixels: modality LUT")
def test_a_modality_lut_replaces_the_rescale(build, full_size):
    stored = np.arange(4, dtype=np.uint16).reshape(2, 2)
    data = build(stored, modality="CR", ModalityLUTSequence=[lut([10, 40, 20, 30])])
    rendering = full_size(data, Reading(window=Window(25, 30, "LINEAR_EXACT")))
    assert rendering.pixels[:, :, 0].tolist() == [[0, 255], [85, 170]]
    assert rendering.record.rescale.slope is None


def test_empty_lut_items_are_passed_over(build, ramp):
    assert (
        render(build(ramp, modality="CR", VOILUTSequence=[Dataset()]), ImagePolicy()).record.voi.source
        == "full range"
    )


def test_one_hot_voxel_does_not_flatten_an_mr(build, full_size):
    stored = np.random.default_rng(0).integers(100, 400, (64, 64)).astype(np.uint16)
    stored[5, 5] = 65535
    rendering = full_size(build(stored, modality="MR"))
    assert rendering.record.voi.source == "percentiles"
    assert rendering.pixels.std() > 50


@pytest.mark.checks("Values of interest: percentiles")
def test_percentiles_are_those_of_the_policy(build, full_size):
    stored = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    voi = full_size(build(stored, modality="MR"), mr_percentiles=(10, 90)).record.voi
    assert (voi.center - voi.width / 2, voi.center + voi.width / 2) == (999, 8999)


@pytest.mark.checks("Objects: enhanced")
def test_functional_groups_give_rescale_and_window_per_frame(build, full_size):
    stored = np.tile(np.arange(64, dtype=np.uint16).reshape(8, 8), (2, 1, 1))
    shared, frames = Dataset(), []
    transform = Dataset()
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = 1, -1000, "HU"
    shared.PixelValueTransformationSequence = [transform]
    for center in (-970, -950):
        window, frame = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, 20
        frame.FrameVOILUTSequence = [window]
        frames.append(frame)
    data = build(stored, SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=frames)
    for number, center in ((1, -970), (2, -950)):
        record = full_size(data, Reading(frame=number), ct_prefer="file").record
        assert (record.voi.source, record.voi.center) == ("file window", center)
        assert record.rescale.intercept == -1000


def test_a_file_window_that_shows_nothing_is_passed_over(build, ramp, full_size):
    rendering = full_size(build(ramp, modality="DX", WindowCenter=60000, WindowWidth=10))
    assert rendering.record.voi.source == "full range"
    assert any("passed over" in warning for warning in rendering.record.warnings)


def test_a_requested_window_that_shows_nothing_is_obeyed_and_said(build, ramp, full_size):
    rendering = full_size(build(ramp, modality="DX"), Reading(window=Window(60000, 10)))
    assert rendering.pixels.max() == 0
    assert any("nothing is visible" in warning for warning in rendering.record.warnings)


@pytest.mark.checks("Photometric interpretations: MONOCHROME1", "Photometric interpretations: MONOCHROME2")
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_monochrome1_is_the_negative_of_monochrome2(build, full_size, bits):
    stored = np.arange(256).reshape(16, 16).astype(f"u{bits // 8}")
    white_high = full_size(build(stored, modality="CR")).pixels
    rendering = full_size(build(stored, modality="CR", PhotometricInterpretation="MONOCHROME1"))
    assert rendering.record.inverted
    assert np.array_equal(rendering.pixels, 255 - white_high)


def test_32_bit_values_take_the_same_windows_as_16_bit_ones(build, ramp, full_size):
    reading = Reading(window=Window(1000, 700))
    narrow = full_size(build(ramp, modality="PT"), reading).pixels
    wide = full_size(build(ramp.astype(np.uint32), modality="PT"), reading).pixels
    assert np.array_equal(narrow, wide)


def test_an_unusable_file_window_is_passed_over_with_a_warning(build, ramp, full_size):
    record = full_size(build(ramp, modality="DX", WindowCenter=10, WindowWidth=0)).record
    assert record.voi.source == "full range"
    assert any("passed over" in warning for warning in record.warnings)


@pytest.mark.checks("Values of interest: full range")
def test_a_frame_of_one_value_is_black_not_an_error(build, full_size):
    for modality in ("MR", "CR"):
        assert full_size(build(np.full((4, 4), 7, np.uint16), modality=modality)).pixels.max() == 0


TEACHING = {
    "brain": (40, 80),
    "subdural": (75, 200),
    "stroke": (40, 40),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "abdomen": (50, 400),
    "liver": (30, 150),
    "bone": (400, 1800),
}


@pytest.mark.checks("Values of interest: presets")
@pytest.mark.parametrize("name", TEACHING)
def test_a_preset_is_its_window_and_is_named(build, ramp, full_size, name):
    center, width = TEACHING[name]
    policy = ImagePolicy.from_json({"ct_window": name})
    assert policy.ct_window == Window(center, width)
    rendering = full_size(build(ramp, **HU), ct_window=policy.ct_window)
    hu = ramp.astype(float) - 1024
    grey = np.clip((hu - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
    assert np.array_equal(rendering.pixels[:, :, 0], np.floor(grey + 0.5))
    assert f"{name} preset" in rendering.record.voi.reason


def test_an_unknown_preset_is_refused_with_those_that_there_are():
    with pytest.raises(ImagingError, match="mediastinum"):
        ImagePolicy.from_json({"ct_window": "pelvis"})
    assert ImagePolicy.from_json({"ct_channels": ["brain", "subdural", "bone"]}).ct_channels[1] == Window(
        75, 200
    )


@pytest.mark.checks("Values of interest: channels")
@pytest.mark.parametrize("kind", ["u2", "u4"])
def test_three_windows_are_red_green_and_blue(build, ramp, full_size, kind):
    windows = (Window(40, 80), Window(-600, 1500), Window(400, 1800))
    data = build(ramp.astype(kind), **HU, WindowCenter=1, WindowWidth=2)
    rendering = full_size(data, ct_channels=windows)
    for channel, window in enumerate(windows):
        alone = full_size(data, Reading(window=window)).pixels[:, :, 0]
        assert np.array_equal(rendering.pixels[:, :, channel], alone)
    assert rendering.record.voi.channels == windows and rendering.record.voi.units == "HU"


def test_three_windows_of_inverted_ct_are_inverted_each(build, ramp, full_size):
    windows = (Window(40, 80), Window(-600, 1500), Window(400, 1800))
    upright = full_size(build(ramp, **HU), ct_channels=windows).pixels.astype(int)
    inverted = full_size(build(ramp, **HU, PhotometricInterpretation="MONOCHROME1"), ct_channels=windows)
    assert np.abs(inverted.pixels - (255 - upright)).max() <= 1


@pytest.mark.parametrize(("prefer", "source"), [("file", "file window"), ("policy", "percentiles")])
def test_mr_follows_the_policy_s_preference(build, ramp, prefer, source):
    record = render(build(ramp, modality="MR", **WINDOW), ImagePolicy(mr_prefer=prefer)).record
    assert record.voi.source == source


def test_percentiles_of_a_multi_frame_object_are_those_of_all_its_frames(build, full_size):
    frames = np.stack([np.full((10, 10), 100 * (i + 1), np.uint16) for i in range(5)])
    voi = full_size(build(frames, modality="MR"), Reading(frame=1), mr_percentiles=(20, 80)).record.voi
    assert (voi.center - voi.width / 2, voi.center + voi.width / 2) == (100, 400)
    assert "the volume" in voi.reason


def test_a_window_that_is_no_number_is_passed_over(build, ramp):
    data = build(ramp, modality="DX", WindowCenter=1234, WindowWidth=5678).replace(b"1234", b"12a4")
    record = render(data, ImagePolicy()).record
    assert record.voi.source == "full range"
    assert any("not a number" in warning for warning in record.warnings)
