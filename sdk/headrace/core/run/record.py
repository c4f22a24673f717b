"""The run record as frozen values, and its encoding as an item.

All of a run's mutable state is this one item. A task has a row once it was claimed or settled by a write; what a task
without a row is (waiting, ready, skipped, cancelled) follows from the rows of its parents: see `graph`.
Attribute names are short because DynamoDB bills them at every write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from headrace.core.changes import Item, Key, Value
from headrace.core.run.generation import Generation, generation_of
from headrace.core.run.plan import Json, RunPlan, known_plan, remember_plan
from headrace.core.run.routing import AS_PLANNED, Routing, decode_routing, encode_routing
from headrace.core.table import input_key, run_id_of, run_key, run_shard, runs_listed
from headrace.core.waits.points import AtOperations, WaitPoint, decode_point, encode_point


class TaskStatus(StrEnum):
    """What a task is, as the engine sees it. Public statuses are `RunStatus`."""

    WAITING = (
        "WAITING"  # some parent is not settled: derived; in a row, it is to run again (`RunRecord.again`)
    )
    QUEUED = "QUEUED"  # owed a message, or on its way
    PARKED = "PARKED"  # waits for admission, has not started (or is to start again); public: QUEUED
    SUSPENDED = "SUSPENDED"  # has started and waits, keeps its permits; public: RUNNING, evicted
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"  # public: COMPLETED with output {"skipped": true}
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


SETTLED = frozenset({TaskStatus.COMPLETED, TaskStatus.SKIPPED, TaskStatus.FAILED, TaskStatus.CANCELLED})


UNCLAIMED = frozenset({TaskStatus.QUEUED, TaskStatus.PARKED, TaskStatus.SUSPENDED})
"""The statuses of a row whose ticket waits for its message, or for what will send it."""


class RunStatus(StrEnum):
    """The status of a run or of a task as users see it (Hatchet's `V1TaskStatus`)."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class Place(StrEnum):
    """Where a payload is."""

    NONE = "-"  # there is no payload
    RECORD = "r"  # in the record
    ITEM = "i"  # an item of its own beside the record
    BLOB = "b"  # an object in S3


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A JSON document: its text where it sits in the record, else where it is."""

    place: Place = Place.NONE
    text: str | None = None

    @staticmethod
    def inline(text: str | None) -> Payload:
        return Payload() if text is None else Payload(place=Place.RECORD, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """Why an attempt failed: the exception's type, its message and its traceback (cut where it is long)."""

    type: str
    message: str
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentLink:
    """The task run that spawned this run, and this run's place among its children."""

    run_id: str
    task: str
    index: int = 0
    key: str | None = None
    join: str | None = None  # the join item that this run's end is owed to


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task of a run, once it was claimed or settled by a write."""

    status: TaskStatus
    ticket: int = 1
    retry_count: int = 0  # all restarts: the user's retries, lost workers
    app_retry_count: int = 0  # the user's retries: decides whether any is left
    takeovers: int = 0
    owner: str | None = None  # the attempt that wrote this row last: the fence
    lease_until_ms: int | None = None
    queued_at_ms: int | None = None
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    due_at_ms: int | None = None  # a retry with backoff is not due before
    via: str | None = (
        None  # "task/ticket" of the message that this attempt rides on, where it is another task's
    )
    output: Payload = field(default_factory=Payload)
    error: ErrorInfo | None = None
    met: tuple[int, ...] = ()  # numbers of the conditions on this task's output that hold
    broken: Mapping[int, str] = field(default_factory=dict)  # conditions that could not be evaluated, and why
    lined_up: tuple[
        WaitPoint, ...
    ] = ()  # where it has lined up since its last commit: it is no newcomer there
    waits_at: WaitPoint | None = None  # what a PARKED or SUSPENDED task waits for
    started: bool = False  # its code has run, and was suspended, since the last commit
    spawned: int = 0  # how many child runs it has
    log: str | None = None  # of a durable task: the tail of its log (`core.durable.log`)
    invocations: int = 0  # of a durable task: how often it was resumed
    span: str | None = None  # the trace and span of its last attempt, where it was traced
    data: str | None = None  # what the conditions brought that it has waited for: JSON, by data key

    @property
    def settled(self) -> bool:
        return self.status in SETTLED

    @property
    def resumes(self) -> bool:
        """Whether its ticket goes on with a durable log: the claim looks first what is answered."""
        return self.status is TaskStatus.SUSPENDED and isinstance(self.waits_at, AtOperations)

    @property
    def unclaimed(self) -> bool:
        """Whether its ticket waits for its message, or for what will send it."""
        return self.status in UNCLAIMED


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run: what was asked for (immutable), the cancel mark, and the rows of its tasks.

    A task without a row in `tasks` waits for its first ticket: 1, or where the run was replayed that of its row in `again`, which
    holds what an earlier generation left to it. `generation`: None for a run that was never replayed.
    """

    run_id: str
    plan: RunPlan
    input: Payload
    metadata: Mapping[str, Json] = field(default_factory=dict)
    priority: int = 1
    parent: ParentLink | None = None
    created_at_ms: int
    expires_at_s: int
    starter: str | None = None  # root task whose message put this record: it owes the other roots' messages
    cancelled_at_ms: int | None = None
    cancel_reason: str | None = None
    routing: Routing = AS_PLANNED
    tasks: Mapping[str, TaskRow] = field(default_factory=dict)
    again: Mapping[str, TaskRow] = field(default_factory=dict)
    generation: Generation | None = None
    input_of: str | None = None  # the replay that gave the input, where that is no part of the record

    @property
    def starts_at_ms(self) -> int:
        """When its first tasks are due: at once after its creation or its replay, or when it was delayed to."""
        if self.generation is not None:
            return self.generation.at_ms
        return self.created_at_ms if self.routing.starts_at_ms is None else self.routing.starts_at_ms

    @property
    def key(self) -> Key:
        return run_key(self.run_id)

    @property
    def input_key(self) -> Key:
        """Where the input is, if it is no part of the record."""
        return input_key(self.run_id, self.input_of)

    @property
    def generation_number(self) -> int:
        """How often the run was replayed."""
        return 0 if self.generation is None else self.generation.number

    def first_ticket(self, task: str) -> int:
        """The ticket that `task` is claimed with first, in this generation."""
        row = self.again.get(task)
        return 1 if row is None else row.ticket

    def with_row(self, task: str, row: TaskRow | None) -> RunRecord:
        """The record with that row in place (None: without it)."""
        rows = {name: each for name, each in self.tasks.items() if name != task}
        if row is None:
            return replace(self, tasks=rows)
        again = {name: each for name, each in self.again.items() if name != task}
        return replace(self, tasks={**rows, task: row}, again=again)


# ---------------------------------------------------------------- encoding

ROW_NAMES: Mapping[str, str] = {
    "status": "s", "ticket": "t", "retry_count": "r", "app_retry_count": "a", "takeovers": "k", "owner": "o",
    "lease_until_ms": "l", "queued_at_ms": "q", "started_at_ms": "b", "finished_at_ms": "f", "due_at_ms": "d",
    "via": "v", "spawned": "n", "started": "u", "log": "L", "invocations": "iv", "data": "cd",
    "span": "sp",
}  # fmt: skip
"""Field of TaskRow -> attribute, for the fields that are stored as they are. Others: p/out, e, m, x, g, h."""

_STATUS_CODES = {
    TaskStatus.WAITING: "N",
    TaskStatus.QUEUED: "Q", TaskStatus.PARKED: "P", TaskStatus.SUSPENDED: "W", TaskStatus.RUNNING: "R", TaskStatus.COMPLETED: "C",
    TaskStatus.SKIPPED: "S", TaskStatus.FAILED: "F", TaskStatus.CANCELLED: "X",
}  # fmt: skip
_STATUSES = {code: status for status, code in _STATUS_CODES.items()}


def status_code(status: TaskStatus) -> str:
    return _STATUS_CODES[status]


def encode_payload(payload: Payload, place: str, text: str) -> Item:
    if payload.place is Place.NONE:
        return {}
    if payload.place is Place.RECORD:
        return {text: payload.text}
    return {place: payload.place.value}


def _decode_payload(item: Mapping[str, Any], place: str, text: str) -> Payload:
    if text in item:
        return Payload(place=Place.RECORD, text=item[text])
    return Payload(place=Place(item.get(place, "-")))


def encode_error(error: ErrorInfo) -> Value:
    return [error.type, error.message, error.trace]


_DEFAULTS = {
    "retry_count": 0,
    "app_retry_count": 0,
    "takeovers": 0,
    "spawned": 0,
    "invocations": 0,
    "ticket": 1,
    "started": False,
}
_SPANS = ("queued_at_ms", "finished_at_ms")
"""In a settled row these are stored as their distance from the start: two bytes in place of eight."""


def encode_row(row: TaskRow) -> Item:
    """A row as a map, without what is empty or as always."""
    out: Item = {}
    for name, short in ROW_NAMES.items():
        value = getattr(row, name)
        if value is None or value == _DEFAULTS.get(name):
            continue
        if name in _SPANS and row.settled and row.started_at_ms is not None:
            value -= row.started_at_ms
        out[short] = _STATUS_CODES[value] if name == "status" else value
    out.update(encode_payload(row.output, "p", "out"))
    if row.error is not None:
        out["e"] = encode_error(row.error)
    if row.met:
        out["m"] = frozenset(row.met)
    if row.broken:
        out["x"] = {str(number): why for number, why in row.broken.items()}
    if row.waits_at is not None:
        out["g"] = encode_point(row.waits_at)
    if row.lined_up:
        out["h"] = [encode_point(point) for point in row.lined_up]
    return out


def decode_row(raw: Mapping[str, Any]) -> TaskRow:
    plain = {name: raw[short] for name, short in ROW_NAMES.items() if short in raw and name != "status"}
    status, started_at_ms = _STATUSES[raw["s"]], raw.get("b")
    if status in SETTLED and started_at_ms is not None:
        plain |= {name: plain[name] + started_at_ms for name in _SPANS if name in plain}
    error = raw.get("e")
    return TaskRow(
        **plain,
        status=status,
        output=_decode_payload(raw, "p", "out"),
        error=ErrorInfo(type=error[0], message=error[1], trace=error[2]) if error else None,
        met=tuple(sorted(raw.get("m", ()))),
        broken={int(number): why for number, why in raw.get("x", {}).items()},
        waits_at=decode_point(raw["g"]) if "g" in raw else None,
        lined_up=tuple(decode_point(text) for text in raw.get("h", ())),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """What the index knows of a run without its record: enough to tell whose it is. `parent`: the run that spawned it."""

    created_at_ms: int
    run_id: str
    workflow: str
    parent: str = ""


def index_entry(record: RunRecord) -> tuple[str, str]:
    """Partition and sort key of a run in an index. The sort key names what is listed by, as an index holds keys only."""
    parent = f"#{record.parent.run_id}" if record.parent is not None else ""
    order = f"{record.created_at_ms:013d}#{record.run_id}#{record.plan.workflow}{parent}"
    return runs_listed(run_shard(record.run_id)), order


def index_entry_of(order: str) -> IndexEntry:
    """The entry that a sort key of `index_entry` says. Neither names of workflows nor ids hold a `#`."""
    created, run_id, workflow, *parent = order.split("#")
    return IndexEntry(
        created_at_ms=int(created), run_id=run_id, workflow=workflow, parent=parent[0] if parent else ""
    )


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def encode_record(record: RunRecord) -> Item:
    """The record as an item, without `pk` and `sk`."""
    partition, order = index_entry(record)
    out: Item = {
        "ph": remember_plan(record.plan),
        "c": record.created_at_ms,
        "pr": record.priority,
        "expires_at": record.expires_at_s,
        "lpk": partition,
        "lsk": order,
        "tasks": {name: encode_row(row) for name, row in (*record.tasks.items(), *record.again.items())},
    }
    out.update(encode_payload(record.input, "ip", "in"))
    if record.metadata:
        out["md"] = _compact(record.metadata)
    if record.parent is not None:
        link = record.parent
        out["par"] = _compact([link.run_id, link.task, link.index, link.key, link.join])
    marks = {
        "st": record.starter,
        "x": record.cancelled_at_ms,
        "xr": record.cancel_reason,
        "ig": record.input_of,
    }
    if record.generation is not None:
        marks["rp"] = record.generation.token
    for name, value in marks.items():
        if value is not None:
            out[name] = value
    if record.routing != AS_PLANNED:
        out["ex"] = encode_routing(record.routing)
    return out


def decode_record(run_id: str, item: Mapping[str, Any]) -> RunRecord:
    """The record that `encode_record` wrote. UnknownPlan: read its plan first. KeyError / ValueError where the item is none."""
    parent = json.loads(item["par"]) if "par" in item else None
    rows = {name: decode_row(row) for name, row in item["tasks"].items()}
    again = {name: row for name, row in rows.items() if row.status is TaskStatus.WAITING}
    return RunRecord(
        run_id=run_id,
        plan=known_plan(item["ph"]),
        input=_decode_payload(item, "ip", "in"),
        metadata=json.loads(item["md"]) if "md" in item else {},
        priority=item.get("pr", 1),
        parent=ParentLink(run_id=parent[0], task=parent[1], index=parent[2], key=parent[3], join=parent[4])
        if parent
        else None,
        created_at_ms=item["c"],
        expires_at_s=item["expires_at"],
        starter=item.get("st"),
        cancelled_at_ms=item.get("x"),
        cancel_reason=item.get("xr"),
        routing=decode_routing(item["ex"]) if "ex" in item else AS_PLANNED,
        tasks={name: row for name, row in rows.items() if name not in again} if again else rows,
        again=again,
        generation=generation_of(item["rp"]) if "rp" in item else None,
        input_of=item.get("ig"),
    )


def record_of(item: Item) -> RunRecord:
    """The record in an item as a store gives it. UnknownPlan where this process has not met its plan."""
    return decode_record(run_id_of(str(item["pk"])), item)
