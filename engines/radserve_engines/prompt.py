"""From chat messages to the exact text an engine was tuned on, with the number of tokens it will take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.exceptions import TemplateError
from numpy.typing import NDArray
from tokenizers import Tokenizer

from radserve_engines.errors import ManifestError, QuestionRefused
from radserve_engines.families import Family, family_named, read_settings
from radserve_engines.manifest import EngineManifest
from radserve_engines.template_language import compile_template, read_special_tokens


@dataclass(frozen=True, slots=True)
class Prompt:
    """`text` as the tokenizer takes it, one placeholder an image; token counts once the images are in."""

    text: str
    prompt_tokens: int
    image_tokens: int


class PromptTemplate:
    """An engine's chat template (Jinja, as Hugging Face ships it, sandboxed) with its tokenizer."""

    def __init__(self, folder: Path, manifest: EngineManifest) -> None:
        self._manifest = manifest
        self._family: Family = family_named(manifest.family)
        self._settings = read_settings(folder)
        try:
            source = (folder / manifest.chat_template).read_text("utf-8")
        except OSError as error:
            raise ManifestError(
                f"chat template {manifest.chat_template!r} cannot be read: {error}"
            ) from error
        try:
            self._template = compile_template(source)
        except TemplateError as error:
            raise ManifestError(
                f"chat template {manifest.chat_template!r} is no template: {error}"
            ) from error
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokens = read_special_tokens(folder)
        self._start = self._added_start()
        added = self.tokenizer.get_added_tokens_decoder().values()
        self._control_tokens = tuple(token.content for token in added if token.special)

    def render(self, messages: Sequence[Mapping[str, Any]], images: Sequence[NDArray[np.uint8]]) -> Prompt:
        """Raises QuestionRefused: a control token in the text, images that do not add up, context overrun."""
        self._check_images(messages, images)
        for text in _texts(messages):
            self._refuse_control_tokens(text)
        text = self._write(messages)
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        count, many = self._family.image_tokens, len(images)
        image_tokens = sum(count(self._settings, *size, many) for size in sizes)
        # Each image's one placeholder token is already among the text's.
        ids = self.tokenizer.encode(self._family.seat(text)).ids
        prompt_tokens = len(ids) - len(images) + image_tokens
        return Prompt(text, prompt_tokens, image_tokens)

    def room(self, prompt: Prompt, max_tokens: int) -> int:
        """How many tokens of answer fit, at most `max_tokens`; raises QuestionRefused when none does."""
        length = self._manifest.context_length
        if prompt.prompt_tokens >= length:
            raise QuestionRefused(
                f"the question takes {prompt.prompt_tokens} tokens ({prompt.image_tokens} of them for images), but "
                f"this engine's context holds {length}, answer included: ask a shorter question or send fewer images",
                param="messages",
                code="context_length_exceeded",
            )
        return min(max_tokens, length - prompt.prompt_tokens)

    def _write(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """By the template; some, as LLaVA's, take content in parts only, and lose what comes as a string."""
        parts = [{**message, "content": _parts_of(message)} for message in messages]
        asked = [_squeezed(str(part.get("text", ""))) for one in parts[-1:] for part in _parts(one)]
        for form in (list(messages), parts):
            try:
                text = self._template.render(messages=form, add_generation_prompt=True, **self._tokens)
            except (TemplateError, TypeError) as error:
                message = f"the engine's chat template refuses these messages: {error}"
                raise QuestionRefused(message, param="messages") from error
            if all(said in _squeezed(text) for said in asked):
                return text.removeprefix(self._start)
        raise QuestionRefused("the engine's chat template leaves out the question", param="messages")

    def _added_start(self) -> str:
        """The start token, if the tokenizer puts it before every text: a template that writes it too doubles it."""
        start = self._tokens.get("bos_token", "")
        ids = self.tokenizer.encode("").ids
        return start if ids and ids[0] == self.tokenizer.token_to_id(start) else ""

    def _check_images(
        self, messages: Sequence[Mapping[str, Any]], images: Sequence[NDArray[np.uint8]]
    ) -> None:
        wanted = sum(part.get("type") == "image" for m in messages for part in _parts(m))
        if wanted != len(images):
            message = f"the messages refer to {wanted} images, but {len(images)} came with them"
            raise QuestionRefused(message, param="messages", code="image_count")
        if len(images) > (most := self._manifest.image_policy.max_images):
            message = f"{len(images)} images; this engine takes at most {most} in one question"
            raise QuestionRefused(message, param="messages", code="too_many_images")

    def _refuse_control_tokens(self, text: str) -> None:
        for token in self._control_tokens:
            if token in text:
                message = f"the text contains {token}, a control token of this model: leave it out"
                raise QuestionRefused(message, param="messages", code="control_token")


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []


def _parts_of(message: Mapping[str, Any]) -> Any:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _squeezed(text: str) -> str:
    """Templates may trim and break lines otherwise."""
    return "".join(text.split())


def _texts(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    strings = [str(value) for m in messages for value in m.values() if isinstance(value, str)]
    return strings + [str(part.get("text", "")) for m in messages for part in _parts(m)]
