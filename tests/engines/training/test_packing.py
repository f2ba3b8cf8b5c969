# ruff: noqa: E402 - the modules under test import torch, which not every environment has
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from radserve_engines.demo_checkpoint import CELLS, GRID, IMAGE_TOKENS, make_model
from radserve_engines.tokenizer import train_tokenizer
from radserve_engines.training.augmentation import Augmentation, augment
from radserve_engines.training.loss import NONE, answer_loss, encode_rows
from radserve_engines.training.packing import IGNORED, Packer, all_cells, random_cells
from radserve_engines.vision_tower import cell_angles, encode_images, normalise_pixels, patchify
from radserve_engines.vqa_data import Question

QUESTIONS = [
    Question("1", "slake", "a", "Is the liver healthy?", "yes", True, None),
    Question("2", "slake", "a", "Which plane is this?", "axial plane", False, None),
    Question("3", "slake", "a", "mass?", "no", True, None),
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([item.question + item.answer for item in QUESTIONS], vocabulary=320, context=512)


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_model(tokenizer, seed=1).eval()


@pytest.fixture(scope="module")
def image():
    pixels = torch.randint(0, 256, (1, 224, 224, 3), generator=torch.Generator().manual_seed(5))
    return normalise_pixels(pixels.to(torch.uint8))


def test_vision_tower_equals_the_model_s_own(model, image):
    both = torch.cat((image, image.flip(3)))
    with torch.no_grad():
        ours = encode_images(model.model.visual, both, all_cells(2), cell_angles(model.model.visual))
        theirs = model.model.visual(
            patchify(both).flatten(0, 2), grid_thw=torch.tensor([[1, GRID, GRID]] * 2)
        )
    torch.testing.assert_close(ours.flatten(0, 1), theirs, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(ours[0], ours[1])


def loss_of(model, packer, segments, image, cells, room=None):
    batch, angles = packer.pack([segments], cells, room), cell_angles(model.model.visual)
    hidden = encode_rows(model, batch, image, cells, angles, len(packer.head), NONE)
    return answer_loss(model, batch, hidden)


def test_room_that_is_left_over_changes_nothing(model, tokenizer, image):
    packer, cells = Packer(tokenizer), all_cells(1)
    segments = [packer.segment(item) for item in QUESTIONS]
    with torch.no_grad():
        roomy = loss_of(model, packer, segments, image, cells, room=200)
        tight = loss_of(model, packer, segments, image, cells)
    torch.testing.assert_close(roomy, tight, atol=1e-5, rtol=1e-5)


def test_a_packed_question_is_worth_the_same_as_one_alone(model, tokenizer, image):
    """Answer tokens of a segment must not see other segments: the losses would differ."""
    packer, cells = Packer(tokenizer), all_cells(1)
    segments = [packer.segment(item) for item in QUESTIONS]
    with torch.no_grad():
        packed = loss_of(model, packer, segments, image, cells)
        alone = [loss_of(model, packer, [one], image, cells) for one in segments]
    torch.testing.assert_close(packed, torch.stack(alone).mean(), atol=1e-5, rtol=1e-5)


def test_a_lone_row_is_the_chat_template_with_its_positions(model, tokenizer):
    packer = Packer(tokenizer)
    batch = packer.pack([[packer.segment(QUESTIONS[1])]], all_cells(1))
    message = {
        "role": "user",
        "content": [{"type": "image"}, {"type": "text", "text": QUESTIONS[1].question}],
    }
    prompt = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    prompt = prompt.replace("<|image_pad|>", "<|image_pad|>" * IMAGE_TOKENS)
    ids = tokenizer.encode(f"{prompt}{QUESTIONS[1].answer}<|im_end|>")
    assert batch.ids[0].tolist() == ids
    expected, _ = model.model.get_rope_index(batch.ids, torch.tensor([[1, GRID, GRID]]))
    assert torch.equal(batch.positions, expected)
    answer = batch.labels[0][batch.labels[0] != IGNORED]
    assert tokenizer.decode(answer) == "axial plane<|im_end|>"


def test_dropped_image_tokens_keep_their_places(model, tokenizer, image):
    cells = random_cells(1, 20, torch.Generator().manual_seed(3))
    batch = Packer(tokenizer).pack([[Packer(tokenizer).segment(QUESTIONS[0])]], cells)
    at = batch.ids[0] == model.config.image_token_id
    rows, columns = batch.positions[1, 0, at], batch.positions[2, 0, at]
    first = int(batch.positions[0, 0, at][0])
    assert ((rows - first) * CELLS + columns - first).tolist() == cells[0].tolist()
    with torch.no_grad():
        assert encode_images(model.model.visual, image, cells, cell_angles(model.model.visual)).shape == (
            1,
            20,
            256,
        )


def test_augmentation_never_mirrors():
    """A bright left edge stays on the left, whatever is drawn."""
    pixels = torch.zeros(64, 224, 224, 3, dtype=torch.uint8)
    pixels[:, :, 30:80] = 255
    moved = augment(normalise_pixels(pixels), torch.Generator().manual_seed(0), Augmentation())
    assert (moved[..., :112].mean((1, 2, 3)) > moved[..., 112:].mean((1, 2, 3))).all()
