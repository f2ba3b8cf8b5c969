"""The gateway's settings, read once at the process's edge from RADSERVE_* variables or the command line."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "RADSERVE_"
_OF_THE_CLIENT = frozenset({"RADSERVE_URL", "RADSERVE_API_KEY"})
_MIB = 2**20


class Settings(BaseSettings):
    """Everything that can be set; the field's name in capitals after RADSERVE_ is its variable."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, cli_kebab_case=True, cli_prog_name="radserve_server"
    )

    host: str = Field("127.0.0.1", description="address to listen on; any but loopback needs API keys")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="port to listen on; 0 takes a free one"
    )
    insecure_open: bool = Field(False, description="listen on any address without API keys")
    api_keys_file: Path | None = Field(None, description="file of lines `name:sha256-of-the-key`")
    metrics_open: bool = Field(True, description="/metrics needs no API key")
    log_level: str = Field(
        "info", pattern="^(critical|error|warning|info|debug)$", description="least to log"
    )

    triton_url: str = Field("127.0.0.1:8001", description="host:port of Triton's gRPC endpoint")
    triton_model: str = Field("clinical_vqa", description="the model's name in Triton")
    probe_interval_s: PositiveFloat = Field(
        0.5, description="pause between two questions to the engine's health"
    )
    probe_deadline_s: PositiveFloat = Field(
        2.5, description="how long the engine may take to answer the probe"
    )

    allow_ungated: bool = Field(
        False, description="serve an engine that has not passed its gate; every answer says so"
    )

    max_running: PositiveInt = Field(64, description="questions answered at once")
    max_waiting: int = Field(128, ge=0, description="questions that may wait for a place; more get 429")
    max_wait_s: PositiveFloat = Field(30.0, description="longest wait for a place")

    max_body_bytes: PositiveInt = Field(96 * _MIB, description="largest JSON or multipart body")
    max_image_bytes: PositiveInt = Field(
        256 * _MIB, description="largest image uploaded; an enhanced CT has some 0.5 MB for each slice"
    )
    bodies_bytes: PositiveInt = Field(
        1024 * _MIB, description="memory for the bodies of all requests at one time; more get 429"
    )
    body_timeout_s: PositiveFloat = Field(60.0, description="longest time a body may take to arrive")
    image_store_bytes: PositiveInt = Field(1024 * _MIB, description="memory for uploaded images")
    image_ttl_s: PositiveFloat = Field(3600.0, description="how long an uploaded image is kept")
    rendering_cache_bytes: PositiveInt = Field(128 * _MIB, description="memory for rendered images")
    rendering_ttl_s: PositiveFloat = Field(600.0, description="how long a rendered image is kept")

    pacs_url: str | None = Field(
        None, description="DICOMweb address of a PACS that needs no credentials; its name is pacs"
    )
    pacs_file: Path | None = Field(
        None, description="TOML file of named PACS: addresses, credentials, limits"
    )
    pacs_cache_bytes: PositiveInt = Field(512 * _MIB, description="memory for instances out of PACS")
    pacs_ttl_s: PositiveFloat = Field(600.0, description="how long an instance out of a PACS is kept")
    intake_file: Path | None = Field(
        None, description="TOML file of what may be pushed here (C-STORE, STOW-RS), and of routing rules"
    )
    answer_store_bytes: PositiveInt = Field(
        64 * _MIB, description="memory for finished answers, of which reports are made"
    )
    answer_ttl_s: PositiveFloat = Field(3600.0, description="how long a finished answer is kept")
    audit_file: Path | None = Field(
        None, description="file of audit events, one JSON object a line; it grows"
    )
    worklist_file: Path | None = Field(
        None,
        description="SQLite file of the UPS worklist; without it the worklist lasts as long as the server",
    )

    render_workers: PositiveInt = Field(2, description="processes that decode images")
    render_memory_bytes: PositiveInt = Field(1024 * _MIB, description="address space of each of them")
    render_queue_bytes: PositiveInt = Field(
        512 * _MIB, description="bytes of images that may wait to be decoded; more get 429"
    )
    render_deadline_s: PositiveFloat = Field(20.0, description="longest time one image may take to decode")
    engine_silence_s: PositiveFloat = Field(
        120.0, description="longest silence of the engine within an answer"
    )
    shutdown_s: PositiveInt = Field(10, description="how long answers may go on after SIGTERM")

    @model_validator(mode="after")
    def _refuse_open_door(self) -> Self:
        if self.api_keys_file is None and not self.insecure_open and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} is reachable from outside: set api_keys_file (or insecure_open, if the "
                "network is trusted)"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(arguments: list[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """From the command line before the environment; a RADSERVE_* variable that is no setting is refused."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | _OF_THE_CLIENT
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise ValueError(f"unknown setting in the environment: {', '.join(unknown)}")
    return Settings(_cli_parse_args=arguments)  # type: ignore[call-arg]
