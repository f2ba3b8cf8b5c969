"""What a reader does at a server: opens a study, and asks about it."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file as an archive holds it. `media_type` is application/dicom, image/png or image/jpeg."""

    name: str
    media_type: str
    data: bytes = field(repr=False)
    digest: str = field(init=False)
    """SHA-256 of the bytes, in hexadecimal."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha256(self.data).hexdigest())


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
