"""`engine.json`: what an engine was made from, how, and how it wants to be asked.

The manifest is the engine's identity: it holds the SHA-256 of every file beside it, and the engine digest is the
SHA-256 of the manifest's canonical JSON. A changed weight, window or prompt is another engine. A file that the
manifest does not list has no business in the folder: some libraries would load it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from radserve_engines.calibration import Calibration
from radserve_engines.errors import ManifestError, QuestionRefused
from radserve_engines.generation import Sampling
from radserve_imaging import ImagePolicy, ImagingError

FILE_NAME, SIGNATURE_NAME = "engine.json", "engine.json.sig"
SCHEMA = 1
TARGETS = ("openvino", "torch", "trtllm", "fake")


@dataclass(frozen=True, slots=True)
class EngineManifest:
    """One engine. `files` maps names in the engine's folder to SHA-256; raises ManifestError on ill values.

    `runtime_options` go to the target's runtime as they are, for instance OpenVINO's INFERENCE_PRECISION_HINT.
    `stages` are the records of the build, `gate` how the engine scored against the unquantized checkpoint. Without
    `confidence` the engine's answers carry none; the JSON of such an engine, and so its digest, has no such field.
    """

    name: str
    target: str
    precision: str
    family: str
    context_length: int
    image_policy: ImagePolicy
    decoding: Sampling
    intended_use: str
    checkpoint_sha256: str
    files: Mapping[str, str]
    chat_template: str = "chat_template.jinja"
    adapters: tuple[str, ...] = ()
    runtime_options: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[Mapping[str, Any], ...] = ()
    gate: Mapping[str, Any] = field(default_factory=lambda: {"status": "not run"})
    confidence: Calibration | None = None

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ManifestError(f"target must be one of {', '.join(TARGETS)}, not {self.target!r}")
        if not isinstance(self.context_length, int) or self.context_length < 1:
            raise ManifestError(f"context_length must be a positive integer, not {self.context_length!r}")

    @property
    def digest(self) -> str:
        """The engine digest: "sha256:" and the hex SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"

    @property
    def answering_digest(self) -> str:
        """The engine digest without what changes no answer: how it was built, judged and calibrated."""
        return replace(self, confidence=None, gate={}, stages=(), tools={}).digest

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` gives the same manifest back."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        calibration = plain.pop("confidence")
        return {
            "schema": SCHEMA,
            **plain,
            "image_policy": self.image_policy.to_json(),
            "decoding": {k: v for k, v in asdict(self.decoding).items() if v not in (None, ())},
            "adapters": list(self.adapters),
            "files": dict(self.files),
            "tools": dict(self.tools),
            "runtime_options": dict(self.runtime_options),
            "stages": [dict(stage) for stage in self.stages],
            "gate": dict(self.gate),
            **({"confidence": calibration.to_json()} if calibration else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "EngineManifest":
        """Raises ManifestError naming a missing, unknown or ill field."""
        given = dict(value)
        if given.pop("schema", None) != SCHEMA:
            raise ManifestError(
                f"{FILE_NAME}: schema must be {SCHEMA}; this engine was built by another version"
            )
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise ManifestError(f"{FILE_NAME}: unknown field {unknown[0]!r}")
        try:
            given["image_policy"] = ImagePolicy.from_json(given["image_policy"])
            given["decoding"] = Sampling().merged(given["decoding"])
            given["adapters"] = tuple(given.get("adapters", ()))
            given["stages"] = tuple(given.get("stages", ()))
            if "confidence" in given:
                given["confidence"] = Calibration.from_json(given["confidence"])
            return cls(**given)
        except KeyError as error:
            raise ManifestError(f"{FILE_NAME}: field {error} is missing") from error
        except (TypeError, AttributeError, ImagingError, QuestionRefused) as error:
            raise ManifestError(f"{FILE_NAME}: {error}") from error


def read_manifest(folder: Path) -> EngineManifest:
    """The manifest of an engine folder, every listed file checked against its digest. Raises ManifestError."""
    path = folder / FILE_NAME
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(f"{folder} is not an engine: it has no {FILE_NAME}") from error
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ManifestError(f"{path} must hold a JSON object")
    manifest = EngineManifest.from_json(value)
    for name, digest in manifest.files.items():
        if _file_digest(_inside(folder, name)) != digest:
            raise ManifestError(
                f"{name} is not the file that this engine was built with; build the engine again"
            )
    strangers = [path for path in _files(folder) if path.relative_to(folder).as_posix() not in manifest.files]
    if strangers:
        raise ManifestError(
            f"{strangers[0].relative_to(folder)} is not one of the files that {FILE_NAME} lists: take it out of "
            f"{folder}"
        )
    return manifest


def write_manifest(folder: Path, manifest: EngineManifest) -> None:
    """Write `engine.json` in a stable order, so that it can be compared."""
    text = json.dumps(manifest.to_json(), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / FILE_NAME).write_text(text + "\n", "utf-8")


def digest_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of an engine folder but the manifest and its signature, by name relative to it."""
    return {p.relative_to(folder).as_posix(): _file_digest(p) for p in _files(folder)}


def _files(folder: Path) -> list[Path]:
    """All but the manifest and its signature, which stand at the top."""
    own = (folder / FILE_NAME, folder / SIGNATURE_NAME)
    return sorted(path for path in folder.rglob("*") if path.is_file() and path not in own)


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ManifestError(f"file {name!r} lies outside the engine's folder")
    return path


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError as error:
        raise ManifestError(
            f"{path.name} is listed in {FILE_NAME}, but cannot be read: {error.strerror}"
        ) from error
