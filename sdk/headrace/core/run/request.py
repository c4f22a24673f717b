"""What is asked for when a run is started: one value, whatever asks for it. `triggers.start` is the door that it passes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import field
from typing import TypeAlias

from headrace.core.labels import DesiredWorkerLabel
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ParentLink
from headrace.core.values import dataclass

RESERVED = "hatchet__"
"""Keys of metadata that begin so are Headrace's: given ones are dropped (PARITY G1, G6)."""

_CRONS = uuid.UUID("1b1c0d9a-52f5-5a3f-8c3e-6f0a0d1e9b11")
_EVENTS = uuid.UUID("a3f2c5d8-7e0b-5f5e-9d5a-4c2b8e6f1a22")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Code outside of tasks, or `hatchet.runs.create`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running task: the child's id and link follow from the parent and its place or key. `first`: the first place of its group."""

    run_id: str
    parent: ParentLink
    first: int
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """The parent's own metadata, which the child inherits, and the reserved keys that name the parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """One tick of a cron, at `due_at` (RFC 3339, UTC)."""

    cron_id: str
    name: str
    expression: str
    due_at_ms: int
    due_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A scheduled run: its id is chosen when it is scheduled."""

    schedule_id: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that matched the workflow's keys or, where `filter_id` is given, one of its filters.

    `source`: reserved metadata of the task that pushed it, if one did. `filter_payload`: what `ctx.filter_payload` gives.
    """

    event_id: str
    event_key: str
    filter_id: str | None = None
    filter_payload: Mapping[str, Json] = field(default_factory=dict)
    source: Mapping[str, Json] = field(default_factory=dict)


Origin: TypeAlias = Call | Child | Cron | Schedule | Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """One run for all calls with `key` that follow each other within `period_ms`; it is put off by `max_wait_ms` at most."""

    key: str
    period_ms: int
    max_wait_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """What may be said of one start. `priority` None: the workflow's default. `metadata` is laid over the workflow's default.

    `due_at_ms`: the first tasks are queued then and not before; None: at once. `debounce`: once calls with its key have stopped.
    """

    metadata: Mapping[str, Json] = field(default_factory=dict)
    priority: int | None = None
    sticky: bool = False
    desired_worker_id: str | None = None
    desired_worker_labels: tuple[DesiredWorkerLabel, ...] = ()
    due_at_ms: int | None = None
    debounce: Quiet | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    """One run to start. `workflow`: its name in full, namespace included. `input`: JSON text, None where there is none.

    `reply_to`: the reply queue of the process that waits for it. `waited`: the same call waits for its result."""

    workflow: str
    input: str | None = None
    options: StartOptions = field(default_factory=StartOptions)
    origin: Origin = field(default_factory=Call)
    reply_to: str | None = None
    waited: bool = False


def derived_run_id(workflow: str, origin: Origin) -> str | None:
    """The run's id where it follows from what asks, so that asking twice starts one run; None where a new one is made."""
    match origin:
        case Call():
            return None
        case Child() | Schedule():
            return origin.run_id
        case Cron():
            return str(uuid.uuid5(_CRONS, f"{origin.cron_id}@{origin.due_at_ms}"))
        case Event():
            return str(uuid.uuid5(_EVENTS, f"{origin.event_id}/{workflow}/{origin.filter_id or ''}"))


def metadata_for(given: Mapping[str, Json], origin: Origin) -> dict[str, Json]:
    """A run's metadata: what is given, over what a parent hands down, under the reserved keys, which say what started the run."""
    own = {key: value for key, value in given.items() if not key.startswith(RESERVED)}
    match origin:
        case Call() | Schedule():
            return own
        case Child():
            handed_down = {k: v for k, v in origin.metadata.items() if not k.startswith(RESERVED)}
            links = {k: v for k, v in origin.metadata.items() if k.startswith(RESERVED)}
            return {**handed_down, **own, **links}
        case Cron():
            named: dict[str, Json] = {"hatchet__cron_name": origin.name} if origin.name else {}
            return {
                **own,
                "hatchet__cron_expression": origin.expression,
                **named,
                "hatchet__cron_scheduled_at": origin.due_at,
            }
        case Event():
            return {
                **own,
                **origin.source,
                "hatchet__event_id": origin.event_id,
                "hatchet__event_key": origin.event_key,
            }
