"""API keys: only their hashes are kept, and every comparison takes the same time."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from radserve_server.errors import Unauthorized

_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<digest>[0-9a-f]{64})")
_BEARER = HTTPBearer(
    auto_error=False, description="An API key of the key file; not needed where none is set."
)


def make_key() -> str:
    """A new API key of 256 random bits, so that a plain SHA-256 of it cannot be guessed back."""
    return f"rs_{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    """What the key file holds of a key: its SHA-256 in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Keyring:
    """Names and hashes of the keys that open the door; without any, it is open."""

    hashes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def load(cls, path: Path | None) -> "Keyring":
        """From lines `name:hash`; empty lines and # comments are skipped. Raises ValueError."""
        if path is None:
            return cls()
        hashes = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise ValueError(f"{path}, line {number}: not `name:sha256-in-hex`")
            hashes.append((match["name"], match["digest"]))
        if not hashes:
            raise ValueError(f"{path} holds no key")
        return cls(tuple(hashes))

    def owner(self, key: str) -> str | None:
        """The name that a key goes by, or None; looks at every key, so that time tells nothing."""
        digest, found = hash_key(key), None
        for name, known in self.hashes:
            if hmac.compare_digest(digest, known):
                found = name
        return found


def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> str:
    """The name of the caller's key, "" where no keys are set; raises Unauthorized."""
    keyring: Keyring = request.app.state.services.keyring
    if not keyring.hashes:
        return ""
    if credentials is None:
        raise Unauthorized("an API key is needed: send `Authorization: Bearer <key>`", code="missing_api_key")
    owner = keyring.owner(credentials.credentials)
    if owner is None:
        raise Unauthorized("this API key is not known")
    return owner


Caller = Annotated[str, Depends(authenticate)]
