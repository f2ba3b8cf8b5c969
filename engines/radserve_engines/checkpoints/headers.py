"""What a safetensors file holds, from its header alone: names, number formats, shapes, and that it is all there.

Format: eight bytes of length, that many bytes of JSON, then the tensors' bytes.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_engines.errors import CheckpointError

WIDTHS = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1},
    **{"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1},
}
_MOST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """`kind` is safetensors' name of the number format, as BF16."""

    kind: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers; a scalar is one."""
        return math.prod(self.shape)


def read_headers(path: Path) -> dict[str, TensorHeader]:
    """Each tensor of a file by name. Raises CheckpointError for a damaged or cut file, naming it and the tensor."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            text = stream.read(min(length, _MOST_HEADER))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if length > _MOST_HEADER or len(text) < length or size < 8:
        raise CheckpointError(f"{path} is cut off or no safetensors file: its header is not whole")
    try:
        listing = json.loads(text)
        listing.pop("__metadata__", None)
        return {name: _check(path, name, entry, size - 8 - length) for name, entry in listing.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: its header cannot be read ({error})") from error


def _check(path: Path, name: str, entry: dict[str, Any], room: int) -> TensorHeader:
    tensor = TensorHeader(entry["dtype"], tuple(entry["shape"]))
    begin, end = entry["data_offsets"]
    if tensor.kind in WIDTHS and end - begin != tensor.elements * WIDTHS[tensor.kind]:
        raise CheckpointError(f"{path} is damaged: {name} has {end - begin} bytes, not those of its shape")
    if end > room:
        raise CheckpointError(
            f"{path} is cut off: {name} ends at byte {end} of {room}; copy the file again, and compare its size"
        )
    return tensor
