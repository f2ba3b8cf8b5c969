"""Presentation states, as another library writes them: what the reader chose is what the model sees."""

import numpy as np
import pytest

from radserve_imaging import ImagePolicy, ImagingError, Reading, Window, is_presentation_state, render
from radserve_imaging.limits import DEFAULT_LIMITS

HU = {"RescaleSlope": 1, "RescaleIntercept": -1024}
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def expected(hu, center, width):
    """LINEAR of PS3.3 C.11.2.1.2.1, written out again."""
    return np.floor(np.clip((hu - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255 + 0.5)


@pytest.mark.checks("Objects: presentation state", "Values of interest: presentation state")
def test_its_window_replaces_policy_and_file(present, build, full_size):
    image = build(RAMP, **HU, WindowCenter=40, WindowWidth=400)
    state = present(image)
    rendering = full_size(image, Reading(presentation_state=state), ct_window=Window(40, 80))
    assert np.array_equal(rendering.pixels[:, :, 0], expected(RAMP.astype(float) - 1024, -600, 1500))
    assert rendering.record.voi.source == "presentation state window"
    assert rendering.record.presentation_state_sha256 is not None


def test_a_window_of_the_request_still_comes_first(present, build):
    image = build(RAMP, **HU)
    reading = Reading(window=Window(40, 80), presentation_state=present(image))
    assert render(image, ImagePolicy(), reading).record.voi.source == "request"


@pytest.mark.checks("Objects: presentation state")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
def test_its_polarity_replaces_that_of_the_image(present, build, full_size, photometric, shape):
    image = build(RAMP, modality="CR", PhotometricInterpretation=photometric)
    state = present(image, center=2048, width=4096, shape=shape)
    shown = full_size(image, Reading(presentation_state=state)).pixels[:, :, 0]
    grey = expected(RAMP.astype(float), 2048, 4096)
    wanted = 255 - grey if shape == "INVERSE" else grey
    assert np.abs(shown.astype(int) - wanted).max() <= 1  # 0.5 rounds up before and after inversion
    assert (shown[0, 0] < shown[-1, -1]) == (shape == "IDENTITY")


def test_one_of_another_image_is_refused(present, build):
    image, other = build(RAMP, **HU), build(RAMP, **HU, SOPInstanceUID="1.2.826.0.1.3680043.8.498.2")
    with pytest.raises(ImagingError, match="does not refer") as caught:
        render(image, ImagePolicy(), Reading(presentation_state=present(other)))
    assert caught.value.code == "invalid_presentation_state"


@pytest.mark.parametrize("state", [b"", b"not DICOM at all", "an image"])
def test_what_is_none_is_refused(present, build, state):
    image = build(RAMP, **HU)
    with pytest.raises(ImagingError) as caught:
        render(image, ImagePolicy(), Reading(presentation_state=image if state == "an image" else state))
    assert caught.value.code == "invalid_presentation_state"


def test_colour_takes_none(present, build):
    image = build(np.zeros((8, 8, 3), np.uint8), modality="OT")
    with pytest.raises(ImagingError, match="colour"):
        render(image, ImagePolicy(), Reading(presentation_state=present(build(RAMP, **HU))))


def test_it_is_told_apart_from_images(present, build):
    image = build(RAMP, **HU)
    assert is_presentation_state(present(image), DEFAULT_LIMITS)
    assert not is_presentation_state(image, DEFAULT_LIMITS)
