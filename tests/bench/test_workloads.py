"""What is asked: real files, other pixels each time, the same for the same seed, and little memory for many."""

import io
import math
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pydicom
import pytest

from radserve_bench.errors import BenchError
from radserve_bench.targets.prepared import model_sees
from radserve_bench.workloads.catalogue import MORNING, WORKLOADS, workload_named
from radserve_bench.workloads.x_ray import VARIANTS
from radserve_engines.assets import demo_engine
from radserve_engines.manifest import read_manifest
from radserve_imaging import ImagePolicy, Limits, list_planes, render, sort_planes

WITH_OPTIONS = [
    ("ct-slice", {}),
    ("ct-slice", {"images": 3}),
    ("ct-slice", {"side": 256}),
    ("x-ray", {}),
    ("x-ray", {"syntax": "jpeg2000"}),
    ("series", {}),
    ("study", {}),
    ("text", {}),
    ("morning", {}),
]


def visits(name, count, seed=1, **options):
    return list(islice(workload_named(name, **options).visits(seed), count))


@pytest.fixture(scope="module")
def policies():
    """The default, the demo engine's, and one that shows a series as a montage."""
    demo = read_manifest(demo_engine()).image_policy
    montage = ImagePolicy.from_json({"arrangement": "montage", "slices": {"choose": "uniform", "count": 9}})
    return ImagePolicy(), demo, montage


@pytest.mark.parametrize(("name", "options"), WITH_OPTIONS)
def test_the_model_never_sees_the_same_twice(name, options, policies):
    """Not only other files: other pixels after window and resize, so no cache behind the gateway answers either."""
    made = visits(name, VARIANTS + 2, **options)
    files = [file.digest for visit in made for file in visit.files]
    assert len(set(files)) == len(files)
    for policy in policies:
        seen = [tuple(picture.tobytes() for picture in model_sees(visit, policy)) for visit in made]
        asked = list(zip(seen, (visit.questions for visit in made), strict=True))
        assert all(asked.count(one) == 1 for one in asked)


@pytest.mark.parametrize(("name", "options"), WITH_OPTIONS)
def test_one_seed_one_stream(name, options):
    described = [
        [(visit.kind, visit.stat, visit.questions, [file.digest for file in visit.files]) for visit in made]
        for made in (visits(name, 6, **options), visits(name, 6, **options), visits(name, 6, 2, **options))
    ]
    assert described[0] == described[1] != described[2]


@pytest.mark.parametrize(("name", "options"), WITH_OPTIONS)
def test_other_pixels_are_the_same_kinds_in_the_same_order(name, options):
    """And none of 24 points of a run looks like another's."""
    made = [list(islice(workload_named(name, **options).visits(7, pixels), 1)) for pixels in range(24)]
    assert len({tuple(file.digest for file in one.files) + one.questions for (one,) in made}) == len(made)
    if options.get("syntax"):
        looks = {(one.files[0].name, float(one.files[0].parts[0][-10:])) for (one,) in made}
        assert len(looks) == len(made)
    morning = workload_named("morning")
    kinds = [
        [(one.kind, one.stat) for one in islice(morning.visits(7, pixels), 40)] for pixels in (1, 2, None)
    ]
    assert kinds[0] == kinds[1] == kinds[2]


def test_a_slice_is_the_real_one_uncompressed():
    """But for the number in its bottom rows; and the gateway's own renderer has nothing to say against it."""
    (file,) = visits("ct-slice", 1)[0].files
    real = Path(str(pydicom.data.get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)))
    dataset = pydicom.dcmread(io.BytesIO(file.data))
    assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert file.size > 2 * 512 * 512
    policy = ImagePolicy(512, 512)
    ours, theirs = render(file.data, policy), render(real.read_bytes(), policy)
    assert (ours.pixels[:-8] == theirs.pixels[:-8]).all() and (ours.pixels[-8:] != theirs.pixels[-8:]).any()
    assert ours.record.warnings == ("the file offers 3 windows; its first counts",)


def test_an_x_ray_has_ten_megabytes_or_is_compressed():
    (native,), (compressed,) = (
        visits("x-ray", 1, **given)[0].files for given in ({}, {"syntax": "jpeg2000"})
    )
    assert native.size == pytest.approx(10.24e6, rel=0.01) and compressed.size < 0.7 * native.size
    dataset = pydicom.dcmread(io.BytesIO(compressed.data))
    assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.JPEG2000Lossless and dataset.Modality == "DX"
    assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
    for file in (native, compressed):
        assert render(file.data, ImagePolicy()).record.warnings == ()


def test_a_series_is_one_stack_along_its_normal():
    visit = visits("series", 1)[0]
    planes = [
        plane for index, file in enumerate(visit.files) for plane in list_planes(file.data, Limits(), index)
    ]
    found = sort_planes(planes)
    (stack,) = found.stacks
    assert visit.stack and len(stack.planes) == 20 and not stack.warnings and not found.left_out
    assert all(later - earlier == pytest.approx(5, abs=0.01) for earlier, later in pairwise(stack.positions))


@pytest.mark.parametrize("options", [{}, {"syntax": "jpeg2000"}])
def test_many_x_rays_share_their_bytes(options):
    """200 of 10 MB would be 2 GB: what they do not share is less than 50 MB."""
    made = visits("x-ray", 200, **options)
    parts = {id(part): len(part) for visit in made for file in visit.files for part in file.parts}
    assert sum(file.size for visit in made for file in visit.files) > 1e9
    assert sum(parts.values()) < 50e6
    assert len({file.name for visit in made for file in visit.files}) == (VARIANTS if options else 1)


def test_thousands_of_compressed_x_rays_differ():
    """Each by its picture or its window, which ends the header."""
    files = [visit.files[0] for visit in visits("x-ray", 4096, syntax="jpeg2000")]
    assert len({(file.name, float(file.parts[0][-10:])) for file in files}) == len(files)


def test_the_morning_is_mixed_as_its_table_says():
    made = visits("morning", 4000)
    counts = Counter(visit.kind for visit in made)
    for name, part, make in MORNING:
        spread = 4 * math.sqrt(part * (1 - part) / len(made))
        assert counts[make().name] / len(made) == pytest.approx(part, abs=spread), name
    assert sum(part for _, part, _ in MORNING) == pytest.approx(1)
    assert sum(visit.stat for visit in made) / len(made) == pytest.approx(0.1, abs=0.02)
    assert workload_named("morning").arrivals == "poisson"
    assert {len(visit.questions) for visit in made} == {1, 4}
    assert {visit.stack for visit in made if visit.kind == "series"} == {True}


def test_options():
    (visit,) = visits("ct-slice", 1, images=3, questions=2, side=256)
    assert len(visit.files) == 3 and len(visit.questions) == 2
    assert pydicom.dcmread(io.BytesIO(visit.files[0].data)).Rows == 256
    assert workload_named("ct-slice", images=3, side=None).name == "ct-slice images=3"
    assert [len(visit.files) for visit in visits("series", 2, images=5)] == [5, 5]
    assert visits("text", 1)[0].files == ()


def test_a_file_of_ones_own(tmp_path: Path):
    path = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))
    first, second = (visit.files[0] for visit in visits("ct-slice", 2, file=path))
    assert first.name == "CT_small.dcm" and first.digest != second.digest
    own = tmp_path / "no.dcm"
    own.write_bytes(b"no image")
    for file in (own, tmp_path / "missing"):
        with pytest.raises(BenchError, match=file.name):
            visits("ct-slice", 1, file=file)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mri", {}, "ct-slice, x-ray"),
        ("ct-slice", {"syntax": "jpeg2000"}, "no syntax; it takes images, side"),
        ("morning", {"side": 512}, "takes no options"),
        ("x-ray", {"syntax": "mp3"}, "jpeg2000"),
        ("ct-slice", {"side": 10}, "side must be from 64"),
        ("ct-slice", {"images": 0}, "images must be from 1"),
        ("study", {"questions": 1000}, "questions must be from 1"),
    ],
)
def test_what_there_is_not_is_told(name, options, words):
    with pytest.raises(BenchError, match=words):
        workload_named(name, **options)


def test_the_catalogue_says_what_each_is():
    for name, description in WORKLOADS.items():
        assert workload_named(name).name == name and workload_named(name).description == description
