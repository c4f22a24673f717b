"""A message delivered: claim, run, commit, pay, and on with what became ready."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from headrace.core.changes import Applied
from headrace.core.points import WORKER_GATE
from headrace.core.run.backoff import RetryIn, redelivery_s
from headrace.core.run.derived.progress import made_ready_by
from headrace.core.run.effects import Effect, SendTask
from headrace.core.run.message import (
    MAX_REASON_CHARS,
    BadMessage,
    BatchMessage,
    BulkMessage,
    FireMessage,
    RefillMessage,
    TaskMessage,
    TimersMessage,
)
from headrace.core.run.owed import owed_after, owed_to, worker_of
from headrace.core.run.record import Payload, RunRecord, TaskStatus
from headrace.core.run.transitions.cancel import was_cancelled
from headrace.core.run.transitions.claim import claim
from headrace.core.run.transitions.commit import Fenced, holds, retry_of
from headrace.core.run.transitions.fence import Attempt
from headrace.core.table import run_key
from headrace.engine.attempts.patience import INVOCATION_MARGIN_MS, patiently
from headrace.engine.attempts.ports import Disposition, Done, Host, Later, Poison, Raised, Succeeded
from headrace.engine.catalog.plans import message_in, record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.engine.runs.admission.admission import admit, hand_on
from headrace.engine.runs.attempt import Runner, Steps, driven, run, run_live
from headrace.engine.runs.claim import claim_message, new_attempt
from headrace.engine.runs.claimed import Claimed, Ran
from headrace.engine.runs.commit import commit, failure_of
from headrace.engine.runs.telling import begun, log_ending, outcome_of
from headrace.engine.waits.keys import has_gates
from headrace.errors import QueueUnavailable, RequestRefused, StoreUnavailable
from headrace.ports import Received
from headrace.runtime.deadline import TimedOut
from headrace.telemetry.events import AttemptEnded, AttemptFenced, AttemptTimedOut, TaskCancelled


def deliver(engine: Engine, host: Host, received: Received, *, runner: Runner = run_live) -> Disposition:
    """Do what the message asks for. Never raises for what the message holds; raises StoreUnavailable / QueueUnavailable.

    A ready child on the same worker runs on in the same call while the time left allows its limit: a fused chain. So does a retry without
    backoff.
    """
    return driven(delivery(engine, host, received, runner), runner)


def delivery(engine: Engine, host: Host, received: Received, runner: Runner = run_live) -> Steps[Disposition]:
    """As `deliver`, in steps. `runner` is for a batch, whose code is run within one of them."""
    try:
        return (yield from _handle(engine, host, received, runner))
    except (StoreUnavailable, QueueUnavailable):
        _back_off(engine, received)
        raise
    except BadMessage as error:
        return _poison(engine, received, str(error))
    except (RequestRefused, UnicodeError) as error:
        return _poison(engine, received, refusal(error))


def _back_off(engine: Engine, received: Received) -> None:
    """Hide the message for longer each time, so that an outage does not use up its deliveries."""
    with suppress(StoreUnavailable, QueueUnavailable):
        engine.queues.hide(received, redelivery_s(received.receive_count))


def refusal(error: Exception) -> str:
    """Why nothing can be made of a message whose keys, names or sizes the store or a queue never takes."""
    return f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS]


def _handle(engine: Engine, host: Host, received: Received, runner: Runner) -> Steps[Disposition]:
    message = message_in(engine, received.body)
    if isinstance(message, RefillMessage):
        from headrace.engine.waits.kinds.rate_limit import refill

        refill(engine.acting_for(received, message.account), message)
        return Done()
    if isinstance(message, TimersMessage):
        from headrace.engine.clock.tick import go_on_sending

        go_on_sending(engine, message, host.worker, host.time_left_ms)
        return Done()
    if isinstance(message, BulkMessage):
        from headrace.engine.runs.bulk.work import go_on

        go_on(engine, message, host.worker, host.time_left_ms)
        return Done()
    if isinstance(message, FireMessage):
        if host.start is None:
            return _poison(engine, received, f"worker {host.worker} cannot start runs")
        from headrace.engine.clock.fire import fire

        fire(engine, host.start, message)
        return Done()
    if isinstance(message, BatchMessage):
        from headrace.engine.runs.batches.deliver import deliver_batch

        return deliver_batch(engine.acting_for(received, message.account), host, received, message, runner)
    return (yield from _deliver(engine.acting_for(received, message.account), host, received, message))


def _deliver(engine: Engine, host: Host, received: Received, message: TaskMessage) -> Steps[Disposition]:
    handed_on = hand_on(engine, host, received, message)
    if handed_on is not None:
        return handed_on
    if message.conditions is not None:
        from headrace.engine.runs.admission.conditions import claim_met

        step = claim_met(engine, host, received, message)
    elif message.batched:
        from headrace.engine.runs.admission.batch import line_up_for_batch

        step = line_up_for_batch(engine, host, received, message)
    else:
        step = claim_message(engine, host, received, message)
    while isinstance(step, Claimed):
        step = yield from _advance(engine, host, message, step)
    return _poison(engine, received, step.reason) if isinstance(step, Poison) else step


def _poison(engine: Engine, received: Received, reason: str) -> Poison:
    engine.queues.hide(received, 0)  # no use in waiting: on to the dead-letter queue
    return Poison(reason[:MAX_REASON_CHARS])


def _advance(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed
) -> Steps[Claimed | Disposition]:
    """Admit, run, commit and pay one attempt; the next of the chain, or what to do with the message."""
    admitted = admit(engine, host, message, claimed)
    if not isinstance(admitted, Claimed):
        return admitted
    if claimed.plan.batch is not None:
        from headrace.engine.runs.admission.batch import park_at_batch

        return park_at_batch(engine, claimed)
    attempt, row = claimed.attempt, claimed.record.tasks[claimed.attempt.task]
    host.tell(begun(claimed.record.plan.workflow, attempt, row))
    ran = yield from run(engine, host, claimed)
    rider = _rider(engine, host, message, claimed, ran) or _retry_here(engine, host, message, claimed, ran)
    done = patiently(engine, host, lambda: commit(engine, claimed, ran, then=rider))
    if (
        ran.overstaying is not None
    ):  # after the commit, when no other attempt can have the places of its ticket
        patiently(engine, host, ran.overstaying.begin)
    if isinstance(done, Fenced):
        return _fenced(engine, host, message, claimed)
    _tell_outcome(engine, host, done.record, ran, claimed)
    owed = owed_after(done.record, attempt.task)
    if rider is not None and holds(done.record, rider):
        pay(engine, done.record, owed)
        return replace(claimed, record=done.record, attempt=rider, log_parts=None)
    follower = _follower(engine, host, done.record, owed)
    pay(engine, done.record, [effect for effect in owed if effect is not follower])
    if follower is None:
        return Done()
    return _claim_follower(
        engine, host, message, replace(claimed, record=done.record, log_parts=None), follower
    )


# ---------------------------------------------------------------- fused chains


def _rider(engine: Engine, host: Host, message: TaskMessage, claimed: Claimed, ran: Ran) -> Attempt | None:
    """The claim of an only child of this task, which goes into this task's commit."""
    if not isinstance(ran.ending, Succeeded) or len(claimed.record.plan.tasks) == 1:
        return None
    task = claimed.attempt.task
    row = replace(
        claimed.record.tasks[task],
        status=TaskStatus.COMPLETED,
        output=Payload(),
        met=ran.evaluated.met,
        broken=dict(ran.evaluated.broken),
    )
    after = claimed.record.with_row(task, row)
    for child in made_ready_by(after, task):
        if after.plan.task(child).parents == (task,) and runs_on_here(engine, host, after, child):
            number, ticket = after.plan.numbers[child], after.first_ticket(child)
            return new_attempt(engine, host, after.run_id, child, number, ticket, via=message.name)
    return None


def _retry_here(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed, ran: Ran
) -> Attempt | None:
    """The claim of this task's next ticket, which goes into the commit that issues it: a retry that waits for nothing."""
    retryable = isinstance(ran.ending, TimedOut) or (isinstance(ran.ending, Raised) and ran.ending.retryable)
    if not retryable or ran.outlasted or host.stopping():
        return None
    record, task = claimed.record, claimed.attempt.task
    if retry_of(record, task, retryable=True) != RetryIn(0):
        return None
    if has_gates(engine, record, task) or not runs_on_here(engine, host, record, task):
        return None
    number, ticket = claimed.attempt.number, claimed.row.ticket + 1
    return new_attempt(engine, host, record.run_id, task, number, ticket, via=message.name)


def runs_on_here(engine: Engine, host: Host, record: RunRecord, task: str) -> bool:
    """Whether `task` may go on in this invocation: same worker, its code at hand, time enough, nothing to be admitted."""
    plan = record.plan.task(task)
    if plan.isolated or plan.batch or plan.gates or plan.rates or worker_of(record, task) != host.worker:
        return False
    if task in record.routing.required_labels or WORKER_GATE + host.worker in engine.gate_limits():
        return False
    if (record.plan.workflow, task) not in host.runnables:
        return False
    return host.time_left_ms() >= plan.execution_timeout_ms + INVOCATION_MARGIN_MS


def _follower(engine: Engine, host: Host, record: RunRecord, owed: Iterable[Effect]) -> SendTask | None:
    """Of the first messages owed, the one that need not be sent because its task goes on here."""
    for effect in owed:
        if not isinstance(effect, SendTask) or effect.conditions is not None:
            continue
        if effect.task in record.tasks:
            continue  # a later ticket of its own
        if runs_on_here(engine, host, record, effect.task):
            return effect
    return None


def _claim_follower(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed, follower: SendTask
) -> Claimed | Disposition:
    number = claimed.record.plan.numbers[follower.task]
    attempt = new_attempt(
        engine, host, message.run_id, follower.task, number, follower.ticket, via=message.name
    )
    written = engine.store.write(claim(attempt, queued_at_ms=follower.queued_at_ms))
    if written.item is None:
        return Done()
    record = record_in(engine, written.item)
    mine = record.tasks.get(follower.task)
    if isinstance(written, Applied) or (mine is not None and mine.owner == attempt.owner):
        return replace(claimed, record=record, attempt=attempt)
    pay(engine, record, owed_to(record, message))
    return Done()


# ---------------------------------------------------------------- fenced, and telling


def _fenced(engine: Engine, host: Host, message: TaskMessage, claimed: Claimed) -> Disposition:
    """Our result counts for nothing. A cancelled run owes what its end owes; a run taken over is the other's business."""
    item = engine.store.get(run_key(message.run_id))
    if item is None:
        return Done()
    record = record_in(engine, item)
    if record.cancelled_at_ms is not None or was_cancelled(record, claimed.attempt.task):
        host.tell(TaskCancelled(workflow=record.plan.workflow, task=claimed.attempt.task))
        pay(engine, record, owed_to(record, message))
        return Done()
    host.tell(AttemptFenced(workflow=record.plan.workflow, task=claimed.attempt.task))
    return Later(0, f"another attempt took task {claimed.attempt.task} over")


def _tell_outcome(engine: Engine, host: Host, record: RunRecord, ran: Ran, claimed: Claimed) -> None:
    workflow, attempt = record.plan.workflow, claimed.attempt
    task = attempt.task
    log_ending(record, claimed.row, task, failure_of(ran.ending))
    if isinstance(ran.ending, TimedOut):
        host.tell(AttemptTimedOut(workflow=workflow, task=task))
    outcome = outcome_of(record.tasks[task].status)
    if outcome is not None:
        run_ms = engine.clock.now_ms() - attempt.now_ms
        host.tell(AttemptEnded(workflow=workflow, task=task, outcome=outcome, run_ms=run_ms))
