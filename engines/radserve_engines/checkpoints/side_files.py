"""What goes with a checkpoint's weights from folder to folder: tokenizer, image processor, chat template."""

import shutil
from pathlib import Path

from radserve_engines.families.chat_template import FILE_NAME as TEMPLATE
from radserve_engines.families.chat_template import list_templates

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


def copy_side_files(source: Path, target: Path) -> list[str]:
    """Copy them, and write the chat template as a file of its own where it lies in another; returns the names."""
    target.mkdir(parents=True, exist_ok=True)
    names = sorted({path.name for pattern in _PATTERNS for path in source.glob(pattern) if path.is_file()})
    for name in names:
        shutil.copyfile(source / name, target / name)
    if not (target / TEMPLATE).is_file() and (template := next(list_templates(source), None)):
        (target / TEMPLATE).write_text(template, "utf-8")
        names.append(TEMPLATE)
    return names
