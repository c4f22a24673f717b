"""A record after a write -> what it owes. Paid idempotently after each commit, and again by any later delivery.

What a message `task/ticket` has on its account: its own task, and every task that rode on it (`via`) in a fused chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from headrace.core.graph import finished, made_ready_by, ready, states
from headrace.core.message import TaskMessage, riders
from headrace.core.record import RunRecord, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTask:
    """A message for a ticket, due at `due_at_ms` (None: now)."""

    task: str
    ticket: int
    worker: str
    queued_at_ms: int
    start_by_ms: int
    due_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TellParent:
    """The run is over and its parent waits: take it out of the join."""

    join: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseKey:
    """The run is over and held an idempotency key until then."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtJoin:
    """A task is parked at a join: wake it if everybody has left already."""

    task: str
    join: str


Effect: TypeAlias = SendTask | TellParent | ReleaseKey | LookAtJoin

JOIN = "join#"
"""What the names of joins begin with, among the gates that a task can be parked at."""

HELD_KEY = "ik"
"""In a record's `extra`: the idempotency key to release at the run's end."""


def owed_after(record: RunRecord, task: str) -> tuple[Effect, ...]:
    """What the commit (or settlement) of `task` has just made the record owe."""
    return (*_owed_for(record, task, None), *owed_at_the_end(record))


def owed_to(record: RunRecord, message: TaskMessage) -> tuple[Effect, ...]:
    """What the record owes on account of `message`, whatever was paid of it: for whoever receives it again."""
    out: list[Effect] = []
    for task in (message.task, *riders(record, message)):
        out.extend(_owed_for(record, task, message.ticket if task == message.task else None))
    out.extend(owed_by_starter(record, message.task))
    out.extend(owed_at_the_end(record))
    return tuple(dict.fromkeys(out))


def owed_by_starter(record: RunRecord, task: str) -> tuple[Effect, ...]:
    """The messages of the other roots, where the message of `task` put the record in the client's stead."""
    if record.starter != task:
        return ()
    return tuple(first_message(record, each) for each in ready(record) if not record.plan.task(each).parents)


def owed_at_the_end(record: RunRecord) -> tuple[Effect, ...]:
    """What a run owes once all its tasks are settled."""
    held = record.extra.get(HELD_KEY)
    joined = record.parent is not None and record.parent.join is not None
    if not (held or joined) or not finished(record):
        return ()
    out: list[Effect] = []
    if held:
        out.append(ReleaseKey(name=held))
    if record.parent is not None and record.parent.join is not None:
        out.append(TellParent(join=record.parent.join, index=record.parent.index))
    return tuple(out)


def _owed_for(record: RunRecord, task: str, ticket: int | None) -> list[Effect]:
    row = record.tasks.get(task)
    if row is None or record.cancelled_at_ms is not None:
        return []
    if row.status is TaskStatus.QUEUED and ticket in (None, row.ticket - 1):
        return [_next_message(record, task)]
    if row.status is TaskStatus.PARKED and ticket in (None, row.ticket - 1):
        return [LookAtJoin(task=task, join=row.gate)] if row.gate and row.gate.startswith(JOIN) else []
    if row.settled and ticket in (None, row.ticket):
        return [first_message(record, child) for child in made_ready_by(record, task)]
    return []


def first_message(record: RunRecord, task: str) -> SendTask:
    """The message of a task that has become ready."""
    since = states(record)[task].due_since_ms
    return SendTask(
        task=task,
        ticket=1,
        worker=worker_of(record, task),
        queued_at_ms=since,
        start_by_ms=since + record.plan.task(task).schedule_timeout_ms,
    )


def _next_message(record: RunRecord, task: str) -> SendTask:
    row = record.tasks[task]
    since = row.queued_at_ms or record.created_at_ms
    return SendTask(
        task=task,
        ticket=row.ticket,
        worker=worker_of(record, task),
        queued_at_ms=since,
        start_by_ms=since + record.plan.task(task).schedule_timeout_ms,
        due_at_ms=row.due_at_ms,
    )


def worker_of(record: RunRecord, task: str) -> str:
    """The worker whose queue takes the messages of `task`."""
    return record.extra.get(f"w:{task}", record.plan.task(task).worker)


def ran_on(record: RunRecord, task: str) -> str | None:
    """The worker that started `task`; None where none did."""
    row = record.tasks.get(task)
    return worker_of(record, task) if row is not None and row.started_at_ms is not None else None


def first_messages(record: RunRecord) -> tuple[SendTask, ...]:
    """The messages that start a run: one for each task without parents."""
    return tuple(first_message(record, task) for task in ready(record))
