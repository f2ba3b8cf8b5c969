"""The chat template of an engine: a file of its own, wherever the checkpoint kept it."""

import json
from collections.abc import Iterator
from pathlib import Path

from radserve_engines.errors import BuildRefused, CheckpointError
from radserve_engines.families import Family

FILE_NAME = "chat_template.jinja"
_IMAGE = "{% for part in message['content'] if part['type'] == 'image' %}<image>{{ after }}{% endfor %}"
_TEXT = "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
_SAID = f"{{% if message['content'] is string %}}{{{{ message['content'] }}}}{{% else %}}{_TEXT}{{% endif %}}"
# Checkpoints of these two were published without a template; the words are those of their authors' examples.
_DEFAULTS = {
    "llava": "{% set after = '\\n' %}{% for message in messages %}{% if message['role'] == 'user' %}USER: "
    f"{{% if message['content'] is not string %}}{_IMAGE}{{% endif %}}{_SAID} "
    f"{{% else %}}ASSISTANT: {_SAID}</s>{{% endif %}}{{% endfor %}}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    "blip-2": "{% set after = '' %}{% for message in messages %}{% if message['role'] == 'user' %}"
    f"{{% if message['content'] is not string %}}{_IMAGE}{{% endif %}}Question: {_SAID} "
    f"{{% else %}}Answer: {_SAID} {{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}Answer:{{% endif %}}",
}


def find_template(checkpoint: Path, family: Family) -> str:
    """The checkpoint's, else the family's. Raises BuildRefused where there is none, CheckpointError for an ill file."""
    found = next(list_templates(checkpoint), _DEFAULTS.get(family.name))
    if found is None:
        raise BuildRefused(
            f"{checkpoint} has no chat template: put the one that it was tuned with into {FILE_NAME} (Jinja, with "
            f"{family.placeholder} for an image)"
        )
    return found


def list_templates(folder: Path) -> Iterator[str]:
    """The one that counts first: its own file, then where older checkpoints keep it. Raises CheckpointError."""
    own = folder / FILE_NAME
    if own.is_file():
        yield own.read_text("utf-8")
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file() and isinstance(template := _read_field(path), str):
            yield template


def _read_field(path: Path) -> object:
    try:
        template = json.loads(path.read_text("utf-8")).get("chat_template")
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if isinstance(template, list):  # named ones: [{"name": "default", "template": "…"}]
        return {one["name"]: one["template"] for one in template}.get("default")
    return template
