"""Slices lie where geometry says, whatever their names, numbers and order of arrival."""

import random
from pathlib import Path

import numpy as np
import pydicom
import pytest

from radserve_imaging import Limits, Plane, list_planes, sort_planes

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def plane(z, **given):
    """A 512² CT slice at (−250, −250, z)."""
    values = {
        "file": 0,
        "frame": 1,
        "frames": 1,
        "series": "a",
        "modality": "CT",
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "rows": 512,
        "columns": 512,
        "spacing": (0.9, 0.9),
        "orientation": AXIAL,
        "position": (-250.0, -250.0, float(z)),
        "thickness": 5.0,
        "instance": 1,
        "acquisition": 1,
        "temporal": None,
        "echo": None,
        "b_value": None,
        "tilt": None,
    }
    return Plane(**{**values, **given})


def heights(stack):
    return [plane.position[2] for plane in stack.planes]


def shuffled(planes):
    planes = list(planes)
    random.Random(3).shuffle(planes)
    return planes


@pytest.mark.checks("Series and frames: order")
@pytest.mark.parametrize("name", ["ct-head-ge", "mr-t1-sag"])
def test_real_series_are_sorted_by_their_geometry(corpus, name):
    """Against numpy on what pydicom reads: projections on row × column rise, and no slice is lost."""
    folder = corpus[0][0].parents[1] / "series" / name
    files = shuffled(sorted(folder.iterdir()))
    planes = [plane for i, file in enumerate(files) for plane in list_planes(file.read_bytes(), Limits(), i)]
    (stack,) = sort_planes(planes).stacks
    assert sorted(plane.file for plane in stack.planes) == list(range(len(files)))
    along = []
    for item in stack.planes:
        dataset = pydicom.dcmread(files[item.file], stop_before_pixels=True)
        row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        along.append(float(np.dot(np.cross(row, column), np.array(dataset.ImagePositionPatient, float))))
    assert np.all(np.diff(along) > 0)
    assert np.allclose(along, stack.positions, atol=1e-6)


def test_the_real_head_ct_tells_its_tilt_and_its_two_distances(corpus):
    """The scanner's own gantry tilt is +18.5°; it scanned at 4 mm below and 7 mm above."""
    folder = corpus[0][0].parents[1] / "series" / "ct-head-ge"
    files = sorted(folder.iterdir())
    (stack,) = sort_planes([p for f in files for p in list_planes(f.read_bytes(), Limits())]).stacks
    assert any("tilted" in warning and "18.5°" in warning for warning in stack.warnings)
    assert any("varies" in warning for warning in stack.warnings)


def test_instance_numbers_and_arrival_do_not_matter():
    planes = shuffled(plane(5 * i, instance=random.Random(i).randrange(99)) for i in range(20))
    (stack,) = sort_planes(planes).stacks
    assert heights(stack) == [5 * i for i in range(20)]
    assert stack.warnings == ()


@pytest.mark.checks("Series and frames: order")
def test_slices_are_sorted_along_the_normal_of_any_orientation():
    """x does not change in an axial series, z does not in a coronal one: one coordinate sorts nothing."""
    planes = shuffled(plane(0, orientation=CORONAL, position=(-250.0, 4.0 * i, 250.0)) for i in range(9))
    (stack,) = sort_planes(planes).stacks
    assert [item.position[1] for item in stack.planes] == [4.0 * i for i in range(9)]
    assert stack.normal == (0.0, 1.0, 0.0)


def test_the_normal_decides_the_direction():
    """Rows that run to the left turn the normal over, and with it the order."""
    planes = [plane(z, orientation=(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)) for z in range(4)]
    assert heights(sort_planes(planes).stacks[0]) == [3, 2, 1, 0]


@pytest.mark.checks("Series and frames: split")
def test_several_orientations_in_one_series_are_split():
    planes = [plane(z) for z in range(5)]
    planes += [plane(0, orientation=CORONAL, position=(0.0, float(y), 0.0)) for y in range(7)]
    found = sort_planes(shuffled(planes))
    assert [len(stack.planes) for stack in found.stacks] == [7, 5]
    assert [stack.describe().split(", ")[-1] for stack in found.stacks] == ["coronal", "axial"]


@pytest.mark.checks("Series and frames: split")
def test_echoes_are_split():
    planes = [plane(z, modality="MR", echo=echo) for z in range(6) for echo in (20.0, 90.0)]
    found = sort_planes(shuffled(planes))
    assert [heights(stack) for stack in found.stacks] == [list(range(6))] * 2
    assert all(len({item.echo for item in stack.planes}) == 1 for stack in found.stacks)


@pytest.mark.checks("Series and frames: split")
@pytest.mark.parametrize("field", ["acquisition", "temporal", "b_value"])
def test_what_repeats_the_same_places_is_split(field):
    planes = [plane(z, **{field: phase}) for z in range(6) for phase in (1, 2, 3)]
    found = sort_planes(shuffled(planes))
    assert [heights(stack) for stack in found.stacks] == [list(range(6))] * 3
    assert all("stacks of their own" in warning for stack in found.stacks for warning in stack.warnings)


def test_acquisitions_that_complete_each_other_stay_together():
    """Step and shoot, and interleaved MR: each acquisition number holds a part of one stack."""
    steps = [plane(5 * i, acquisition=i // 2) for i in range(12)]
    interleaved = [plane(3 * i, acquisition=i % 2) for i in range(12)]
    for planes in (steps, interleaved):
        (stack,) = sort_planes(shuffled(planes)).stacks
        assert len(stack.planes) == 12 and stack.warnings == ()


def test_acquisitions_that_overlap_unevenly_are_split():
    planes = [plane(5 * i, acquisition=1) for i in range(8)]
    planes += [plane(5 * i + 1.3, acquisition=2) for i in range(8)]
    assert [len(stack.planes) for stack in sort_planes(shuffled(planes)).stacks] == [8, 8]


def test_the_same_place_twice_without_a_difference_is_told():
    planes = [plane(z, instance=number) for number in (1, 2) for z in range(4)]
    found = sort_planes(shuffled(planes))
    assert [heights(stack) for stack in found.stacks] == [[0, 1, 2, 3]] * 2
    assert [{item.instance for item in stack.planes} for stack in found.stacks] == [{1}, {2}]
    assert all("one place" in stack.warnings[0] for stack in found.stacks)


@pytest.mark.checks("Series and frames: left out")
@pytest.mark.parametrize(
    ("image_type", "reason"),
    [(("ORIGINAL", "PRIMARY", "LOCALIZER"), "localizer"), (("DERIVED", "SECONDARY", "MPR"), "derived image")],
)
def test_localizers_and_derived_images_are_left_out(image_type, reason):
    planes = [plane(z) for z in range(5)] + [plane(9, image_type=image_type)]
    found = sort_planes(planes)
    assert [len(stack.planes) for stack in found.stacks] == [5]
    assert [item.reason for item in found.left_out] == [reason]
    (alone,) = sort_planes(planes[-1:]).stacks
    assert alone.planes == (planes[-1],) and any("only" in warning for warning in alone.warnings)


@pytest.mark.checks("Series and frames: warnings")
def test_missing_slices_are_told_by_where_and_how_many():
    planes = [plane(5 * i) for i in range(20) if i not in (4, 11, 12)]
    (stack,) = sort_planes(planes).stacks
    assert stack.warnings == ("slices are missing: 1 after slice 4, 2 after slice 10",)


@pytest.mark.checks("Series and frames: warnings")
def test_varying_spacing_is_told_and_jitter_is_not():
    (even,) = sort_planes([plane(5 * i + 0.02 * (i % 2)) for i in range(9)]).stacks
    assert even.warnings == ()
    (uneven,) = sort_planes([plane(z) for z in (0, 5, 10, 13, 16, 19)]).stacks
    assert "varies from 3 to 5 mm" in uneven.warnings[0]


@pytest.mark.checks("Series and frames: warnings")
def test_gantry_tilt_is_told():
    """Slices that move along y as well as along their normal, by tan 15°."""
    planes = [plane(5 * i, position=(0.0, 5 * i * np.tan(np.radians(15)), 5.0 * i)) for i in range(6)]
    (stack,) = sort_planes(planes).stacks
    assert any("15.0°" in warning for warning in stack.warnings)


def test_series_and_sizes_are_not_mixed():
    planes = [plane(z) for z in range(4)] + [plane(z, series="b") for z in range(3)] + [plane(8, rows=256)]
    assert [len(stack.planes) for stack in sort_planes(planes).stacks] == [4, 3, 1]


def test_without_positions_the_number_counts_and_that_is_told():
    planes = [plane(0, position=None, orientation=None, instance=n, file=n) for n in (3, 1, 2)]
    (stack,) = sort_planes(planes).stacks
    assert [item.instance for item in stack.planes] == [1, 2, 3]
    assert "no position" in stack.warnings[0]


def test_a_plane_survives_json():
    import json

    for item in (plane(3, tilt=1.5, b_value=800.0), plane(0, position=None, orientation=None, spacing=None)):
        assert Plane.from_json(json.loads(json.dumps(item.to_json()))) == item


def test_a_header_is_all_it_takes(testfile):
    """The planes of a file are the same without its pixels, and nothing in them names the patient."""
    data = testfile("CT_small.dcm")
    (found,) = list_planes(data, Limits())
    dataset = pydicom.dcmread(Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))))
    assert found.position == tuple(map(float, dataset.ImagePositionPatient))
    assert dataset.SeriesInstanceUID not in str(found) and len(found.series) == 64


def test_a_number_of_each_image_does_not_tear_a_stack_to_pieces():
    planes = [plane(z, temporal=t, acquisition=100 * t + z) for z in range(20) for t in (1, 2, 3)]
    assert [len(stack.planes) for stack in sort_planes(shuffled(planes)).stacks] == [20, 20, 20]


def test_two_blocks_that_share_a_border_slice_stay_one_stack():
    """Step and shoot, an acquisition for each rotation: only the slice that is there twice stands apart."""
    planes = [plane(4 * i, acquisition=i, instance=i) for i in range(14)]
    planes += [plane(4 * 13 + 7 * i, acquisition=20 + i // 2, instance=20 + i) for i in range(14)]
    assert [len(stack.planes) for stack in sort_planes(shuffled(planes)).stacks] == [27, 1]


def test_what_two_attributes_tell_apart_is_split_by_both_though_one_is_missing():
    planes = [plane(z, b_value=b, acquisition=a) for z in range(12) for b in (0.0, 800.0) for a in (1, 2)]
    found = sort_planes(shuffled(planes[1:]))
    assert sorted(len(stack.planes) for stack in found.stacks) == [11, 12, 12, 12]
    for stack in found.stacks:
        assert len({(item.b_value, item.acquisition) for item in stack.planes}) == 1


def test_jitter_does_not_mix_phases():
    jitter = random.Random(7)
    planes = [
        plane(0.625 * i + jitter.uniform(-1e-4, 1e-4), instance=20 * phase + i)
        for phase in range(3)
        for i in range(20)
    ]
    found = sort_planes(shuffled(planes))
    assert [len(stack.planes) for stack in found.stacks] == [20, 20, 20]
    assert [{item.instance // 20 for item in stack.planes} for stack in found.stacks] == [{0}, {1}, {2}]
