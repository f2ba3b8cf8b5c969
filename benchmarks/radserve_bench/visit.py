"""What a reader does at a server: opens a study, and asks about it."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, init=False)
class ImageFile:
    """A file as an archive holds it. `media_type` is application/dicom, image/png or image/jpeg.

    Its bytes are `parts`, one after another: files that differ in a few bytes hold the others in common.
    """

    name: str
    media_type: str
    parts: tuple[bytes, ...] = field(repr=False)

    def __init__(self, name: str, media_type: str, *parts: bytes) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "media_type", media_type)
        object.__setattr__(self, "parts", parts)

    @property
    def size(self) -> int:
        """How many bytes."""
        return sum(map(len, self.parts))

    @property
    def data(self) -> bytes:
        """The bytes, joined anew at each call where there are several parts."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(part)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Visit:
    """One study opened: its files are sent with the first question, the others follow when the one before is answered.

    `kind` names it in tables ("CT slice"); `stack`: the files are the slices of one series; `stat`: it is urgent.
    """

    kind: str
    files: tuple[ImageFile, ...]
    questions: tuple[str, ...]
    stack: bool = False
    stat: bool = False
