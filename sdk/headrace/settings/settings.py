"""The settings of a process: where the stack is, and how to talk to it.

Plain dataclasses: a worker's cold start pays for every import. `client_config` validates what a person gives.
"""

from __future__ import annotations

import logging
from dataclasses import field, fields
from datetime import timedelta
from typing import Any, Literal

from headrace.core.values import dataclass


@dataclass(slots=True, kw_only=True)
class HealthcheckConfig:
    """The worker process's health endpoint: `GET /health`, off unless `enabled`.

    It answers on this machine only: a container's probe comes from outside of it, and needs `bind_address="0.0.0.0"`.
    """

    enabled: bool = False
    port: int = 8001
    bind_address: str = "127.0.0.1"
    event_loop_block_threshold_seconds: timedelta = timedelta(seconds=5)


@dataclass(slots=True, kw_only=True)
class OpenTelemetryConfig:
    """What the spans of `HatchetInstrumentor` say."""

    excluded_attributes: list[Any] = field(default_factory=list)
    """Attributes that spans leave out: members of `OTelAttribute`, or their values, such as "additional_metadata"."""
    include_task_name_in_start_step_run_span_name: bool = False
    """`hatchet.start_step_run.<workflow>:<task>` in place of `hatchet.start_step_run`."""
    individual_run_spans_for_bulk_run: bool = False
    """A span `hatchet.run_workflow` for each run of a bulk run, under that of the call."""


@dataclass(slots=True, kw_only=True)
class ClientTLSConfig:
    """Taken for the sake of code that has one, and ignored: boto3 and Headrace's own client verify AWS's certificates, with
    AWS_CA_BUNDLE where it is set."""

    strategy: str = "tls"
    cert_file: str | None = None
    key_file: str | None = None
    root_ca_file: str | None = None
    server_name: str = ""


@dataclass(kw_only=True)
class Settings:
    """Where the stack is, and how this process talks to it.

    Every field can be set by the environment as HEADRACE_<FIELD> or in a `.env` file (`from_environment`, `ClientConfig`);
    region, credentials and endpoint are boto3's business (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL …).
    """

    stack: str = "headrace"
    """Name of the deployed stack: table and queues are named for it."""
    zone: str = ""
    """The zone of the stack that this process is in (`hatchet.worker(..., zone=)`); default: none, the stack's own table."""
    namespace: str = ""
    """Prefix of workflow names, lower case with `_` appended: tells environments of one stack apart."""
    table: str | None = None
    """Name of the table; default: `home`."""
    bucket: str | None = None
    """Name of the payload bucket; default: <home>-<account>-<region>."""
    transport: Literal["lean", "boto3"] = "lean"
    """What makes the requests of DynamoDB and SQS: Headrace's own client, which gives way to boto3 where a proxy or a tracer asks
    for it, or always boto3."""
    queues: dict[str, str] = field(default_factory=dict)
    """Worker -> queue URL, as JSON; others are looked up as <home>-<worker>."""
    app: str | None = None
    """module:attribute of the app, for handlers and the command line."""
    worker: str | None = None
    """The worker that this function is."""
    visibility_s: int = 360
    """The visibility timeout of this worker's queue, in seconds."""
    retention_days: int = 30
    """How long a run's record and results are kept, in days."""
    max_crashes: int = 3
    """How often a task is started again after the worker that ran it was lost; then it is FAILED, and kept as a dead letter."""
    poll_s: float = 0.02
    """The first pause between two looks while waiting for a result, in seconds."""
    longest_poll_s: float = 1.0
    """The longest such pause, in seconds."""
    sealed: bool = False
    """Whether the stack's app has a payload codec: functions that do without its code load it for that. The template sets it."""
    log_payloads: bool = False
    """Whether inputs are among the attributes of spans. Log lines hold no payloads."""

    # Hatchet's ClientConfig (PARITY A2): what has a meaning here.
    debug: bool = False
    """Log at DEBUG what Headrace logs."""
    logger: logging.Logger | None = None
    """What it says inside a task is stored with the run; None: only `ctx.log` stores lines."""
    healthcheck: HealthcheckConfig = field(default_factory=HealthcheckConfig)
    otel: OpenTelemetryConfig = field(default_factory=OpenTelemetryConfig)
    worker_preset_labels: dict[str, str | int] = field(default_factory=dict)
    terminate_worker_after_num_tasks: int | None = None
    disable_log_capture: bool = False
    """Store nothing of what `logger` says."""
    force_shutdown_on_shutdown_signal: bool = False

    # Of a server, which there is none of: code that reads them goes on.

    @property
    def token(self) -> str:
        """Empty: access is IAM's."""
        return ""

    @property
    def tenant_id(self) -> str:
        """The stack's name."""
        return self.stack

    @property
    def host_port(self) -> str:
        """Hatchet's default: nothing listens there."""
        return "localhost:7070"

    @property
    def server_url(self) -> str:
        """Empty: there is no server."""
        return ""

    @property
    def home(self) -> str:
        """What table, bucket and queues are named for: the stack, or <stack>-<zone>."""
        return home_of(self.stack, self.zone)

    def changed(self, **changes: Any) -> Settings:
        """Plain settings with some fields changed."""
        return Settings(**{each.name: getattr(self, each.name) for each in fields(self)} | changes)

    @property
    def prefix(self) -> str:
        """What stands before every workflow name: the namespace, lower case, with `_`."""
        return prefix_of(self.namespace)

    def apply_namespace(self, name: str, namespace: str | None = None) -> str:
        """The name with the namespace in front, unless it is there already. `namespace`: another than this process's own."""
        if namespace is None:
            return name if name.startswith(self.prefix) else self.prefix + name
        other = prefix_of(namespace)
        return name if other and name.startswith(other) else other + name.removeprefix(self.prefix)


def home_of(stack: str, zone: str) -> str:
    """What a zone's table, bucket and queues are named for."""
    return f"{stack}-{zone}" if zone else stack


def prefix_of(namespace: str) -> str:
    """A namespace as it stands before names: lower case, with one `_` behind it; "" for none."""
    space = namespace.lower()
    return space if not space or space.endswith("_") else f"{space}_"


PREFIX = "HEADRACE_"
