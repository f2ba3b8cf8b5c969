"""The arguments that TensorRT-LLM 1.2.1 takes, as tables beside this module, and the check against them.

TensorRT-LLM refuses an unknown key only once the weights are read and a GPU is there; the tables refuse it while the
engine is built, with the nearest name. They were read from the sources of the 1.2 line; each names its own.
"""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

VERSION = "1.2.1"
Table = Mapping[str, Mapping[str, Any]]
_TYPES: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "object": (object,),
}
_WORDS = {"bool": "true or false", "int": "an integer", "float": "a number", "str": "a string"}


@cache
def read_tables(name: str) -> Mapping[str, Any]:
    """A table file of this package: `llm_args`, `calls` or `commands`."""
    path = files("radserve_engines.trtllm") / f"{name}_1_2_1.json"
    tables: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return tables


def find_faults(
    values: Mapping[str, Any], table: Table, nested: Mapping[str, Table] | None = None, prefix: str = ""
) -> list[str]:
    """What is wrong with arguments by name, one sentence each; empty when they are right.

    `nested` holds the tables of the types that are themselves arguments by name, for instance KvCacheConfig.
    """
    faults = [
        f"{prefix}{name}: TensorRT-LLM {VERSION} takes no such argument{_suggest(name, table)}"
        for name in values
        if name not in table
    ]
    missing = [name for name, parameter in table.items() if parameter.get("required") and name not in values]
    faults += [f"{prefix}{name} is missing" for name in missing]
    for name, value in values.items():
        if name in table:
            faults += _value_faults(f"{prefix}{name}", value, table[name], nested or {})
    return faults


def _suggest(name: str, table: Table) -> str:
    near = get_close_matches(name, list(table), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _value_faults(
    name: str, value: Any, parameter: Mapping[str, Any], nested: Mapping[str, Table]
) -> list[str]:
    kind = parameter["type"].removesuffix("?")
    if value is None:
        return [] if parameter["type"].endswith("?") else [f"{name} must not be null"]
    if kind in nested:
        if not isinstance(value, Mapping):
            return [f"{name} must hold {kind}'s arguments by name, not {value!r}"]
        return find_faults(value, nested[kind], nested, prefix=f"{name}.")
    if kind.startswith("list["):
        if not isinstance(value, Sequence) or isinstance(value, str):
            return [f"{name} must be a list, not {value!r}"]
        item = {**parameter, "type": kind[5:-1]}
        return [
            fault for at, one in enumerate(value) for fault in _value_faults(f"{name}[{at}]", one, item, {})
        ]
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind in ("int", "float")):
        return [f"{name} must be {_WORDS[kind]}, not {value!r}"]
    return _range_faults(name, value, parameter)


def _range_faults(name: str, value: Any, parameter: Mapping[str, Any]) -> list[str]:
    choices = parameter.get("choices")
    if choices and value not in choices:
        return [f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}"]
    low, high = parameter.get("minimum"), parameter.get("maximum")
    if low is not None and value < low:
        return [f"{name} must be at least {low}, not {value!r}"]
    if high is not None and value > high:
        return [f"{name} must be at most {high}, not {value!r}"]
    return []


def check_call(call: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """`values` unchanged, if that call of TensorRT-LLM takes them all. Raises TypeError, as the call itself would."""
    faults = find_faults(values, read_tables("calls")[call])
    if faults:
        raise TypeError(f"{call}: {'; '.join(faults)}")
    return values
