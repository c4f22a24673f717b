"""Settings from the environment and from `.env` files, validated by pydantic-settings."""

from __future__ import annotations

import logging
from dataclasses import asdict, is_dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from headrace.settings.settings import PREFIX, HealthcheckConfig, OpenTelemetryConfig, Settings

FILES = (".env", ".env.hatchet", ".env.headrace", ".env.dev", ".env.local")


def _seconds(value: Any) -> Any:
    """A number in the environment is one of seconds."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]


class _Healthcheck(BaseModel):
    enabled: bool = False
    port: int = Field(default=8001, ge=1, le=65_535)
    bind_address: str = "127.0.0.1"
    event_loop_block_threshold_seconds: Seconds = timedelta(seconds=5)


class _OpenTelemetry(BaseModel):
    excluded_attributes: list[str] = Field(default_factory=list)
    include_task_name_in_start_step_run_span_name: bool = False
    individual_run_spans_for_bulk_run: bool = False


class _Reader(BaseSettings):
    """The fields of `Settings`; a test holds the two together."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=FILES,
        env_nested_delimiter="__",
        extra="ignore",
        arbitrary_types_allowed=True,
    )

    stack: str = Field(default="headrace", min_length=1)
    zone: str = ""
    namespace: str = ""
    table: str | None = None
    bucket: str | None = None
    transport: Literal["lean", "boto3"] = "lean"
    queues: dict[str, str] = Field(default_factory=dict)
    app: str | None = None
    worker: str | None = None
    visibility_s: int = Field(default=360, ge=1, le=43_200)
    retention_days: int = Field(default=30, ge=1)
    max_crashes: int = Field(default=3, ge=0, le=1_000)
    poll_s: float = Field(default=0.02, gt=0)
    longest_poll_s: float = Field(default=1.0, gt=0)
    log_payloads: bool = False
    debug: bool = False
    logger: logging.Logger | None = None
    healthcheck: _Healthcheck = Field(default_factory=_Healthcheck)
    otel: _OpenTelemetry = Field(default_factory=_OpenTelemetry)
    worker_preset_labels: dict[str, str | int] = Field(default_factory=dict)
    terminate_worker_after_num_tasks: int | None = None
    disable_log_capture: bool = False
    force_shutdown_on_shutdown_signal: bool = False


class _Hatchet(BaseSettings):
    """What Hatchet's own names say, where Headrace has a use for it."""

    model_config = SettingsConfigDict(env_prefix="HATCHET_CLIENT_", env_file=FILES, extra="ignore")

    namespace: str | None = None
    debug: bool | None = None
    worker_preset_labels: dict[str, str | int] | None = None
    terminate_worker_after_num_tasks: int | None = None
    disable_log_capture: bool | None = None
    force_shutdown_on_shutdown_signal: bool | None = None
    worker_healthcheck_enabled: bool | None = None
    worker_healthcheck_port: int | None = Field(default=None, ge=1, le=65_535)
    worker_healthcheck_bind_address: str | None = None
    worker_healthcheck_event_loop_block_threshold_seconds: Seconds | None = None

    def said(self) -> dict[str, Any]:
        """By Headrace's names."""
        health: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for name, value in self.model_dump(exclude_none=True).items():
            short = name.removeprefix("worker_healthcheck_")
            (found if short == name else health)[short] = value
        return found | ({"healthcheck": health} if health else {})


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


class ClientConfig(Settings):
    """`Settings` where what is not given is read from HEADRACE_<FIELD>, or from `.env`, `.env.hatchet`, `.env.headrace`, `.env.dev`
    and `.env.local`; what is not there either, from HATCHET_CLIENT_<FIELD>. Unknown keys are ignored, so that a migrated file loads;
    a value that cannot be is a ValidationError."""

    def __init__(self, **given: Any) -> None:
        plain: dict[str, Any] = {name: _plain(value) for name, value in given.items()}
        reader: Any = _Reader  # its own parameters are not given
        read = reader(**plain)
        said = _Hatchet().said()
        health = said.pop("healthcheck", {})
        values = {
            name: said[name] if name in said and name not in read.model_fields_set else getattr(read, name)
            for name in _Reader.model_fields
        }
        own = read.healthcheck.model_dump(exclude_unset=True)
        values["healthcheck"] = HealthcheckConfig(**{**read.healthcheck.model_dump(), **health, **own})
        values["otel"] = OpenTelemetryConfig(**read.otel.model_dump())
        super().__init__(**values)
