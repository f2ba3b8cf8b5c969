"""Which engines a server takes: whole, signed by a trusted key, and through their gate."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from radserve_engines.assets import demo_key
from radserve_engines.errors import ManifestError
from radserve_engines.manifest import (
    FILE_NAME,
    EngineManifest,
    check_files,
    parse_manifest,
    read_manifest_bytes,
)
from radserve_engines.signing import read_public_keys, verify_engine

TRUSTED_VARIABLE, UNGATED_VARIABLE = "RADSERVE_TRUSTED_KEYS", "RADSERVE_ALLOW_UNGATED"
VARIABLES = (TRUSTED_VARIABLE, UNGATED_VARIABLE)
_YES, _NO = ("1", "true", "yes"), ("", "0", "false", "no")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """`trusted_keys`: files or folders of public keys; the demo engine's key, which signs nothing else, is always one.

    `allow_ungated` takes an engine whose gate failed, or was never passed; every answer of it says so.
    """

    trusted_keys: tuple[Path, ...] = ()
    allow_ungated: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Acceptance":
        """RADSERVE_TRUSTED_KEYS, places separated as in PATH, and RADSERVE_ALLOW_UNGATED. Raises ManifestError."""
        places = filter(None, environment.get(TRUSTED_VARIABLE, "").split(os.pathsep))
        given = environment.get(UNGATED_VARIABLE, "").lower()
        if given not in _YES + _NO:
            raise ManifestError(f"{UNGATED_VARIABLE} must be 1 or 0, not {given!r}")
        return cls(tuple(Path(place) for place in places), given in _YES)

    def to_environment(self) -> dict[str, str]:
        """The same, for a process to be started. Raises ManifestError for a path that a list of paths cannot hold."""
        places = [str(place.resolve()) for place in self.trusted_keys]
        for place in places:
            if os.pathsep in place:
                raise ManifestError(f"the path of trusted keys {place} has {os.pathsep!r} in it: move them")
        return {TRUSTED_VARIABLE: os.pathsep.join(places), UNGATED_VARIABLE: str(int(self.allow_ungated))}

    def accept(self, folder: Path) -> EngineManifest:
        """The manifest of an engine that may be served. Raises SignatureError or ManifestError naming the file."""
        trusted: dict[str, Ed25519PublicKey] = {}
        for place in (demo_key(), *self.trusted_keys):
            trusted |= read_public_keys(place)
        data = read_manifest_bytes(folder)  # once: what is verified is what is believed
        verify_engine(folder, data, trusted)
        manifest = parse_manifest(folder, data)
        check_files(folder, manifest)
        if manifest.chat_template not in manifest.files:
            raise ManifestError(
                f"{folder / FILE_NAME}: the chat template {manifest.chat_template!r} is not one of its files"
            )
        check_gate(folder, manifest)
        status = str(manifest.gate.get("status", "not run"))
        if status != "passed" and not self.allow_ungated:
            raise ManifestError(_refusal(folder, manifest, status))
        return manifest


def check_gate(folder: Path, manifest: EngineManifest) -> None:
    """Raises ManifestError for a gate that contradicts itself, or passed another engine than this one."""
    if manifest.gate.get("status") != "passed":
        return
    judged = manifest.gate.get("judged")
    if manifest.gate.get("reasons"):
        told = "says that the gate passed, and gives reasons to fail it"
    elif not isinstance(judged, Mapping):
        told = "says that the gate passed, but not which engine it judged"
    elif judged.get("simulated"):
        told = "says that the gate passed, and that it was simulated"
    elif judged.get("digest") != manifest.judged_digest:
        told = "carries the gate of another engine: something was changed since it was judged"
    else:
        return
    raise ManifestError(f"{folder / FILE_NAME} {told}. Judge it with `radserve engine gate {folder} …`")


def _refusal(folder: Path, manifest: EngineManifest, status: str) -> str:
    reasons = "; ".join(map(str, manifest.gate.get("reasons", ())))
    told = {
        "failed": f"failed its gate: {reasons}",
        "simulated": "passed its gate in simulation only, not on the runtime that serves it",
    }.get(status, f"has not been through its gate (status: {status})")
    return (
        f"{folder / FILE_NAME}: engine {manifest.name!r} {told}. Judge it with `radserve engine gate {folder} …`; "
        "--allow-ungated (RADSERVE_ALLOW_UNGATED=1) serves it all the same, and every answer will say so"
    )
