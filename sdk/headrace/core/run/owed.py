"""A record after a write -> what it owes. Paid idempotently after each commit, and again by any later delivery.

What a message `task/ticket` has on its account: its own task, and every task that rode on it (`via`) in a fused chain.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.core.points import AtOperations
from headrace.core.run.derived.due import events_of, first_due_ms
from headrace.core.run.derived.graph import state_of
from headrace.core.run.derived.progress import finished, made_pending_by, made_ready_by, pending, ready
from headrace.core.run.effects import (
    AwaitEvents,
    Effect,
    EndOperations,
    EndRun,
    GiveBack,
    KeepDeadLetter,
    LineUp,
    LookAtOperations,
    ReleaseKey,
    SeeToHeir,
    SendReply,
    SendTask,
    StepOut,
    TellParent,
)
from headrace.core.run.message import Conditions, TaskMessage, riders
from headrace.core.run.plans.plan import TaskKind
from headrace.core.run.record import RunRecord, TaskRow, TaskStatus
from headrace.core.values import replace

LOST_WORKER, DEAD_LETTER = "LostWorkerError", "DeadLetterError"
"""The errors of tasks that did not end by what their own code did."""


def owed_after(record: RunRecord, task: str) -> tuple[Effect, ...]:
    """What the commit (or settlement) of `task` has just made the record owe."""
    return (*_owed_for(record, task, None), *owed_at_the_end(record))


def owed_to(record: RunRecord, message: TaskMessage) -> tuple[Effect, ...]:
    """What the record owes on account of `message`, whatever was paid of it: for its next delivery."""
    row = record.tasks.get(message.task)
    live = row is not None and row.status is TaskStatus.RUNNING and row.ticket == message.ticket
    out: list[Effect] = []
    riding = riders(record, message)
    if not live or record.cancelled_at_ms is not None:
        keeps = row is not None and row.status is TaskStatus.SUSPENDED and row.ticket == message.ticket + 1
        suspended = keeps and record.cancelled_at_ms is None
        out.append(GiveBack(task=message.task, ticket=message.ticket, suspended=suspended, stale=True))
    if message.task not in riding:
        out.extend(_owed_for(record, message.task, message.ticket))
    for task in riding:
        out.extend(_owed_for(record, task, None))
    out.extend(owed_by_starter(record, message.task))
    out.extend(owed_at_the_end(record, ended=(message.task, *riding)))
    return tuple(dict.fromkeys(out))


def owed_by_starter(record: RunRecord, task: str) -> tuple[Effect, ...]:
    """The messages of the other roots, where the message of `task` put the record in the client's stead."""
    if record.starter != task:
        return ()
    return tuple(first_message(record, each) for each in due(record) if not record.plan.task(each).parents)


def owed_by_cancelling(record: RunRecord) -> tuple[Effect, ...]:
    """What a cancelled run owes: nothing else may look at those of its tasks that wait."""
    out: list[Effect] = []
    for name, row in record.tasks.items():
        if row.status is TaskStatus.SUSPENDED:
            out.append(GiveBack(task=name, ticket=row.ticket - 1))
            out.extend(_end_operations(name, row))
        elif row.status is TaskStatus.PARKED:
            out.append(StepOut(task=name))
    return (*out, *owed_at_the_end(record))


def owed_at_the_end(record: RunRecord, *, ended: tuple[str, ...] = ()) -> tuple[Effect, ...]:
    """What a run owes once all its tasks are settled."""
    held = record.routing.held_key
    joined = record.parent is not None and record.parent.join is not None
    gated = bool(record.plan.gates) and not record.plan.standalone
    waited_for = record.reply_queues
    if not (held or joined or gated or waited_for) or not finished(record):
        return ()
    out: list[Effect] = []
    if held:
        out.append(ReleaseKey(name=held))
    if record.parent is not None and record.parent.join is not None:
        out.append(TellParent(join=record.parent.join, index=record.parent.index))
    if gated:
        out.append(EndRun(ended=ended))
    out.extend(SendReply(queue=queue) for queue in waited_for)
    return tuple(out)


def _owed_for(record: RunRecord, task: str, ticket: int | None) -> list[Effect]:
    """`ticket`: whose account it is; None: that of the commit that has just taken place."""
    row = record.tasks.get(task)
    now = ticket is None
    if row is None:
        return []
    if (
        record.cancelled_at_ms is not None
    ):  # right after the commit, perhaps: what that took is free all the same
        out: list[Effect] = [StepOut(task=task)] if row.status is TaskStatus.PARKED else []
        if row.heir is not None and not now:
            out.append(SeeToHeir(task=task))
        return [*out, GiveBack(task=task, ticket=row.ticket - row.unclaimed)] if now else out
    if row.unclaimed and (now or ticket == row.ticket - 1):
        return _owed_while_waiting(record, task, row, now=now)
    if row.settled and (now or ticket == row.ticket):
        return _owed_when_settled(record, task, row, now=now)
    return []


def _owed_while_waiting(record: RunRecord, task: str, row: TaskRow, *, now: bool) -> list[Effect]:
    out: list[Effect] = []
    if now:
        out.append(GiveBack(task=task, ticket=row.ticket - 1, suspended=row.status is TaskStatus.SUSPENDED))
    if row.status is TaskStatus.QUEUED:
        return [*out, _next_message(record, task)]
    if row.status is TaskStatus.PARKED:
        return [*out, LineUp(task=task)]
    if isinstance(row.waits_at, AtOperations):
        out.append(LookAtOperations(task=task))
        if row.due_at_ms is not None:
            out.append(_next_message(record, task))
    return out


def _end_operations(task: str, row: TaskRow) -> list[Effect]:
    """A row with a log may have subscriptions: what that says is read where it is paid."""
    return [EndOperations(task=task)] if row.log is not None else []


def _owed_when_settled(record: RunRecord, task: str, row: TaskRow, *, now: bool) -> list[Effect]:
    out: list[Effect] = []
    if now:
        out.append(GiveBack(task=task, ticket=row.ticket))
    elif row.heir is not None:
        out.append(SeeToHeir(task=task))
    if row.waits_at is not None and not isinstance(row.waits_at, AtOperations):
        out.append(StepOut(task=task))
    out.extend(_end_operations(task, row))
    if row.error is not None and row.error.type in (LOST_WORKER, DEAD_LETTER):
        out.append(KeepDeadLetter(task=task))
    out.extend(first_message(record, child) for child in made_ready_by(record, task))
    for child in made_pending_by(record, task):
        out.extend(_await(record, child))
    if task == gatekeeper(record):
        out.extend(first_message(record, root) for root in waiting_roots(record))
    return out


# ---------------------------------------------------------------- the gates of a run


def gatekeeper(record: RunRecord) -> str | None:
    """The root that stands at the run's own gates for all: the others' messages are sent once it was admitted, or has ended.

    None: the run has no gates, or no other root. In a replay, which may begin anywhere, each task goes through by itself."""
    if not record.plan.gates or record.plan.standalone or record.generation is not None:
        return None
    roots = [task.name for task in record.plan.tasks if not task.parents and task.kind is TaskKind.NORMAL]
    return roots[0] if len(roots) > 1 else None


def waiting_roots(record: RunRecord) -> tuple[str, ...]:
    """The roots that are not claimed, but for the gatekeeper."""
    first = gatekeeper(record)
    return tuple(
        task.name
        for task in record.plan.tasks
        if not task.parents
        and task.kind is TaskKind.NORMAL
        and task.name != first
        and task.name not in record.tasks
    )


# ---------------------------------------------------------------- messages


def first_message(record: RunRecord, task: str) -> SendTask:
    """The message of a task that has become ready, or of a root that waits for time or for events."""
    state = state_of(record, task)
    if state is None:
        raise KeyError(task)
    since = state.due_since_ms
    send = SendTask(
        task=task,
        ticket=record.first_ticket(task),
        worker=worker_of(record, task),
        queued_at_ms=since,
        start_by_ms=since + record.plan.task(task).schedule_timeout_ms,
    )
    if not state.pending:
        return send
    if events_of(record.plan.task(task)):
        return replace(send, conditions=Conditions.ARM)
    return replace(send, due_at_ms=first_due_ms(record, task), conditions=Conditions.TIME)


def _await(record: RunRecord, task: str) -> Iterator[Effect]:
    """What is owed for a task that waits from now on: that events find it, and the message of its first sleep."""
    if events_of(record.plan.task(task)):
        yield AwaitEvents(task=task)
    due_ms = first_due_ms(record, task)
    if due_ms is not None:
        yield replace(first_message(record, task), due_at_ms=due_ms, conditions=Conditions.TIME)


def _next_message(record: RunRecord, task: str) -> SendTask:
    row = record.tasks[task]
    since = row.queued_at_ms or record.starts_at_ms
    return SendTask(
        task=task,
        ticket=row.ticket,
        worker=worker_of(record, task),
        queued_at_ms=since,
        start_by_ms=since + record.plan.task(task).schedule_timeout_ms,
        due_at_ms=row.due_at_ms,
    )


def may_run_until_ms(record: RunRecord, *, ended: tuple[str, ...], now_ms: int) -> int | None:
    """Until when the code of a cancelled run may go on before its processes notice, by their leases; but for the attempts of `ended`.
    None: no code runs."""
    leases = [
        row.lease_until_ms
        for name, row in record.tasks.items()
        if row.status is TaskStatus.RUNNING and name not in ended and row.lease_until_ms is not None
    ]
    return max((lease_ms for lease_ms in leases if lease_ms > now_ms), default=None)


def worker_of(record: RunRecord, task: str) -> str:
    """The worker whose queue takes the messages of `task`."""
    return record.routing.workers.get(task) or record.plan.task(task).worker


def ran_on(record: RunRecord, task: str) -> str | None:
    """The worker that started `task`; None where none did."""
    row = record.tasks.get(task)
    return worker_of(record, task) if row is not None and row.started_at_ms is not None else None


def first_messages(record: RunRecord) -> tuple[SendTask, ...]:
    """The messages that start a run: one for each task without parents, or one for the run's gatekeeper."""
    first = gatekeeper(record)
    if first is not None:
        return (first_message(record, first),) if first not in record.tasks else ()
    return tuple(first_message(record, task) for task in due(record))


def due(record: RunRecord) -> tuple[str, ...]:
    """The tasks that are ready, or wait for time or for events, and have no row."""
    return (*ready(record), *pending(record))
