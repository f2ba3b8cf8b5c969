"""The PACS that the settings name: one by its address alone, or several by a TOML file (docs/pacs.md)."""

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from radserve_server.metrics import Metrics
from radserve_server.pacs.archive import INTAKE, Archive, Archives
from radserve_server.pacs.cached import CachedArchive, InstanceCache
from radserve_server.pacs.dicomweb import DicomWebArchive
from radserve_server.pacs.endpoint import Credentials, Endpoint
from radserve_server.settings import PREFIX, Settings, is_loopback
from radserve_server.toml_files import read_toml, tell_first

ONLY = "pacs"
"""The name of a PACS that RADSERVE_PACS_URL gives."""

_MIB = 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SECRETS = ("password", "token", "secret", "authorization")
_WAY_OUT = (
    "secrets do not stand here: name an environment variable in {0}_env, or a file that holds it in {0}_file"
)


class PacsTable(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str
    username: str | None = None
    password_env: str | None = None
    password_file: Path | None = None
    token_env: str | None = None
    token_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    ca_file: Path | None = None
    allow_plain_http: bool = False
    connect_s: PositiveFloat = 5.0
    idle_s: PositiveFloat = 15.0
    whole_s: PositiveFloat = 60.0
    parallel: Annotated[int, Field(ge=1, le=64)] = 8
    max_instance_bytes: PositiveInt = 256 * _MIB
    max_metadata_bytes: PositiveInt = 256 * _MIB

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_url(self.url)
        has_password = self.password_env is not None or self.password_file is not None
        has_token = self.token_env is not None or self.token_file is not None
        tls_keys = (self.client_certificate, self.client_key, self.ca_file)
        wrong = {
            "username goes with password_env or password_file": has_password != (self.username is not None),
            "a username and a token contradict each other": has_password and has_token,
            "give one of password_env and password_file": self.password_env and self.password_file,
            "give one of token_env and token_file": self.token_env and self.token_file,
            "client_key goes with client_certificate": self.client_key and not self.client_certificate,
            "ca_file, client_certificate and client_key need an https url": any(tls_keys)
            and not self.url.startswith("https:"),
            "the url is plain http, and credentials would be readable on the way: use https, or set "
            "allow_plain_http = true": (has_password or has_token)
            and not self.allow_plain_http
            and _is_open_way(self.url),
        }
        for message, is_wrong in wrong.items():
            if is_wrong:
                raise ValueError(message)
        return self


def open_archives(settings: Settings, metrics: Metrics | None = None) -> Archives:
    """Connects to nothing yet; raises ValueError naming file, table and key of what is wrong."""
    metrics = metrics or Metrics()
    cache = InstanceCache(settings.pacs_cache_bytes, settings.pacs_ttl_s)
    endpoints = {} if settings.pacs_file is None else read_endpoints(settings.pacs_file, os.environ)
    if settings.pacs_url is not None:
        if ONLY in endpoints:
            raise ValueError(
                f"{settings.pacs_file}: [{ONLY}] is the name of the PACS at pacs_url; name it otherwise"
            )
        try:
            _check_url(settings.pacs_url)
        except ValueError as error:
            raise ValueError(f"pacs_url: {error}") from None
        endpoints[ONLY] = Endpoint(ONLY, settings.pacs_url.rstrip("/"))
    archives: dict[str, Archive] = {
        name: CachedArchive(DicomWebArchive(endpoint, metrics), cache) for name, endpoint in endpoints.items()
    }
    return Archives(archives)


def read_endpoints(path: Path, environment: Mapping[str, str]) -> dict[str, Endpoint]:
    """The PACS of a file by name; raises ValueError naming file, table and key of what is wrong."""
    tables = read_toml(path)
    endpoints = {}
    for name, table in tables.items():
        where = f"{path}: [{name}]"
        if not isinstance(table, dict):
            raise ValueError(f"{path}: {name} stands outside of a table; a PACS is a table, as [ward]")
        if not _NAME.fullmatch(name) or name == INTAKE:
            raise ValueError(f"{where}: a name has letters, digits, - and _, and is not {INTAKE}")
        endpoints[name] = _open(name, _read_table(table, where), environment, where)
    return endpoints


def _read_table(table: dict[str, Any], where: str) -> PacsTable:
    for key in _SECRETS:
        if key in table:
            raise ValueError(
                f"{where} {key}: {_WAY_OUT.format('password' if key == 'password' else 'token')}"
            )
    try:
        return PacsTable.model_validate(table)
    except ValidationError as error:
        raise ValueError(tell_first(error, where, list(PacsTable.model_fields))) from None


def _open(name: str, table: PacsTable, environment: Mapping[str, str], where: str) -> Endpoint:
    return Endpoint(
        name,
        table.url.rstrip("/"),
        _credentials(table, environment, where),
        _tls(table, where),
        table.connect_s,
        table.idle_s,
        table.whole_s,
        table.parallel,
        table.max_instance_bytes,
        table.max_metadata_bytes,
    )


def _credentials(table: PacsTable, environment: Mapping[str, str], where: str) -> Credentials:
    if table.username is not None:
        password = _secret("password", table.password_env, table.password_file, environment, where)
        return Credentials.basic(table.username, password)
    if table.token_env is not None or table.token_file is not None:
        token = _secret("token", table.token_env, table.token_file, environment, where)
        return Credentials.bearer(token) if table.token_file is None else Credentials(None, table.token_file)
    return Credentials()


def _secret(
    what: str, variable: str | None, file: Path | None, environment: Mapping[str, str], where: str
) -> str:
    if file is not None:
        return _read_secret(file, f"{where} {what}_file")
    if variable is None or variable.startswith(PREFIX):
        raise ValueError(f"{where} {what}_env: names that begin with {PREFIX} are settings; choose another")
    secret = environment.get(variable, "")
    if not secret:
        raise ValueError(f"{where} {what}_env: the environment variable {variable} is not set")
    return secret


def _read_secret(file: Path, where: str) -> str:
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {file} cannot be read: {type(error).__name__}") from None
    if not secret or not secret.isprintable():
        raise ValueError(f"{where}: {file} holds no line of text")
    return secret


def _tls(table: PacsTable, where: str) -> ssl.SSLContext | None:
    if not table.url.startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cafile=table.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{where} ca_file: {table.ca_file} cannot be used: {type(error).__name__}") from None
    if table.client_certificate is not None:
        try:
            context.load_cert_chain(table.client_certificate, table.client_key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            reason = f"it and its key cannot be used: {type(error).__name__}"
            raise ValueError(f"{where} client_certificate: {reason}") from None
    return context


def _no_password() -> str:
    """Else OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the url must be the http or https address of a DICOMweb root")
    if parts.username is not None or parts.password is not None:
        raise ValueError(_WAY_OUT.format("password"))
    if parts.query or parts.fragment:
        raise ValueError("the url of a DICOMweb root has no query and no fragment")


def _is_open_way(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
