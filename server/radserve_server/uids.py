"""DICOM unique identifiers (PS3.5 9.1), as this server takes them: leading zeros pass, for archives hold such."""

import re

PATTERN = r"[0-9]+(\.[0-9]+)*"
MOST_CHARACTERS = 64
_UID = re.compile(PATTERN)


def is_uid(text: str) -> bool:
    """Whether it is digits and dots, 64 at most."""
    return len(text) <= MOST_CHARACTERS and has_uid_form(text)


def has_uid_form(text: str) -> bool:
    """Whether it is digits and dots, however many: nothing else can be in it."""
    return _UID.fullmatch(text) is not None
