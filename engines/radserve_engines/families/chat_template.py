"""The chat template of an engine: a file of its own, wherever the checkpoint kept it."""

import json
from pathlib import Path

from radserve_engines.errors import BuildRefused
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
    """From chat_template.jinja, chat_template.json, tokenizer_config.json, or the family. Raises BuildRefused."""
    own = checkpoint / FILE_NAME
    if own.is_file():
        return own.read_text("utf-8")
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        path = checkpoint / name
        if path.is_file() and isinstance(found := _read_field(path), str):
            return found
    if family.name in _DEFAULTS:
        return _DEFAULTS[family.name]
    raise BuildRefused(
        f"{checkpoint} has no chat template: put the one that it was tuned with into {own.name} (Jinja, with "
        f"{family.placeholder} for an image)"
    )


def _read_field(path: Path) -> object:
    try:
        return json.loads(path.read_text("utf-8")).get("chat_template")
    except (ValueError, AttributeError) as error:
        raise BuildRefused(f"{path} cannot be read: {error}") from error
