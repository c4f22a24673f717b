"""Call the code of a batch once for all of its members, under the batch's lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.core.changes import Applied
from headrace.core.run.record import ErrorInfo
from headrace.core.waits import batch
from headrace.engine.attempts.patience import INVOCATION_MARGIN_MS, patiently
from headrace.engine.attempts.ports import Host, Raised
from headrace.engine.engine import Engine
from headrace.engine.runs.attempt import Runner, work_of
from headrace.engine.runs.batches.commit import commit_all
from headrace.engine.runs.batches.lease import Taken
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.telling import begun
from headrace.runtime.control import LiveControl
from headrace.telemetry import tracing

if TYPE_CHECKING:
    from headrace.ports import Received


def call_once(engine: Engine, host: Host, taken: Taken, members: Sequence[Claimed], runner: Runner) -> bool:
    """Call the code once for all members, and commit each. False: the lease was lost."""
    ceiling_s = (host.time_left_ms() - INVOCATION_MARGIN_MS) / 1000
    control = LiveControl(
        engine,
        members[0].record,
        members[0].attempt,
        limit_s=members[0].plan.execution_timeout_ms / 1000,
        ceiling_s=ceiling_s,
    )
    first = replace(
        members[0],
        keep_lease=lambda control: _keep(engine, taken, members[0].received, control),
        on_timeout=lambda timed_out: commit_all(engine, host, taken, members, timed_out, control.notes),
    )
    for each in members:
        host.tell(begun(each.record.plan.workflow, each.attempt, each.row))
    runnable = host.runnables.get((first.record.plan.workflow, first.attempt.task))
    if runnable is None:
        error = ErrorInfo(
            type="UnknownTaskError",
            message=f"worker {host.worker} has no task {first.attempt.task} of workflow "
            f"{first.record.plan.workflow}: its code is not deployed there",
        )
        return commit_all(engine, host, taken, members, Raised(error, retryable=False))
    works = tuple(work_of(engine, each, control) for each in members)
    span = None
    if tracing.installed is not None:
        from headrace.engine.runs.traced import begin

        span, host = begin(tracing.installed, host, [(c.record, c.attempt.task) for c in members])
    ending = runner(engine, host, first, control, runnable, replace(works[0], members=works))
    control.flush()
    if span is not None:
        from headrace.engine.runs.traced import end

        end(span, ending)
    if not commit_all(engine, host, taken, members, ending, control.notes):
        return False
    return not control.running.lives or _outlasted(engine, host, taken, members[0].received, control)


def _outlasted(engine: Engine, host: Host, taken: Taken, received: Received, control: LiveControl) -> bool:
    """The members have ended and the code has not. Where so many batches of the line may run, this one counts until it ends: its lease
    is kept for as long as this host has the time. Whether the batch may be forgotten."""
    host.left_behind(control.running)
    while taken.limited and not control.running.wait(engine.limits.beat_every_s):
        if host.stopping() or host.time_left_ms() < INVOCATION_MARGIN_MS:
            return False
        if not patiently(engine, host, lambda: _keep(engine, taken, received, control)):
            return False
    return True


def _keep(engine: Engine, taken: Taken, received: Received, control: LiveControl) -> bool:
    """Keep the batch's lease and its message. False: another delivery has taken it over, and its control was told so."""
    lease_s = engine.limits.lease_s
    until_ms = engine.clock.now_ms() + int(lease_s * 1000)
    message = taken.message
    write = batch.keep(message.line, message.number, owner=taken.owner, lease_until_ms=until_ms)
    if not isinstance(engine.store.write(write), Applied):
        control.tell_cancelled()
        return False
    engine.queues.hide(received, int(lease_s))
    control.flush()
    return True
