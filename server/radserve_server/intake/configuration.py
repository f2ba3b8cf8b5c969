"""The intake file: who may push what here, how long it is kept, and which questions are asked of it."""

import fnmatch
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from radserve_server.toml_files import read_toml, tell_first

_MIB = 2**20
_MOST_SEALED = 2**31 - 1  # bytes that AES-GCM takes in one go


class Table(BaseModel):
    """A table of the file: unknown keys are refused, and "3" is not 3."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _check_ae_title(title: str) -> str:
    title = title.strip(" ")
    if not 1 <= len(title) <= 16 or not all(" " <= sign <= "~" and sign != "\\" for sign in title):
        raise ValueError("an AE title has 1 to 16 printable ASCII characters, no backslash (PS3.5 6.2)")
    return title


def _check_network(address: str) -> str:
    return str(ipaddress.ip_network(address, strict=False))


def _check_pattern(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


AeTitle = Annotated[str, AfterValidator(_check_ae_title)]
Network = Annotated[str, AfterValidator(_check_network)]
Patterns = Annotated[list[Annotated[str, AfterValidator(_check_pattern)]], BeforeValidator(_as_list)]
FilePath = Annotated[Path, Field(strict=False)]


class TlsTable(Table):
    """The listener's certificate and key (PEM); with an authority, peers must show a certificate of it."""

    certificate: FilePath
    key: FilePath
    authority: FilePath | None = None


class ListenerTable(Table):
    """The C-STORE SCP. `max_pdu` in bytes, timeouts in s."""

    ae_title: AeTitle
    host: str = "127.0.0.1"
    port: int = Field(11112, ge=0, le=65535)
    max_pdu: int = Field(131_072, ge=4096, le=_MIB)
    max_associations: PositiveInt = 8
    acse_timeout_s: PositiveFloat = 10.0
    network_timeout_s: PositiveFloat = 60.0
    tls: TlsTable | None = None


class PeerTable(Table):
    """Who may open an association: its AE title, and the address or network that it must come from."""

    ae_title: AeTitle
    address: Network | None = None


class LimitsTable(Table):
    """Of one instance, and of one push: an association or a STOW-RS request."""

    instance_bytes: int = Field(256 * _MIB, ge=1024, le=_MOST_SEALED)
    push_bytes: PositiveInt = 4096 * _MIB
    push_instances: PositiveInt = 20_000


class SpoolTable(Table):
    """Where what was pushed lies: in memory, or encrypted in a folder with a key that only this process has."""

    kind: Literal["memory", "encrypted"] = "memory"
    folder: FilePath | None = None
    bytes: PositiveInt = 2048 * _MIB
    ttl_s: PositiveFloat = 14_400.0
    when_full: Literal["refuse", "drop_oldest"] = "refuse"

    @model_validator(mode="after")
    def _check_folder(self) -> Self:
        if (self.kind == "encrypted") != (self.folder is not None):
            raise ValueError('kind = "encrypted" needs a folder, and only that has one')
        return self


class StandingTable(Table):
    """When standing questions are asked; times in s."""

    settle_s: PositiveFloat = 10.0
    ask_on_release: bool = False
    busy_at: PositiveInt = 4
    retry_s: PositiveFloat = 5.0
    give_up_s: PositiveFloat = 1800.0


class RuleTable(Table):
    """Conditions, all of which must hold, and the questions that are then asked of the study.

    A condition is a pattern or a list of them: `*` and `?` stand for anything, `/…/` is a regular expression that is
    searched for; neither minds upper or lower case.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    questions: list[Annotated[str, Field(min_length=1, max_length=4000)]] = Field(min_length=1, max_length=32)
    model: str | None = Field(None, max_length=200)
    prompt: str | None = Field(None, min_length=1, max_length=8000)
    priority: int = 0
    ae_title: Patterns | None = None
    modality: Patterns | None = None
    body_part: Patterns | None = None
    study_description: Patterns | None = None
    series_description: Patterns | None = None


class IntakeFile(Table):
    """The whole file. Without a listener nothing listens; `stow` opens POST /dicom-web/studies."""

    stow: bool = True
    listener: ListenerTable | None = None
    peers: list[PeerTable] = Field(default_factory=list)
    limits: LimitsTable = Field(default_factory=lambda: LimitsTable.model_validate({}))
    spool: SpoolTable = Field(default_factory=lambda: SpoolTable.model_validate({}))
    standing: StandingTable = Field(default_factory=lambda: StandingTable.model_validate({}))
    rules: list[RuleTable] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.listener is not None and not self.peers:
            raise ValueError("there is a [listener] but no [[peers]]: nobody could push")
        if len({rule.name for rule in self.rules}) != len(self.rules):
            raise ValueError("two [[rules]] have the same name")
        return self


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A condition's pattern; raises ValueError for a regular expression that is none."""
    is_regex = len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/")
    try:
        return re.compile(pattern[1:-1] if is_regex else rf"\A{fnmatch.translate(pattern)}", re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None


def read_intake_file(path: Path) -> IntakeFile:
    """Raises ValueError naming the file and the key at fault. Paths in it are relative to its folder."""
    try:
        return _anchor(IntakeFile.model_validate(read_toml(path)), path.parent)
    except ValidationError as error:
        raise ValueError(tell_first(error, f"{path}:")) from None


def _anchor(file: IntakeFile, folder: Path) -> IntakeFile:
    """Its paths, as seen from the folder that the file lies in."""
    spool, listener = file.spool, file.listener
    if spool.folder is not None:
        spool = spool.model_copy(update={"folder": folder / spool.folder})
    if listener is not None and listener.tls is not None:
        given = listener.tls.model_dump(exclude_none=True)
        tls = listener.tls.model_copy(update={name: folder / path for name, path in given.items()})
        listener = listener.model_copy(update={"tls": tls})
    return file.model_copy(update={"spool": spool, "listener": listener})
