"""Who signed an engine off: an Ed25519 signature (RFC 8032) over the bytes of `engine.json`, in `engine.json.sig`.

The manifest holds the SHA-256 of every file of the engine, so the signature covers them all. Private keys are PEM
(PKCS #8) files of their owner's; public keys are PEM (SubjectPublicKeyInfo) files, in `FILE.pub` beside them.
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from radserve_engines.errors import ManifestError, SignatureError
from radserve_engines.manifest import FILE_NAME, SIGNATURE_NAME, read_manifest_bytes

_CONTEXT = b"radserve engine manifest, version 1\n"  # so that the key's other signatures are none of this
_ALGORITHM = "ed25519"
_BEGIN = b"-----BEGIN PUBLIC KEY-----"


@dataclass(frozen=True, slots=True)
class Signature:
    """`key` is the fingerprint of the public key that has to verify `value`, 64 bytes."""

    key: str
    value: bytes

    def to_json(self) -> dict[str, str]:
        """As JSON values."""
        return {"algorithm": _ALGORITHM, "key": self.key, "signature": base64.b64encode(self.value).decode()}


def make_key(path: Path) -> str:
    """Write a new private key (mode 0600) and `path`.pub; returns its fingerprint. Never overwrites."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(private)
        public_path(path).write_bytes(public)
    except OSError as error:
        raise SignatureError(f"the key {path} cannot be written: {error.strerror}") from error
    return fingerprint(key.public_key())


def public_path(private: Path) -> Path:
    """Where the public half of a private key's file lies."""
    return private.with_name(f"{private.name}.pub")


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Raises SignatureError saying what the file is instead."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SignatureError(
            f"the signing key {path} cannot be read: {error.strerror}; make one with: radserve engine key {path}"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is not an unencrypted private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path} is no Ed25519 key; make one with: radserve engine key FILE")
    return key


def read_public_keys(place: Path) -> dict[str, Ed25519PublicKey]:
    """All keys of a PEM file, or of the *.pub and *.pem files of a folder, by fingerprint. Raises SignatureError."""
    found: dict[str, Ed25519PublicKey] = {}
    for path in _key_files(place):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SignatureError(f"the public key {path} cannot be read: {error.strerror}") from error
        if _BEGIN not in data:
            private = ", but a private one, which no server should have" if b"PRIVATE KEY" in data else ""
            raise SignatureError(
                f"{path} holds no public key in PEM{private}; a key's public half is its .pub file"
            )
        for block in data.split(_BEGIN)[1:]:
            key = _read_public(_BEGIN + block, path)
            found[fingerprint(key)] = key
    if not found:
        raise SignatureError(f"{place} holds no public key (*.pub or *.pem)")
    return found


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 (hex) over the key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def sign_engine(folder: Path, key: Ed25519PrivateKey) -> Signature:
    """Sign the manifest as it lies in `folder`. Raises SignatureError when there is none."""
    signature = Signature(fingerprint(key.public_key()), key.sign(_CONTEXT + _manifest_bytes(folder)))
    (folder / SIGNATURE_NAME).write_text(json.dumps(signature.to_json(), indent=2) + "\n", "utf-8")
    return signature


def drop_stale_signature(folder: Path, key: Ed25519PrivateKey | None) -> None:
    """Take away a signature over another manifest than the one in `folder`, or by another key than `key`."""
    path = folder / SIGNATURE_NAME
    try:
        signature = read_signature(folder)
        if signature is None or key is None:
            raise SignatureError("there is nothing to keep")
        verify_engine(folder, _manifest_bytes(folder), {fingerprint(key.public_key()): key.public_key()})
    except SignatureError:
        path.unlink(missing_ok=True)


def verify_engine(folder: Path, manifest: bytes, trusted: dict[str, Ed25519PublicKey]) -> str:
    """The fingerprint of the trusted key that signed these bytes of `folder`'s manifest.

    Raises SignatureError naming the file.
    """
    signature = read_signature(folder)
    if signature is None:
        raise SignatureError(
            f"{folder / FILE_NAME} is not signed: there is no {SIGNATURE_NAME} beside it. Sign it with: "
            f"radserve engine sign {folder} --key FILE"
        )
    key = trusted.get(signature.key)
    if key is None:
        raise SignatureError(
            f"{folder / SIGNATURE_NAME} is by the key {signature.key[:16]}…, which is not trusted here (trusted: "
            f"{_tell(list(trusted))}). If it is yours, name its .pub file in --trusted-keys or RADSERVE_TRUSTED_KEYS"
        )
    try:
        key.verify(signature.value, _CONTEXT + manifest)
    except InvalidSignature as error:
        raise SignatureError(
            f"{folder / FILE_NAME} was changed after it was signed (or {SIGNATURE_NAME} was): gate and sign the "
            "engine again"
        ) from error
    return signature.key


def read_signature(folder: Path) -> Signature | None:
    """What `engine.json.sig` says, None where there is none. Raises SignatureError for an ill file."""
    path = folder / SIGNATURE_NAME
    if not path.is_file():
        return None
    try:
        given: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if given["algorithm"] != _ALGORITHM:
            raise SignatureError(f"{path}: algorithm must be {_ALGORITHM}, not {given['algorithm']!r}")
        return Signature(str(given["key"]), base64.b64decode(given["signature"], validate=True))
    except (OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise SignatureError(f"{path} is not a signature: {error!r}; sign the engine again") from error


def _manifest_bytes(folder: Path) -> bytes:
    try:
        return read_manifest_bytes(folder)
    except ManifestError as error:
        raise SignatureError(str(error)) from error


def _key_files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    return sorted(path for path in place.iterdir() if path.suffix in (".pub", ".pem"))


def _read_public(data: bytes, path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} holds a public key that cannot be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"{path} holds a key that is not Ed25519")
    return key


def _tell(fingerprints: Sequence[str]) -> str:
    return ", ".join(f"{one[:16]}…" for one in fingerprints) or "none"
