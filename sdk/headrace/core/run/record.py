"""The run record as frozen values, and its encoding as an item.

All of a run's mutable state is this one item. A task has a row once it was claimed or settled by a write; what a task
without a row is (waiting, ready, skipped, cancelled) follows from the rows of its parents: see `graph`.
Attribute names are short because DynamoDB bills them at every write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from headrace.core.changes import Key
from headrace.core.points import AtOperations, WaitPoint
from headrace.core.run.generation import Generation
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.routing import AS_PLANNED, Routing
from headrace.core.table import input_key, run_key, run_shard, runs_listed
from headrace.core.values import dataclass, replace


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
    """A JSON document: its text where it sits in the record, else where it is. `packed`: how an output is to be stored there, where that is
    not as its text: see `stored.packed`."""

    place: Place = Place.NONE
    text: str | None = None
    packed: bytes | None = field(default=None, compare=False, repr=False)

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
    started_at_ms: int | None = None  # of a durable task: when it was resumed last
    first_started_at_ms: int | None = (
        None  # of a durable task that was resumed: when this attempt's code began
    )
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
    past: str | None = None  # how earlier attempts ended (`core.run.attempts.history`)
    notes: str | None = None  # what its code asked of its attempts (`core.run.attempts.notes`)
    heir: str | None = None  # of a COMPLETED task: the waiter that its place goes to (`core.waits.heirs`)
    data: str | None = None  # what the conditions brought that it has waited for: JSON, by data key

    @property
    def begun_at_ms(self) -> int | None:
        """When the code of this attempt began, however often it was resumed since."""
        return self.started_at_ms if self.first_started_at_ms is None else self.first_started_at_ms

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
    weight: int = field(default=0, compare=False)
    """About what its item weighed when it was read, in bytes; 0: it was not read."""
    derived: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What follows from the rest, once it was asked for: see `graph.states`."""
    waiters: tuple[str, ...] = ()  # reply queues of processes that wait, beside the one named at start

    @property
    def reply_queues(self) -> tuple[str, ...]:
        """Where the end of the run is to be told."""
        named = self.routing.reply_to
        return self.waiters if named is None else tuple(dict.fromkeys((named, *self.waiters)))

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
        rows = dict(self.tasks)
        rows.pop(task, None)
        if row is None:
            return replace(self, tasks=rows)
        rows[task] = row
        if task not in self.again:
            return replace(self, tasks=rows)
        again = {name: each for name, each in self.again.items() if name != task}
        return replace(self, tasks=rows, again=again)


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
