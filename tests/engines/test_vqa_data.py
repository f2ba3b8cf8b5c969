import json
from pathlib import Path

import numpy as np
import pytest

from radserve_engines.vqa_data import (
    Question,
    by_image,
    load_questions,
    load_training_questions,
    normalise,
    render_images,
)

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not (DATA / "slake").is_dir(), reason="the question sets are not on this machine"
)


def write_set(folder, split, *images):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": f"{split}-{i}", "image": image, "question": "Why?", "answer": "Yes.", "answer_type": "closed"}
        for i, image in enumerate(images)
    ]
    text = "".join(json.dumps({**row, "content_type": "x", "modality": None}) + "\n" for row in rows)
    (folder / f"{split}.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("answer", "plain"),
    [("Yes.", "yes"), (" X-Ray ", "x-ray"), ("T2  weighted . ", "t2 weighted"), (".", "")],
)
def test_normalise_drops_case_blanks_and_one_full_stop(answer, plain):
    assert normalise(answer) == plain


def test_an_image_held_out_by_any_set_is_not_trained_on(tmp_path):
    """The same file name stands in one set's train split and in another's validate split."""
    for source in ("slake", "vqa-rad", "vqa-med-2019"):
        write_set(tmp_path / source, "train", f"images/{source}.jpg", "images/both.jpg")
        write_set(tmp_path / source, "validate", f"images/{source}-v.jpg")
    write_set(tmp_path / "vqa-rad", "validate", "images/both.png")
    assert [item.image for item in load_training_questions(tmp_path)] == [
        "slake/images/slake.jpg",
        "vqa-rad/images/vqa-rad.jpg",
        "vqa-med-2019/images/vqa-med-2019.jpg",
    ]


@needs_data
def test_real_training_questions_share_no_file_name_with_validation():
    training, held_out = load_training_questions(DATA), load_questions(DATA, "validate")
    assert len(training) > 18_000
    assert len(held_out) == 3520
    assert not {Path(q.image).name for q in training} & {Path(q.image).name for q in held_out}


def test_questions_are_grouped_by_image():
    items = [Question(str(i), "slake", f"{i % 2}.jpg", "q", "a", False, None) for i in range(5)]
    groups = by_image(items)
    assert [[item.id for item in group] for group in groups.values()] == [["0", "2", "4"], ["1", "3"]]


def test_images_are_rendered_once_and_found_again(tmp_path):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "data").mkdir()
    for name, grey in (("dark.png", 10), ("bright.png", 200)):
        image.new("L", (20, 10), grey).save(tmp_path / "data" / name)
    images = render_images(tmp_path / "data", ["dark.png", "bright.png", "dark.png"], tmp_path / "cache", 28)
    (tmp_path / "data" / "dark.png").unlink()
    again = render_images(tmp_path / "data", ["bright.png", "dark.png"], tmp_path / "cache", 28)
    for cache in (images, again):
        assert cache["dark.png"].shape == (28, 28, 3)
        # Letterboxed: the picture fills the middle, black lies above.
        assert cache["bright.png"][14, 14].tolist() == [200, 200, 200]
        assert cache["bright.png"][0, 14].tolist() == [0, 0, 0]
        np.testing.assert_array_equal(cache.stack(["bright.png", "dark.png"])[1], cache["dark.png"])
