"""Which questions an engine is calibrated on."""

from collections import Counter

import numpy as np
import pytest

from radserve_engines.errors import BuildFailed
from radserve_engines.quantization.calibrating import choose_samples
from radserve_engines.vqa_data import Question
from radserve_imaging import ImagePolicy, encode_png


@pytest.fixture
def questions(tmp_path):
    """Three on each of 12 images, nine of them CT."""
    made = []
    for image in range(12):
        path = tmp_path / f"{image}.png"
        path.write_bytes(encode_png(np.full((20, 30, 3), 20 * image, np.uint8)))
        modality = "CT" if image < 9 else "MRI"
        for number in range(3):
            name = f"{image}-{number}"
            made.append(Question(name, "set", str(path), f"{name}?", "yes", True, modality=modality))
    return made


def test_different_images_come_first_and_modalities_in_turn(questions):
    chosen = choose_samples(questions, ImagePolicy(width=28, height=28), 6)
    names = [sample.messages[0]["content"][1]["text"].partition("-")[0] for sample in chosen]
    assert len(set(names)) == 6
    assert Counter(int(name) < 9 for name in names) == {True: 3, False: 3}
    assert all(sample.images[0].shape == (28, 28, 3) for sample in chosen)


def test_the_same_seed_chooses_the_same_and_no_more_than_there_are(questions):
    policy = ImagePolicy(width=28, height=28)
    first, again, other = (
        [sample.messages for sample in choose_samples(questions, policy, 6, seed)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(choose_samples(questions, policy, 999)) == 36


def test_an_image_that_cannot_be_rendered_is_named(questions, tmp_path):
    (tmp_path / "3.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(BuildFailed, match=r"3-\d: \S+3\.png cannot be rendered"):
        choose_samples(questions, ImagePolicy(), 999)
