"""Names and shapes of a checkpoint's tensors, from the headers of its safetensors files alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radserve_engines.errors import PlanError

_LIMIT = 100_000_000  # bytes of a header; the format's own bound


def read_headers(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """(name, shape) of every tensor in the folder's *.safetensors, sharded or not; a name that comes twice counts once.

    Raises PlanError that names a file which is none, or is cut short.
    """
    seen: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        if path.name.startswith("adapter_"):
            continue
        tensors = _read_header(path)
        yield from ((name, shape) for name, shape in tensors if name not in seen)
        seen.update(name for name, _ in tensors)


def _read_header(path: Path) -> list[tuple[str, list[int]]]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length)) if 1 < length <= _LIMIT else {}
            held = file.seek(0, 2) - 8 - length
        tensors = [(name, one["shape"]) for name, one in header.items() if name != "__metadata__"]
        promised = max(
            (one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"), default=0
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"{path}: not a safetensors file: fetch it again", param="model") from error
    if not header or held < promised:
        raise PlanError(f"{path}: cut short, {held:,} bytes of {promised:,}: fetch it again", param="model")
    return tensors
