"""Training end to end on made images: a few steps, uncompiled, at the demo model's own size."""

# ruff: noqa: E402 - the modules under test import torch, which not every environment has
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from radserve_engines.demo_checkpoint import load_checkpoint, make_model
from radserve_engines.training.answers import AnswerTraining, Recipe, make_tokenizer
from radserve_engines.training.labels import Labels
from radserve_engines.training.packing import Packer
from radserve_engines.training.rows import RowPlanner
from radserve_engines.training.timed import warmed_cosine
from radserve_engines.training.vision import VisionTraining, WarmUp
from radserve_engines.vqa_data import ImageCache, Question

ANSWERS = ("ct", "x-ray")


@pytest.fixture(scope="module")
def questions():
    """Twenty images, bright ones "x-ray" and dark ones "ct", three questions each."""
    return [
        Question(f"{i}-{n}", "slake", f"{i}.png", text, ANSWERS[i % 2], False, ANSWERS[i % 2], "Modality")
        for i in range(20)
        for n, text in enumerate(("What is this?", "Which modality was used?", "How was it taken?"))
    ]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    levels = np.array([40, 200], np.uint8)[np.arange(20) % 2]
    np.save(folder / "pixels.npy", np.broadcast_to(levels[:, None, None, None], (20, 224, 224, 3)))
    (folder / "index.json").write_text(json.dumps({"rows": {f"{i}.png": i for i in range(20)}}))
    return ImageCache(folder)


@pytest.fixture(scope="module")
def tokenizer(questions):
    return make_tokenizer(questions)


def train(questions, images, tokenizer, out, steps, **recipe):
    """Stop after `steps` more steps, as a machine does that is switched off right after a save."""
    out.mkdir(exist_ok=True)
    settings = Recipe(minutes=60.0, batch=4, peak_rate=1e-3, ramp=0.0, kept_tokens=4, **recipe)
    model = make_model(tokenizer, seed=3)
    training = AnswerTraining(settings, model, tokenizer, questions, images, out, compiled=False)
    losses = []
    for _, batch in zip(range(steps), training.batches(training.step), strict=False):
        losses.append(training._train_step(batch))
        training.step += 1
    training.save()
    return training, losses


def test_a_few_steps_teach_what_a_bright_image_is_called(questions, images, tokenizer, tmp_path):
    _, losses = train(questions, images, tokenizer, tmp_path, 16)
    assert np.mean(losses[-4:]) < 0.6 * losses[0]
    model, read = load_checkpoint(tmp_path / "checkpoint")
    assert model.config.image_token_id == read.convert_tokens_to_ids("<|image_pad|>")


def test_a_stopped_training_goes_on_as_if_it_had_not_been_stopped(questions, images, tokenizer, tmp_path):
    whole, losses = train(questions, images, tokenizer, tmp_path / "whole", 4)
    _, first = train(questions, images, tokenizer, tmp_path / "parts", 2)
    parts, second = train(questions, images, tokenizer, tmp_path / "parts", 2)
    assert parts.step == 4
    assert [*first, *second] == pytest.approx(losses, rel=1e-3)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=0)


def test_time_spent_ends_the_training_without_another_step(questions, images, tokenizer, tmp_path):
    settings = Recipe(minutes=1.0, batch=4)
    model = make_model(tokenizer, seed=3)
    training = AnswerTraining(settings, model, tokenizer, questions, images, tmp_path, compiled=False)
    training.spent_s = 61.0
    training.run()
    assert training.step == 0 and (tmp_path / "state.pt").is_file()


def test_the_warm_up_learns_to_tell_dark_from_bright_and_resumes(questions, images, tokenizer, tmp_path):
    def begin():
        visual = make_model(tokenizer, seed=3).model.visual
        recipe = WarmUp(minutes=60.0, batch=10, kept=4, ramp=0.0)
        return VisionTraining(recipe, visual, Labels(questions), images, tmp_path, compiled=False)

    training, losses = begin(), []
    for _, batch in zip(range(12), training.batches(0), strict=False):
        losses.append(training._train_step(batch))
        training.step += 1
    assert losses[-1] < 0.5 * losses[0]
    training.save()
    again = begin()
    assert again.step == 12
    assert torch.equal(again.head[1].weight, training.head[1].weight)


def test_every_question_is_asked_once_an_epoch_within_its_row_s_room(questions, tokenizer):
    packer = Packer(tokenizer)
    planner = RowPlanner(questions, packer, room=40, seed=5)
    rows = planner._plan_epoch(np.random.default_rng(0))
    assert all(sum(map(len, row.segments)) <= 40 for row in rows)
    texts = [(row.image, tokenizer.decode(s.question)) for row in rows for s in row.segments]
    for item in questions:
        asked = [t for image, t in texts if image == item.image and item.question.lower() in t.lower()]
        assert len(asked) == 1


def test_skipping_batches_leads_to_the_very_same_rows(questions, tokenizer):
    planner = RowPlanner(questions, Packer(tokenizer), room=60, seed=5)
    straight = [batch for _, batch in zip(range(30), planner.batches(4), strict=False)]
    skipped = [batch for _, batch in zip(range(10), planner.batches(4, skip=20), strict=False)]
    assert straight[20:] == skipped


def test_the_rate_rises_in_a_line_and_ends_at_a_fiftieth():
    assert warmed_cosine(0.05, 0.1) == pytest.approx(0.5)
    assert warmed_cosine(0.1, 0.1) == pytest.approx(1.0)
    assert warmed_cosine(1.0, 0.1) == pytest.approx(0.02)
