"""From a message to a claimed attempt, or to what else is to be done with the message."""

from __future__ import annotations

from typing import assert_never

from headrace.core.changes import Applied
from headrace.core.run.derived.graph import states
from headrace.core.run.message import TaskMessage
from headrace.core.run.owed import LOST_WORKER, first_messages, owed_after, owed_by_starter, owed_to
from headrace.core.run.record import ErrorInfo, RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.claim import (
    Busy,
    Lost,
    Mine,
    Spent,
    Stale,
    Vanished,
    claim,
    create,
    first_row,
    judge_claim,
    rides_on,
    take_over,
)
from headrace.core.run.transitions.commit import give_up
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.settle import schedule_timed_out, settle_unrun
from headrace.core.table import input_key, run_key
from headrace.core.values import replace
from headrace.engine.attempts.patience import patiently
from headrace.engine.attempts.payloads import load_input, save
from headrace.engine.attempts.ports import Disposition, Done, Host, Later, Poison
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.cancel import PARENT_CANCELLED, cancel, parent_cancelled
from headrace.engine.owed.pay import pay
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.telling import log_failure
from headrace.ports import Received

MAX_TRIES = 10
"""How often a claim is tried against a record that keeps changing before the message is left for later."""


def new_attempt(
    engine: Engine, host: Host, run_id: str, task: str, number: int, ticket: int, *, via: str | None = None
) -> Attempt:
    """An attempt that begins now; its first lease ends with the message's visibility."""
    now_ms = engine.clock.now_ms()
    return Attempt(
        run_id=run_id,
        task=task,
        number=number,
        ticket=ticket,
        owner=engine.ids.owner(),
        now_ms=now_ms,
        lease_until_ms=now_ms + host.visibility_s * 950,
        via=via,
    )


def claim_message(
    engine: Engine, host: Host, received: Received, message: TaskMessage, *, data: str | None = None
) -> Claimed | Disposition:
    """Claim what the message is for; where its ticket is used, pay what the record owes on its account.

    `data`: what the conditions brought that its task has waited for.
    """
    attempt = new_attempt(engine, host, message.run_id, message.task, message.number, message.ticket)
    for _ in range(MAX_TRIES):
        step = _try(engine, host, received, message, attempt, data)
        if step is not None:
            return step
    return Later(0, f"the record of run {message.run_id} kept changing")


def _try(
    engine: Engine, host: Host, received: Received, message: TaskMessage, attempt: Attempt, data: str | None
) -> Claimed | Disposition | None:
    """One round; None: the record has changed meanwhile, look again."""
    if _first_looked_at_ms(received, attempt) > message.start_by_ms and not message.resumes:
        expired = expire(engine, message, attempt.now_ms)
        if expired is not None:
            return expired
    if message.resumes:
        resumed = _resume(engine, host, received, message, attempt)
        if resumed is not None:
            return resumed
    replay = message.replay.generation if message.replay is not None else None
    written = engine.store.write(claim(attempt, queued_at_ms=message.queued_at_ms, data=data, replay=replay))
    if isinstance(written, Applied) and written.item is not None:
        return _claimed(engine, host, received, message, record_in(engine, written.item), attempt)
    verdict = judge_claim(
        record_in(engine, written.item),
        message,
        owner=attempt.owner,
        now_ms=engine.clock.now_ms(),
        max_crashes=engine.limits.max_crashes,
    )
    match verdict:
        case Mine(record):
            pay(engine, record, owed_by_starter(record, message.task))
            return _claimed(engine, host, received, message, record, attempt)
        case Vanished():
            if message.replay is not None:
                return Done()  # the run's retention is over
            return _put_record(engine, host, received, message, attempt)
        case Busy(until_ms=until_ms):
            return _leave(engine, received, until_ms, attempt.now_ms)
        case Lost(record, task, row):
            mine = _attempt_at(attempt, record.plan.numbers[task], task, row, message)
            return _take_over(engine, host, received, message, mine, row)
        case Spent(record, task, row):
            return _give_up(engine, message, record, task, row)
        case Stale(record):
            if message.replay is not None and _replayed(engine, record, message):
                return None
            return stale(engine, record, message)
        case _:
            assert_never(verdict)


def _first_looked_at_ms(received: Received, attempt: Attempt) -> int:
    """When the message first came: a task that was received in time, and met an outage, is not late."""
    return min(attempt.now_ms, received.first_received_at_ms or attempt.now_ms)


def _resume(
    engine: Engine, host: Host, received: Received, message: TaskMessage, attempt: Attempt
) -> Claimed | Disposition | None:
    """The claim of a suspended durable task, with what is answered by now. None: an ordinary claim says what the ticket is."""
    from headrace.engine.durable.answers import NOTHING, resumption
    from headrace.engine.durable.subscriptions import disarm

    found = resumption(engine, message)
    if found is None:
        return None
    if found is NOTHING:
        return Done()  # spent: what answers an operation sends another
    written = engine.store.write(claim(attempt, queued_at_ms=message.queued_at_ms, resumed=found.resumed))
    if not isinstance(written, Applied) or written.item is None:
        return None
    disarm(
        engine, found.record, message.task, found.answered
    )  # after the write: before it, a crash would lose the answers
    claimed = _claimed(engine, host, received, message, record_in(engine, written.item), attempt)
    if not isinstance(claimed, Claimed):
        return claimed
    return replace(claimed, log=found.log, suspended=found.record.tasks[message.task])


def _replayed(engine: Engine, record: RunRecord, message: TaskMessage) -> bool:
    """Whether the record has become another, that of the message's replay perhaps: its client had not written it when it was read."""
    from headrace.engine.runs.replay import replay_for_dead_client

    return replay_for_dead_client(engine, record, message) is not None


def stale(engine: Engine, record: RunRecord, message: TaskMessage) -> Done:
    """The ticket was used: pay what the record owes on its account. The waiter that the message woke is removed; the process that had it may have
    died before it looked for the next one."""
    if message.place is not None:
        from headrace.engine.waits.park import forget_waiter

        forget_waiter(engine, *message.place, message.ticket)
    if message.batched and engine.account.redelivered:
        from headrace.engine.waits.kinds.batch import repay

        repay(engine, record, message.task)
    pay(engine, record, owed_to(record, message))
    return Done()


def _claimed(
    engine: Engine, host: Host, received: Received, message: TaskMessage, record: RunRecord, attempt: Attempt
) -> Claimed | Disposition:
    if attempt.task not in record.plan.by_name:
        return Poison(
            f"workflow {record.plan.workflow} has no task {attempt.task} in the plan of run {record.run_id}"
        )
    if patiently(engine, host, lambda: parent_cancelled(engine, record)):
        cancel(engine, record.run_id, reason=PARENT_CANCELLED)
        return stale(engine, replace(record, cancelled_at_ms=engine.clock.now_ms()), message)
    text = (
        message.input
        if message.input is not None
        else patiently(engine, host, lambda: load_input(engine, record))
    )
    return Claimed(record=record, attempt=attempt, received=received, input=text)


def _put_record(
    engine: Engine, host: Host, received: Received, message: TaskMessage, attempt: Attempt
) -> Claimed | Disposition | None:
    """The client died between send and write (or is slow): put the record in its stead, claimed already."""
    if message.record is None and message.place is not None:
        from headrace.engine.waits.park import forget_waiter

        forget_waiter(engine, *message.place, message.ticket, seat=message.seat)
        return Done()
    if message.record is None or message.task not in message.record.plan.by_name:
        return Poison(
            f"run {message.run_id} has no record, and its message for task {message.task} carries none"
        )
    record = record_for_dead_client(message.record, message.task)
    save(engine, record.input, input_key(record.run_id), message.input, expires_at_s=record.expires_at_s)
    row = first_row(attempt, queued_at_ms=message.queued_at_ms)
    written = engine.store.write(create(record.with_row(message.task, row)))
    if not isinstance(written, Applied):
        return None
    record = record.with_row(message.task, row)
    pay(engine, record, owed_to(record, message))
    return _claimed(engine, host, received, message, record, attempt)


def record_for_dead_client(record: RunRecord, task: str) -> RunRecord:
    """The record of a client that died before it put it, and maybe before it had sent all: the message of `task` owes the others'."""
    return replace(record, starter=task if len(first_messages(record)) > 1 else None)


def _leave(engine: Engine, received: Received, until_ms: int, now_ms: int) -> Later:
    seconds = max(1, -(-(until_ms - now_ms) // 1000) + 1)
    engine.queues.hide(received, min(seconds, 43_200))
    return Later(seconds, "another attempt holds a live lease")


def _attempt_at(attempt: Attempt, number: int, task: str, row: TaskRow, message: TaskMessage) -> Attempt:
    via = row.via if task != message.task or row.ticket != message.ticket else None
    return replace(attempt, task=task, number=number, ticket=row.ticket, via=via)


def _take_over(
    engine: Engine, host: Host, received: Received, message: TaskMessage, attempt: Attempt, row: TaskRow
) -> Claimed | Disposition | None:
    """The lost worker may have died before it paid: pay again, then run."""
    written = engine.store.write(take_over(attempt, row))
    if written.item is None:
        return None
    record = record_in(engine, written.item)
    if not isinstance(written, Applied):
        mine = record.tasks.get(attempt.task)
        if mine is None or mine.owner != attempt.owner or mine.status is not TaskStatus.RUNNING:
            return None
    pay(engine, record, owed_to(record, message))
    claimed = _claimed(engine, host, received, message, record, attempt)
    return replace(claimed, taken_over=True) if isinstance(claimed, Claimed) else claimed


def _give_up(
    engine: Engine, message: TaskMessage, record: RunRecord, task: str, row: TaskRow
) -> Disposition | None:
    error = lost_worker(task, row)
    written = engine.store.write(give_up(record, task, row, error, now_ms=engine.clock.now_ms()))
    if not isinstance(written, Applied) or written.item is None:
        return None
    after = record_in(engine, written.item)
    log_failure(after, task, error.type, attempt=row.app_retry_count + 1, retried=False)
    pay(engine, after, owed_to(after, message))
    return None if rides_on(after, message) else Done()


def lost_worker(task: str, row: TaskRow) -> ErrorInfo:
    """Why a task fails whose worker was lost too often."""
    times = "once" if row.takeovers == 0 else f"{row.takeovers + 1} times"
    return ErrorInfo(
        type=LOST_WORKER, message=f"Task {task} was started {times}, and its worker was lost each time"
    )


def waits_for(record: RunRecord, task: str, ticket: int) -> bool:
    """Whether `ticket` of `task` is still to be claimed."""
    row = record.tasks.get(task)
    if row is None:
        state = states(record).get(task)
        return ticket == record.first_ticket(task) and state is not None and (state.ready or state.pending)
    return row.unclaimed and row.ticket == ticket and record.cancelled_at_ms is None


def expire(engine: Engine, message: TaskMessage, now_ms: int) -> Disposition | None:
    """The schedule timeout is over: CANCELLED, if the ticket still waits. None: go on to the claim, which will tell."""
    item = engine.store.get(run_key(message.run_id))
    if item is None and message.record is not None:
        written = engine.store.write(create(record_for_dead_client(message.record, message.task)))
        item = written.item
    if item is None:
        return None
    record = record_in(engine, item)
    if not waits_for(record, message.task, message.ticket):
        return None
    error = schedule_timed_out(record, message.task)
    status = TaskStatus.CANCELLED
    written = engine.store.write(
        settle_unrun(record, message.task, status, error, ticket=message.ticket, now_ms=now_ms)
    )
    if not isinstance(written, Applied) or written.item is None:
        return None
    after = record_in(engine, written.item)
    pay(engine, after, owed_after(after, message.task))
    if message.place is not None or message.batched or after.starter == message.task:
        return stale(engine, after, message)
    return Done()
