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
_TEXTS = (
    "name",
    "target",
    "precision",
    "family",
    "intended_use",
    "checkpoint_sha256",
    "chat_template",
)
_KINDS: tuple[tuple[str, type, str], ...] = (
    *((name, str, "a string") for name in _TEXTS),
    *((name, Mapping, "an object") for name in ("files", "runtime_options", "tools", "gate")),
    *((name, tuple, "a list") for name in ("adapters", "stages")),
    ("context_length", int, "a positive integer"),
)


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
        for name, kind, told in _KINDS:
            if not isinstance(value := getattr(self, name), kind):
                raise ManifestError(f"{FILE_NAME}: field {name!r} must be {told}, not {value!r}")
        if not all(isinstance(one, str) for one in (*self.files, *self.files.values(), *self.adapters)):
            raise ManifestError(f"{FILE_NAME}: files and adapters must be strings")
        if not all(isinstance(one, Mapping) for one in self.stages):
            raise ManifestError(f"{FILE_NAME}: stages must be objects")
        if self.target not in TARGETS:
            raise ManifestError(f"target must be one of {', '.join(TARGETS)}, not {self.target!r}")
        if isinstance(self.context_length, bool) or self.context_length < 1:
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

    @property
    def judged_digest(self) -> str:
        """The digest that the engine had when its gate judged it: before verdict and calibration were written down."""
        return replace(self, confidence=None, gate={"status": "not run"}).digest

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
            for name in ("adapters", "stages"):
                if isinstance(listed := given.get(name, []), list):
                    given[name] = tuple(listed)
            if "confidence" in given:
                given["confidence"] = Calibration.from_json(given["confidence"])
            return cls(**given)
        except KeyError as error:
            raise ManifestError(f"{FILE_NAME}: field {error} is missing") from error
        except (TypeError, AttributeError, ImagingError, QuestionRefused) as error:
            raise ManifestError(f"{FILE_NAME}: {error}") from error


def read_manifest(folder: Path) -> EngineManifest:
    """The manifest of an engine folder, every listed file checked against its digest. Raises ManifestError."""
    manifest = parse_manifest(folder, read_manifest_bytes(folder))
    check_files(folder, manifest)
    return manifest


def read_manifest_bytes(folder: Path) -> bytes:
    """`engine.json` as it lies there, which is what a signature is over. Raises ManifestError."""
    path = folder / FILE_NAME
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ManifestError(f"{folder} is not an engine: it has no {FILE_NAME}") from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error


def parse_manifest(folder: Path, data: bytes) -> EngineManifest:
    """What the bytes of `folder`'s manifest say; its files are not looked at. Raises ManifestError."""
    path = folder / FILE_NAME
    try:
        value = json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ManifestError(f"{path} must hold a JSON object")
    return EngineManifest.from_json(value)


def check_files(folder: Path, manifest: EngineManifest) -> None:
    """Raises ManifestError naming a file that is not as listed, or that is not listed; links count as files."""
    for name, digest in manifest.files.items():
        if _file_digest(_inside(folder, name)) != digest:
            raise ManifestError(
                f"{name} is not the file that this engine was built with; build the engine again"
            )
    own = (folder / FILE_NAME, folder / SIGNATURE_NAME)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        is_folder = path.is_dir() and not path.is_symlink()
        if not is_folder and path not in own and name not in manifest.files:
            raise ManifestError(
                f"{name} is not one of the files that {FILE_NAME} lists: take it out of {folder}"
            )


def write_manifest(folder: Path, manifest: EngineManifest) -> None:
    """Write `engine.json` in a stable order, so that it can be compared."""
    text = json.dumps(manifest.to_json(), indent=2, sort_keys=True, ensure_ascii=False)
    partial = folder / f".{FILE_NAME}.partial"  # so that a crash leaves the old one or the new one
    partial.write_text(text + "\n", "utf-8")
    partial.replace(folder / FILE_NAME)


def digest_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of an engine folder but the manifest and its signature, by name relative to it."""
    return {p.relative_to(folder).as_posix(): _file_digest(p) for p in _files(folder)}


def _files(folder: Path) -> list[Path]:
    """All but the manifest and its signature, which stand at the top."""
    own = (folder / FILE_NAME, folder / SIGNATURE_NAME)
    return sorted(path for path in folder.rglob("*") if path.is_file() and path not in own)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"field {next(n for n in names if names.count(n) > 1)!r} is there twice")
    return found


def _inside(folder: Path, name: str) -> Path:
    if "\0" in name:
        raise ManifestError(f"file {name!r} is no name of a file")
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
