"""Chosen slices of a series: the right ones, shown alike, as images or a montage, out of many files or one."""

import io
import subprocess
import sys
import warnings
from collections.abc import Callable

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from radserve_imaging import (
    ImagePolicy,
    ImagingError,
    Limits,
    Montage,
    Reading,
    SliceChoice,
    Window,
    list_planes,
    plan_stack,
    render,
    render_object,
    render_plan,
    render_series,
    sort_planes,
)
from radserve_imaging.errors import PolicyError
from radserve_imaging.stack_plan import StackPlan

SMALL = {"width": 32, "height": 32}
HU = {"RescaleSlope": 1, "RescaleIntercept": -1000}


def slices(build, count, make=lambda i: np.full((16, 16), 1000 + i, np.uint16), **attributes):
    """Axial slices, 5 mm apart, the last first."""
    made = []
    for i in reversed(range(count)):
        given = {
            "SeriesInstanceUID": "1.2.3",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "ImagePositionPatient": [0, 0, 5 * i],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [1, 1],
            "InstanceNumber": count - i,
            "SOPInstanceUID": f"1.2.3.{i + 1}",
            **HU,
            **attributes,
        }
        made.append(build(make(i), **given))
    return made


def reader(files) -> Callable[[int], bytes]:
    return lambda index: files[index]


@pytest.mark.checks("Series and frames: choice")
@pytest.mark.parametrize(
    ("choice", "count", "expected"),
    [
        (SliceChoice(count=1), 9, [5]),
        (SliceChoice(count=1), 10, [5]),
        (SliceChoice(count=3), 9, [2, 5, 8]),
        (SliceChoice(count=4), 8, [1, 3, 5, 7]),
        (SliceChoice(count=5), 3, [1, 2, 3]),
        (SliceChoice("range", count=2, first=11, last=20), 30, [13, 18]),
        (SliceChoice("range", count=99, first=29), 30, [29, 30]),
        (SliceChoice("around", at=4, neighbours=2), 30, [2, 3, 4, 5, 6]),
        (SliceChoice("around", neighbours=1), 30, [14, 15, 16]),
        (SliceChoice("around", at=1, neighbours=2), 30, [1, 2, 3]),
    ],
)
def test_slices_are_chosen_evenly_in_a_range_or_around_one(choice, count, expected):
    assert [index + 1 for index in choice.indices(count)] == expected


@pytest.mark.parametrize("count", range(1, 40))
@pytest.mark.parametrize("slices", [1, 2, 17, 300])
def test_uniform_slices_differ_rise_and_lie_symmetrically(count, slices):
    found = SliceChoice(count=count).indices(slices)
    assert len(found) == min(count, slices) == len(set(found)) and found == sorted(found)
    mirrored = [slices - 1 - index for index in reversed(found)]
    assert max(abs(a - b) for a, b in zip(found, mirrored, strict=True)) <= 1


@pytest.mark.parametrize(
    "given",
    [
        {"choose": "some"},
        {"count": 0},
        {"count": 5000},
        {"choose": "range", "first": 5, "last": 4},
        {"choose": "uniform", "at": 3},
        {"choose": "around", "first": 1},
        {"neighbours": -1},
        {"choose": "around", "count": 3},
        {"choose": "range", "neighbours": 2},
        {"every": 2},
    ],
)
def test_choices_that_make_no_sense_are_refused(given):
    with pytest.raises(PolicyError):
        SliceChoice.from_json(given)


def test_slices_that_are_not_there_are_refused_with_their_number(build):
    files = slices(build, 5)
    for choice in (SliceChoice("around", at=6), SliceChoice("range", first=2, last=7, count=1)):
        with pytest.raises(ImagingError, match="slices 1 to 5") as caught:
            render_series(reader(files), 5, ImagePolicy(), choice=choice)
        assert caught.value.code == "invalid_slices"


def test_the_chosen_are_rendered_as_each_would_be_alone_and_say_where_they_lie(build):
    files = slices(
        build, 10, lambda i: np.random.default_rng(i).integers(900, 1200, (40, 40)).astype(np.uint16)
    )
    policy = ImagePolicy(**SMALL, ct_window=Window(40, 400), slices=SliceChoice(count=3), max_images=3)
    found = render_series(reader(files), 10, policy)
    for rendering, number in zip(found, (2, 5, 9), strict=True):
        alone = render(files[10 - number], policy)
        assert np.array_equal(rendering.pixels, alone.pixels)
        assert rendering.record.source_sha256 == alone.record.source_sha256
        place = rendering.record.slice
        assert (place.slice, place.slices, place.position_mm) == (number, 10, 5.0 * (number - 1))
        assert "3 slices" in place.choice


@pytest.mark.checks("Values of interest: percentiles", "Objects: MR")
def test_percentiles_of_mr_are_those_of_the_volume(build):
    """A dark slice of a bright volume stays dark; by its own percentiles it would be stretched to white."""
    files = slices(
        build,
        8,
        lambda i: np.arange(4096, dtype=np.uint16).reshape(64, 64) // (1 if i else 16),
        modality="MR",
    )
    policy = ImagePolicy(width=64, height=64, mr_percentiles=(1, 99))
    first = SliceChoice("around", at=1)
    (rendering,) = render_series(reader(files), 8, policy, choice=first)
    alone = render(files[-1], policy)
    everything = np.concatenate([np.arange(4096)] * 7 + [np.arange(4096) // 16]) - 1000.0
    low, high = (np.percentile(everything, p, method="inverted_cdf") for p in (1, 99))
    voi = rendering.record.voi
    assert (voi.center - voi.width / 2, voi.center + voi.width / 2) == (low, high)
    assert "of the volume" in voi.reason and "of the frame" in alone.record.voi.reason
    assert rendering.pixels.max() < 40 < 200 < alone.pixels.max()


def test_padding_is_left_out_of_the_volume_s_percentiles(build):
    def make(i):
        image = np.full((20, 20), 500 + i, np.uint16)
        image[:10] = 60000
        return image

    files = slices(build, 6, make, modality="MR", PixelPaddingValue=60000, RescaleIntercept=0)
    (rendering,) = render_series(reader(files), 6, ImagePolicy(**SMALL))
    voi = rendering.record.voi
    assert (voi.center - voi.width / 2, voi.center + voi.width / 2) == (500, 505)


@pytest.mark.checks("Series and frames: montage")
def test_a_montage_shows_every_tile_in_its_cell(build):
    files = slices(build, 9, lambda i: np.full((30, 30), 1000 + 10 * i, np.uint16))
    policy = ImagePolicy(
        width=90, height=90, ct_window=Window(40, 100), slices=SliceChoice(count=9), arrangement="montage"
    )
    (montage,) = render_series(reader(files), 9, policy)
    assert isinstance(montage, Montage) and montage.pixels.shape == (90, 90, 3)
    for number, (cell, tile) in enumerate(zip(montage.record.cells, montage.record.tiles, strict=True)):
        assert (cell.x, cell.y) == (number % 3 * 30, number // 3 * 30)
        grey = np.floor(np.clip((10 * number - 39.5) / 99 + 0.5, 0, 1) * 255 + 0.5)
        assert np.all(montage.pixels[cell.y : cell.y + 30, cell.x : cell.x + 30] == grey)
        assert tile.slice.slice == number + 1
    assert montage.record.policy_sha256 == policy.digest()


def test_a_montage_of_a_wide_canvas_has_square_cells(build):
    policy = ImagePolicy(width=120, height=60, slices=SliceChoice(count=8), arrangement="montage")
    (montage,) = render_series(reader(slices(build, 8)), 8, policy)
    assert {(cell.width, cell.height) for cell in montage.record.cells} == {(30, 30)}


def test_a_plan_survives_json_and_names_only_the_files_it_needs(build):
    import json

    files = slices(build, 50)
    planes = [p for i, data in enumerate(files) for p in list_planes(data, Limits(), i)]
    (stack,) = sort_planes(planes).stacks
    plan = plan_stack(stack, ImagePolicy(slices=SliceChoice(count=4)))
    assert StackPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert len(plan.files()) == 4
    asked = []
    render_plan(lambda file: asked.append(file) or files[file], plan, ImagePolicy(**SMALL))
    assert sorted(asked) == plan.files()


def test_a_presentation_state_applies_to_the_slices_it_refers_to(build, present):
    files = slices(build, 5)
    state = present(files[2])
    reading = Reading(presentation_state=state)
    found = render_series(reader(files), 5, ImagePolicy(max_images=5), reading, choice=SliceChoice(count=5))
    assert [item.record.voi.source for item in found] == [
        "default",
        "default",
        "presentation state window",
        "default",
        "default",
    ]
    assert sum("without it" in warning for item in found for warning in item.record.warnings) == 4
    with pytest.raises(ImagingError, match="none of the slices"):
        render_series(
            reader(files), 5, ImagePolicy(max_images=5), reading, choice=SliceChoice("around", at=1)
        )


def test_more_slices_than_the_engine_takes_are_refused_before_any_is_read(build):
    files = slices(build, 5)
    with pytest.raises(ImagingError, match="takes 4 images at most") as caught:
        render_series(reader(files), 5, ImagePolicy(), choice=SliceChoice(count=5))
    assert caught.value.code == "invalid_slices"
    render_series(reader(files), 5, ImagePolicy(arrangement="montage"), choice=SliceChoice(count=5))


@pytest.fixture(scope="module")
def legacy(corpus):
    """The real head CT as one Legacy Converted Enhanced object, by highdicom; its frames in random order."""
    folder = corpus[0][0].parents[1] / "series" / "ct-head-ge"
    datasets = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    order = np.random.default_rng(5).permutation(len(datasets))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = hd.legacy.LegacyConvertedEnhancedCTImage(
            legacy_datasets=[datasets[i] for i in order],
            series_instance_uid=generate_uid(),
            series_number=1,
            sop_instance_uid=generate_uid(),
            instance_number=1,
        )
        out = io.BytesIO()
        converted.save_as(out, enforce_file_format=True)
    return out.getvalue(), [file.read_bytes() for file in sorted(folder.iterdir())]


@pytest.mark.checks("Objects: enhanced")
def test_an_enhanced_object_shows_what_its_single_slices_show(legacy):
    """Same pixels, HU and window, out of functional groups, in the order of geometry."""
    enhanced, singles = legacy
    policy = ImagePolicy(ct_window=Window(40, 80), slices=SliceChoice(count=4))
    many = render_object(enhanced, policy)
    few = render_series(reader(singles), len(singles), policy)
    assert len(many) == len(few) == 4
    for one, other in zip(many, few, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert one.record.slice.slice == other.record.slice.slice
        assert one.record.slice.position_mm == other.record.slice.position_mm
        assert one.record.voi == other.record.voi
        assert (one.record.rescale.slope, one.record.rescale.intercept) == (
            other.record.rescale.slope,
            other.record.rescale.intercept,
        )


@pytest.mark.checks("Series and frames: choice", "Objects: US")
def test_a_cine_s_frames_are_chosen_likewise(build):
    frames = np.arange(30, dtype=np.uint8)[:, None, None] * np.ones((30, 16, 16), np.uint8)
    cine = build(frames, modality="US")
    policy = ImagePolicy(**SMALL, slices=SliceChoice(count=3), max_images=3)
    assert [item.record.frame for item in render_object(cine, policy)] == [5, 15, 25]
    assert [item.record.frame for item in render_object(cine, ImagePolicy(**SMALL))] == [15]
    assert [item.record.frame for item in render_object(cine, policy, Reading(frame=7))] == [7]
    third = ImagePolicy(**SMALL, slices=SliceChoice("around", at=3))
    assert [item.record.frame for item in render_object(cine, third)] == [3]
    around = SliceChoice("around", at=10, neighbours=1)
    assert [item.record.frame for item in render_object(cine, policy, choice=around)] == [9, 10, 11]


def test_slices_of_a_single_image_are_refused(build):
    with pytest.raises(ImagingError, match="one frame") as caught:
        render_object(build(np.zeros((8, 8), np.uint8)), ImagePolicy(), choice=SliceChoice(count=2))
    assert caught.value.code == "invalid_slices"


def test_a_real_ultrasound_cine_gives_frames_in_time(corpus):
    (path,) = [path for path, _ in corpus if "6fa3a087" in path.name]
    policy = ImagePolicy(slices=SliceChoice(count=4))
    found = render_object(path.read_bytes(), policy)
    assert [item.record.frame for item in found] == [4, 12, 19, 27]
    assert len({item.record.pixels_sha256 for item in found}) == 4


MEASURE = """
import resource, sys
from pathlib import Path
from radserve_imaging import *
from radserve_imaging.photograph import encode_png
files = sorted(Path(sys.argv[1]).iterdir())
policy = ImagePolicy(ct_window=Window(40, 400), slices=SliceChoice(count=4))
def work(files):
    return render_series(lambda index: files[index].read_bytes(), len(files), policy)
work(files[:8])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = work(files)
print(len(files), found[0].record.slice.slices, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.checks("Series and frames: memory")
def test_memory_does_not_grow_with_the_slices_that_are_not_shown(build, tmp_path):
    """Of 300 slices (150 MB) four are shown: the peak is that of 8 slices, give or take a slice or two."""
    rng = np.random.default_rng(0)
    for number, data in enumerate(slices(build, 300, lambda i: rng.integers(0, 4000, (512, 512), np.uint16))):
        (tmp_path / f"{number:03}.dcm").write_bytes(data)
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    files, found, grown_kib = map(
        int, subprocess.run(command, capture_output=True, check=True).stdout.split()
    )
    print(
        f"\n{files} files of 0.5 MB: the peak of memory grew by {grown_kib / 1024:.1f} MiB over that of 8 files"
    )
    assert files == found == 300
    assert grown_kib < 4096
