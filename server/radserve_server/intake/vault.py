"""Where the bytes of the spool lie: in memory, or in a folder, encrypted with a key that ends with the process."""

import fcntl
import logging
import os
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_LOG = logging.getLogger(__name__)
_SUFFIX = ".sealed"
_NONCE = 12  # bytes, NIST SP 800-38D 5.2.1.1

Ticket = bytes | str


class Vault(Protocol):
    """Takes bytes for a ticket. Raises OSError where there is no room, FileNotFoundError for what is gone."""

    def open(self) -> None:
        """Begin, with nothing in it; raises ValueError."""

    def put(self, data: bytes) -> Ticket:
        """Take bytes in."""

    def read(self, ticket: Ticket) -> bytes:
        """Give them back."""

    def discard(self, ticket: Ticket) -> None:
        """Forget them."""

    def close(self) -> None:
        """Forget all."""


class MemoryVault:
    """The bytes are their own ticket."""

    def open(self) -> None:
        """Nothing to do."""

    def put(self, data: bytes) -> Ticket:
        """As they are."""
        return data

    def read(self, ticket: Ticket) -> bytes:
        """As they are."""
        if not isinstance(ticket, bytes):
            raise FileNotFoundError
        return ticket

    def discard(self, ticket: Ticket) -> None:
        """Whoever holds the ticket lets go of it."""

    def close(self) -> None:
        """Nothing to do."""


class EncryptedFolder:
    """AES-256-GCM, a file for each instance. The key is made at `open` and never leaves this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cipher: AESGCM | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder this process's own, and remove what one that was killed left there."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise ValueError(f"the spool's folder {self._folder} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ValueError(f"the spool's folder {self._folder} is another server's") from None
        self._lock = lock
        self._remove_all()
        self._cipher = AESGCM(AESGCM.generate_key(256))

    def put(self, data: bytes) -> Ticket:
        """Encrypt into a new file."""
        name, nonce = secrets.token_hex(16), secrets.token_bytes(_NONCE)
        path = self._folder / f"{name}{_SUFFIX}"
        sealed = self._key().encrypt(nonce, data, name.encode())
        try:
            with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(nonce)
                file.write(sealed)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return name

    def read(self, ticket: Ticket) -> bytes:
        """Decrypt; a file that somebody changed raises OSError."""
        sealed = (self._folder / f"{ticket!s}{_SUFFIX}").read_bytes()
        try:
            return self._key().decrypt(sealed[:_NONCE], sealed[_NONCE:], str(ticket).encode())
        except (InvalidTag, ValueError):
            raise OSError("the file was changed") from None

    def discard(self, ticket: Ticket) -> None:
        """Remove the file; one that cannot be removed is logged, and nobody can read it once this process has ended."""
        try:
            (self._folder / f"{ticket!s}{_SUFFIX}").unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("a file of the spool could not be removed: %s", error.strerror)

    def close(self) -> None:
        """Remove all files, and forget the key."""
        self._cipher = None
        if self._lock is not None:
            self._remove_all()
            os.close(self._lock)
            self._lock = None

    def _key(self) -> AESGCM:
        if self._cipher is None:
            raise FileNotFoundError("the spool is closed")
        return self._cipher

    def _remove_all(self) -> None:
        for path in self._folder.glob(f"*{_SUFFIX}"):
            path.unlink(missing_ok=True)
