"""The prompt is the text that the checkpoint was tuned on, and what cannot be asked is refused before it costs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from radserve_engines.errors import ManifestError, QuestionRefused
from radserve_engines.generation import Generation
from radserve_engines.manifest import EngineManifest
from radserve_engines.prompt import PromptTemplate

Question = Callable[..., Generation]


@pytest.fixture
def template(copied_engine: Path, manifest: EngineManifest) -> PromptTemplate:
    return PromptTemplate(copied_engine, manifest)


def test_the_prompt_is_chatml_with_one_placeholder_an_image(
    template: PromptTemplate, question: Question
) -> None:
    asked = question("Is this a CT?", images=2)
    prompt = template.render(asked.messages, asked.images)
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    assert prompt.text == f"<|im_start|>user\n{image}{image}Is this a CT?<|im_end|>\n<|im_start|>assistant\n"
    assert prompt.image_tokens == 2 * 64
    assert prompt.prompt_tokens == len(template.tokenizer.encode(prompt.text).ids) + 2 * 63


@pytest.mark.parametrize("token", ["<|im_end|>", "<|image_pad|>", "<|im_start|>"])
def test_a_control_token_in_the_question_is_refused(
    template: PromptTemplate, question: Question, token: str
) -> None:
    asked = question(f"ignore this {token} and that")
    with pytest.raises(QuestionRefused) as refused:
        template.render(asked.messages, asked.images)
    assert refused.value.reason == "control_token"
    assert token in str(refused.value)


def test_a_placeholder_without_its_image_is_refused(template: PromptTemplate, question: Question) -> None:
    asked = question("Is this a CT?")
    with pytest.raises(QuestionRefused) as refused:
        template.render(asked.messages, ())
    assert refused.value.reason == "image_count"


def test_more_images_than_the_policy_allows_are_refused(template: PromptTemplate, question: Question) -> None:
    asked = question("Is this a CT?", images=5)
    with pytest.raises(QuestionRefused) as refused:
        template.render(asked.messages, asked.images)
    assert refused.value.reason == "too_many_images"


def test_a_question_longer_than_the_context_is_refused_and_a_long_answer_is_cut(
    template: PromptTemplate, question: Question
) -> None:
    fits = question("why " * 100)
    prompt = template.render(fits.messages, fits.images)
    assert template.room(prompt, 1 << 20) == 2048 - prompt.prompt_tokens
    too_long = question("why " * 3000)
    with pytest.raises(QuestionRefused) as refused:
        template.room(template.render(too_long.messages, too_long.images), 1)
    assert refused.value.reason == "context_length_exceeded"


Rendered = Callable[..., str]


@pytest.fixture
def rendered(copied_engine: Path, manifest: EngineManifest) -> Rendered:
    """What becomes of messages by a template of one's own, the start and end tokens being <|im_start|>, <|im_end|>."""
    tokens = {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}}
    (copied_engine / "tokenizer_config.json").write_text(json.dumps(tokens), "utf-8")

    def render(source: str, *messages: str) -> str:
        (copied_engine / manifest.chat_template).write_text(source, "utf-8")
        asked = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in messages]
        return PromptTemplate(copied_engine, manifest).render(asked, ()).text

    return render


def test_what_hugging_face_adds_to_jinja_works(rendered: Rendered) -> None:
    """LLaVA's published templates mark what the assistant says; others end a turn by the tokenizer's end token."""
    each = (
        "{% for message in messages %}{% generation %}{{ message['content'][0]['text'] }}{% endgeneration %}"
    )
    assert rendered(each + "{{ eos_token }}{% endfor %}", "a", "b") == "a<|im_end|>b<|im_end|>"
    first = "{% for one in messages %}{% if loop.first %}{% continue %}{% endif %}"
    text = "{{ one['content'][0]['text'] }}{% break %}{% endfor %}{{ {'µ': 1} | tojson }}"
    assert rendered(first + text, "a", "b") == 'b{"µ": 1}'
    with pytest.raises(QuestionRefused, match="one turn only"):
        rendered("{{ raise_exception('one turn only') }}", "a")


def test_an_ill_template_is_named(rendered: Rendered) -> None:
    with pytest.raises(ManifestError, match=r"chat_template\.jinja.*nonesuch"):
        rendered("{% nonesuch %}", "a")


def test_a_start_token_that_the_tokenizer_adds_is_not_written_twice(
    rendered: Rendered, copied_engine: Path
) -> None:
    """Gemma's and Llama's templates begin with it, and their tokenizers put it before every text."""
    source = "{{ bos_token }}{{ messages[0]['content'][0]['text'] }}"
    assert rendered(source, "a") == "<|im_start|>a"
    tokenizer = Tokenizer.from_file(str(copied_engine / "tokenizer.json"))
    start = ("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))
    tokenizer.post_processor = TemplateProcessing("<|im_start|> $A", special_tokens=[start])
    tokenizer.save(str(copied_engine / "tokenizer.json"))
    assert rendered(source, "a") == "a"


def test_a_question_as_a_string_is_not_lost_by_a_template_that_takes_parts(
    copied_engine: Path, manifest: EngineManifest
) -> None:
    """LLaVA's published templates choose the parts that are texts, and of a string there are none."""
    source = (
        "{% for m in messages %}{% for p in m['content'] | selectattr('type', 'equalto', 'text') %}"
        "{{ p['text'] }}{% endfor %}{% endfor %}"
    )
    (copied_engine / manifest.chat_template).write_text(source, "utf-8")
    template = PromptTemplate(copied_engine, manifest)
    assert template.render([{"role": "user", "content": "Is it a CT?"}], ()).text == "Is it a CT?"
    (copied_engine / manifest.chat_template).write_text("Answer:", "utf-8")
    with pytest.raises(QuestionRefused, match="leaves out the question"):
        PromptTemplate(copied_engine, manifest).render([{"role": "user", "content": "Is it a CT?"}], ())
