"""A message delivered: claim, run, commit, pay, and on with what became ready."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

from headrace.core.changes import Applied
from headrace.core.run.attempts.backoff import RetryIn, redelivery_s
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
from headrace.core.run.owed import owed_after, owed_to
from headrace.core.run.record import RunRecord
from headrace.core.run.transitions.cancel import was_cancelled
from headrace.core.run.transitions.claim import claim
from headrace.core.run.transitions.commit import Fenced, holds, retry_of
from headrace.core.run.transitions.fence import Attempt
from headrace.core.table import run_key
from headrace.core.values import replace
from headrace.engine.attempts.patience import patiently
from headrace.engine.attempts.ports import Disposition, Done, Host, Later, Poison, Raised, Succeeded
from headrace.engine.catalog.plans import message_in, record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.engine.runs.admission.admission import admit, hand_on, look_ahead
from headrace.engine.runs.attempt import Runner, Steps, driven, run, run_live
from headrace.engine.runs.claim import claim_message, new_attempt
from headrace.engine.runs.claimed import Claimed, Ran
from headrace.engine.runs.commit import commit, failure_of
from headrace.engine.runs.going_on import going_on_here, on_the_loop, riders_of, runs_on_here
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
    return (
        yield from _deliver(engine.acting_for(received, message.account), host, received, message, runner)
    )


def _deliver(
    engine: Engine, host: Host, received: Received, message: TaskMessage, runner: Runner
) -> Steps[Disposition]:
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
        step = look_ahead(engine, host, message) or claim_message(engine, host, received, message)
    while isinstance(step, Claimed):
        others = step.taken_over and len(step.record.plan.tasks) > 1
        step = yield from _chain(engine, host, message, step, runner)
        if others and isinstance(step, Done):  # of several that rode on the message one was taken over
            step = claim_message(engine, host, received, message)
    return _poison(engine, received, step.reason) if isinstance(step, Poison) else step


def _poison(engine: Engine, received: Received, reason: str) -> Poison:
    engine.queues.hide(received, 0)  # no use in waiting: on to the dead-letter queue
    return Poison(reason[:MAX_REASON_CHARS])


def _chain(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed, runner: Runner
) -> Steps[Disposition]:
    """Attempt after attempt, until nothing goes on here."""
    step: Sequence[Claimed] | Disposition = [claimed]
    left: Disposition = Done()
    while not isinstance(step, (Done, Later, Poison)):
        if len(step) == 1:
            step = yield from _advance(engine, host, message, step[0])
        else:
            step, ended = _together(engine, host, message, step, runner)
            left = left if isinstance(ended, Done) else ended
    return left if isinstance(step, Done) else step


def _together(
    engine: Engine, host: Host, message: TaskMessage, several: Sequence[Claimed], runner: Runner
) -> tuple[Sequence[Claimed] | Disposition, Disposition]:
    """Chains that go on side by side: what goes on from the last of them, and how the others ended. The message is done with once all have
    ended: until then it answers for each."""
    assert host.together is not None

    def branch(claimed: Claimed) -> Sequence[Claimed] | Disposition:
        return driven(_until_several(engine, host, message, claimed), runner)

    ends = host.together([partial(branch, claimed) for claimed in several])
    going_on = [claimed for end in ends if not isinstance(end, (Done, Later, Poison)) for claimed in end]
    left = next((end for end in ends if isinstance(end, (Later, Poison))), Done())
    return going_on or Done(), left


def _until_several(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed
) -> Steps[Sequence[Claimed] | Disposition]:
    """One of the chains that go on side by side, until it ends, or several go on from it."""
    step: Sequence[Claimed] | Disposition = [claimed]
    while not isinstance(step, (Done, Later, Poison)) and len(step) == 1:
        step = yield from _advance(engine, host, message, step[0])
    return step


def _advance(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed
) -> Steps[Sequence[Claimed] | Disposition]:
    """Admit, run, commit and pay one attempt; those that go on from it here, or what to do with the message."""
    admitted = admit(engine, host, message, claimed)
    if not isinstance(admitted, Claimed):
        return admitted
    if claimed.plan.batch is not None:
        from headrace.engine.runs.admission.batch import park_at_batch

        return park_at_batch(engine, claimed)
    attempt, row = claimed.attempt, claimed.record.tasks[claimed.attempt.task]
    host.tell(begun(claimed.record.plan.workflow, attempt, row))
    ran = yield from run(engine, host, claimed)
    riders = riders_of(engine, host, message, claimed, ran) or _retry_here(
        engine, host, message, claimed, ran
    )
    ran = _with_heir(engine, host, claimed, ran)
    done = patiently(engine, host, lambda: commit(engine, claimed, ran, then=riders))
    if ran.heir is not None and (isinstance(done, Fenced) or done.record.tasks[attempt.task].heir is None):
        engine.account.forget_heirs(f"{attempt.run_id}/{attempt.task}")
    if (
        ran.overstaying is not None
    ):  # after the commit, when no other attempt can have the places of its ticket
        patiently(engine, host, ran.overstaying.begin)
    if isinstance(done, Fenced):
        return _fenced(engine, host, message, claimed)
    _tell_outcome(engine, host, done.record, ran, claimed)
    owed = owed_after(done.record, attempt.task)
    going_on = [
        replace(claimed, record=done.record, attempt=rider, log=None, suspended=None)
        for rider in riders
        if holds(done.record, rider)
    ]
    followers = _followers(engine, host, message, done.record, owed, going_on)
    pay(engine, done.record, [effect for effect in owed if effect not in followers])
    if not followers:
        return going_on or Done()
    here = replace(claimed, record=done.record, log=None, suspended=None)
    if not going_on and len(followers) == 1:
        return _claim_follower(engine, host, message, here, followers[0])
    for follower in followers:
        step = _claim_follower(engine, host, message, here, follower)
        going_on += step if isinstance(step, list) else []
    return going_on or Done()


def _with_heir(engine: Engine, host: Host, claimed: Claimed, ran: Ran) -> Ran:
    """Where tasks wait for the place of one that has succeeded, its commit says which of them gets it."""
    if not engine.account.inside or not isinstance(ran.ending, Succeeded) or ran.overstaying is not None:
        return ran
    from headrace.engine.waits.heirs import name_heir

    task, ticket = claimed.attempt.task, claimed.attempt.ticket
    heir = patiently(engine, host, lambda: name_heir(engine, claimed.record, task, ticket))
    return ran if heir is None else replace(ran, heir=heir)


# ---------------------------------------------------------------- those that go on here


def _retry_here(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed, ran: Ran
) -> tuple[Attempt, ...]:
    """The claim of this task's next ticket, which goes into the commit that issues it: a retry that waits for nothing."""
    retryable = isinstance(ran.ending, TimedOut) or (isinstance(ran.ending, Raised) and ran.ending.retryable)
    if not retryable or ran.outlasted or host.stopping():
        return ()
    record, task = claimed.record, claimed.attempt.task
    if retry_of(record, task, retryable=True) != RetryIn(0):
        return ()
    if has_gates(engine, record, task) or not runs_on_here(engine, host, record, task):
        return ()
    number, ticket = claimed.attempt.number, claimed.row.ticket + 1
    return (new_attempt(engine, host, record.run_id, task, number, ticket, via=message.name),)


def _followers(
    engine: Engine,
    host: Host,
    message: TaskMessage,
    record: RunRecord,
    owed: Iterable[Effect],
    going_on: Sequence[Claimed],
) -> list[SendTask]:
    """Of the first messages owed, those that need not be sent because their tasks go on here, beside those that ride on the commit."""
    sends = {
        effect.task: effect
        for effect in owed
        if isinstance(effect, SendTask) and effect.conditions is None and effect.task not in record.tasks
    }
    riding = [each.attempt.task for each in going_on]
    if not sends or (riding and (host.together is None or not on_the_loop(host, record, riding))):
        return []
    here = going_on_here(engine, host, message, record, [*riding, *sends])
    return [send for task, send in sends.items() if task in here]


def _claim_follower(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed, follower: SendTask
) -> list[Claimed] | Done:
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
        return [replace(claimed, record=record, attempt=attempt)]
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
