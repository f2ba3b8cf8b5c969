import pytest

from radserve_engines.tokenizer import SPECIAL_TOKENS, train_tokenizer

pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

TEXTS = ["Is there a pleural effusion?", "is there a mass in the left lobe?", "no", "x-ray, plain film"] * 4


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocabulary=320, context=64)


@pytest.mark.parametrize("text", ["Pleural effusion, 3 cm?", "Röntgen 胸部 \n\n two  blanks", "<b>\t&amp;"])
def test_any_text_survives_encoding(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_special_tokens_are_one_token_and_never_text(tokenizer, token):
    ids = tokenizer.encode(f"a{token}b")
    assert tokenizer.convert_tokens_to_ids(token) in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ab"


def test_vocabulary_is_no_larger_than_asked(tokenizer):
    assert len(tokenizer) <= 320


def test_template_renders_system_images_and_turns(tokenizer):
    image = {"type": "image"}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [image, image, {"type": "text", "text": "Same side?"}]},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "Which one is left?"},
    ]
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n"
        "<|vision_start|><|image_pad|><|vision_end|><|vision_start|><|image_pad|><|vision_end|>"
        "Same side?<|im_end|>\n"
        "<|im_start|>assistant\nno<|im_end|>\n"
        "<|im_start|>user\nWhich one is left?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
