"""Policies and records survive JSON, refuse what they do not know, and have digests that mean something."""

import dataclasses
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

import radserve_imaging
from radserve_imaging import (
    ImagePolicy,
    ImagingError,
    RenderingRecord,
    SliceChoice,
    Window,
    encode_png,
    render,
    render_object,
)
from radserve_imaging.errors import InvalidWindowError, PolicyError, RecordError

FULL = ImagePolicy(448, 336, "within", 14, 7, Window(50, 350, "SIGMOID"), "file", (0.5, 99.5), 2)
PNG = encode_png(np.zeros((4, 6, 3), np.uint8))


CHANNELS = ImagePolicy(
    ct_channels=(Window(40, 80), Window(75, 200), Window(400, 1800, "SIGMOID")),
    mr_prefer="policy",
    pt_suv=None,
    slices=SliceChoice("range", count=4, first=3, last=30),
    arrangement="montage",
)


@pytest.mark.parametrize("policy", [ImagePolicy(), FULL, CHANNELS])
def test_a_policy_survives_json(policy):
    assert ImagePolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


def test_absent_fields_take_their_defaults():
    assert ImagePolicy.from_json({}) == ImagePolicy()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"widht": 3}, "widht"),
        ({"width": "224"}, "width"),
        ({"width": 0}, "width"),
        ({"width": True}, "width"),
        ({"height": 1e9}, "height"),
        ({"fit": "crop"}, "fit"),
        ({"background": 256}, "background"),
        ({"ct_prefer": "mine"}, "ct_prefer"),
        ({"ct_window": [40, 400]}, "ct_window"),
        ({"ct_window": {"center": 40}}, "ct_window.width"),
        ({"ct_window": {"center": 40, "width": 0}}, "ct_window"),
        ({"ct_window": {"center": 40, "width": 400, "level": 1}}, "ct_window.level"),
        ({"mr_percentiles": [99, 1]}, "mr_percentiles"),
        ({"mr_percentiles": [1]}, "mr_percentiles"),
        ({"mr_percentiles": ["1", "99"]}, "mr_percentiles"),
        ({"max_images": 0}, "max_images"),
        ({"ct_window": "pelvis"}, "ct_window"),
        ({"ct_channels": ["brain", "bone"]}, "ct_channels"),
        ({"ct_channels": ["brain", "bone", {"center": 1}]}, "ct_channels.2.width"),
        ({"ct_channels": ["brain", "bone", "lung"], "ct_window": "brain"}, "ct_channels"),
        ({"pt_suv": [7, 0]}, "pt_suv"),
        ({"mr_prefer": "mine"}, "mr_prefer"),
        ({"arrangement": "film"}, "arrangement"),
        ({"slices": {"count": 5}}, "slices"),
        ({"slices": {"choose": "all"}}, "slices.choose"),
        ({"slices": 3}, "slices"),
        ({"fit": "within", "multiple": 500}, "multiple"),
    ],
)
def test_a_wrong_field_is_named(given, field):
    with pytest.raises(PolicyError, match=field.replace(".", r"\.")) as caught:
        ImagePolicy.from_json(given)
    assert caught.value.code == "invalid_policy"


@pytest.mark.parametrize(
    "window",
    [(0, 0), (0, 0.5), (0, -1), (float("nan"), 1), (0, float("inf")), (0, 0, "SIGMOID"), (0, 1, "CUBIC")],
)
def test_windows_that_the_standard_forbids_are_refused(window):
    with pytest.raises(InvalidWindowError):
        Window(*window)


def test_equal_policies_have_equal_digests_and_others_not():
    assert (
        ImagePolicy(ct_window=Window(40, 400)).digest() == ImagePolicy(ct_window=Window(40.0, 400.0)).digest()
    )
    digests = {dataclasses.replace(ImagePolicy(), background=value).digest() for value in range(10)}
    assert len(digests) == 10


def test_a_record_survives_json(build):
    ct = build(np.arange(64, dtype=np.uint16).reshape(8, 8), RescaleSlope=1, RescaleIntercept=-1024)
    channels = replace(CHANNELS, arrangement="images")
    (slice_,) = render_object(
        build(np.zeros((3, 8, 8), np.uint16), modality="MR"), channels, choice=SliceChoice()
    )
    for record in (
        render(ct, FULL).record,
        render(PNG, FULL).record,
        render(ct, channels).record,
        slice_.record,
    ):
        assert RenderingRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_tampered_record_is_refused_by_field():
    value = render(PNG, FULL).record.to_json()
    for change in ({"size_in": [1]}, {"inverted": 0}, {"colour": 1}, {"placement": None}):
        with pytest.raises(RecordError, match=next(iter(change))):
            RenderingRecord.from_json({**value, **change})


def test_the_record_proves_input_and_pixels():
    rendering = render(PNG, ImagePolicy())
    assert rendering.record.source_sha256 == hashlib.sha256(PNG).hexdigest()
    proof = hashlib.sha256(b"224x224x3\n" + rendering.pixels.tobytes()).hexdigest()
    assert rendering.record.pixels_sha256 == proof
    assert rendering.record.policy_sha256 == ImagePolicy().digest()


def test_rendering_is_deterministic_and_leaves_its_input_alone(testfile):
    data = testfile("CT_small.dcm")
    before = bytes(data)
    first, second = render(data, ImagePolicy()), render(data, ImagePolicy())
    assert first.record == second.record and np.array_equal(first.pixels, second.pixels)
    assert data == before


def test_every_error_has_a_stable_code_of_its_own():
    from radserve_imaging import errors

    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ImagingError)
    ]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes) == 19
    assert all(code in (errors.__doc__ or "") for code in codes if code != "imaging_error")


def test_the_public_surface_is_what_it_says():
    assert all(hasattr(radserve_imaging, name) for name in radserve_imaging.__all__)
