"""What goes with a checkpoint's weights from folder to folder: tokenizer, image processor, chat template."""

import json
import shutil
from pathlib import Path

from radserve_engines.errors import CheckpointError

_PATTERNS = (
    *(
        "tokenizer*.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
    ),
    *("*.model", "chat_template.*", "preprocessor_config.json", "processor_config.json"),
    *("video_preprocessor_config.json", "generation_config.json"),
)
TEMPLATE = "chat_template.jinja"


def copy_side_files(source: Path, target: Path) -> list[str]:
    """Copy them, and write the chat template as a file of its own where it lies in another; returns the names."""
    target.mkdir(parents=True, exist_ok=True)
    names = sorted({path.name for pattern in _PATTERNS for path in source.glob(pattern) if path.is_file()})
    for name in names:
        shutil.copyfile(source / name, target / name)
    if not (target / TEMPLATE).is_file() and (templates := list_templates(source)):
        (target / TEMPLATE).write_text(templates[0], "utf-8")
        names.append(TEMPLATE)
    return names


def list_templates(folder: Path) -> list[str]:
    """The chat templates, the one that counts first: its own file, and where older checkpoints keep it."""
    own = folder / TEMPLATE
    found = [own.read_text("utf-8")] if own.is_file() else []
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            template = json.loads(path.read_text("utf-8")).get("chat_template")
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        if isinstance(template, list):  # named ones: [{"name": "default", "template": "…"}]
            template = {one["name"]: one["template"] for one in template}.get("default")
        if isinstance(template, str):
            found.append(template)
    return found
