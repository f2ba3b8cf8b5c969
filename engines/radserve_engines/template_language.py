"""The Jinja that chat templates are written in: sandboxed, with what Hugging Face adds to it and published ones use."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


def compile_template(source: str) -> Template:
    """Raises jinja2's TemplateError for a template that is ill."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=[_Said, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    return environment.from_string(source)


def read_special_tokens(folder: Path) -> dict[str, str]:
    """bos_token, eos_token and kin, as templates call them; what the tokenizer's files do not name is left out."""
    found: dict[str, str] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        for token in _TOKENS:
            value = config.get(token)
            value = value.get("content") if isinstance(value, dict) else value
            if isinstance(value, str):
                found[token] = value
    return found


class _Said(Extension):
    """`{% generation %}` marks what an assistant says, for training; here its body is the text as it stands."""

    tags = {"generation"}  # noqa: RUF012 (declared so by Jinja)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # local time, as templates expect


def _to_json(value: Any, indent: int | None = None) -> str:
    """Without Jinja's escapes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
