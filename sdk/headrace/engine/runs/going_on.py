"""Which tasks go on in the invocation of the one that ends: fused chains, and async siblings side by side.

Their claims ride on its commit, so that each costs no message and no write of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.core.points import WORKER_GATE
from headrace.core.run.derived.progress import as_planned, made_ready_by
from headrace.core.run.message import TaskMessage
from headrace.core.run.owed import worker_of
from headrace.core.run.record import Payload, RunRecord, TaskStatus
from headrace.core.run.transitions.claim import rides_on
from headrace.core.run.transitions.fence import Attempt
from headrace.core.values import replace
from headrace.engine.attempts.patience import INVOCATION_MARGIN_MS
from headrace.engine.attempts.ports import Host, Succeeded
from headrace.engine.engine import Engine
from headrace.engine.runs.claim import new_attempt
from headrace.engine.runs.claimed import Claimed, Ran

MOST_TOGETHER = 10
"""How many async tasks go on side by side in one invocation: more get messages, and so the processors of other ones."""


def going_on_here(
    engine: Engine, host: Host, message: TaskMessage, record: RunRecord, ready: Sequence[str]
) -> list[str]:
    """Of the tasks that are ready, those that go on in this invocation: the async ones, where those are several, the host runs them side
    by side, and nothing else of this message runs; else the first."""
    here = [task for task in ready if runs_on_here(engine, host, record, task)]
    if host.together is not None and len(here) > 1 and not rides_on(record, message, beside=ready):
        on_the_loop = [task for task in here if host.runnables[record.plan.workflow, task].is_async]
        if len(on_the_loop) > 1:
            return on_the_loop[:MOST_TOGETHER]
    return here[:1]


def riders_of(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed, ran: Ran
) -> tuple[Attempt, ...]:
    """The claims of only children of this task, which go into this task's commit."""
    if not isinstance(ran.ending, Succeeded) or len(claimed.record.plan.tasks) == 1:
        return ()
    record, task = claimed.record, claimed.attempt.task
    plan = record.plan
    only = [
        child
        for child in plan.children.get(task, ())
        if plan.task(child).parents == (task,) and child not in record.tasks
    ]
    if len(only) > 1 or (only and not as_planned(record)):
        record = _completed(claimed, ran)
        ready = made_ready_by(record, task)
        only = [child for child in only if child in ready]
    return tuple(
        new_attempt(
            engine,
            host,
            record.run_id,
            child,
            plan.numbers[child],
            record.first_ticket(child),
            via=message.name,
        )
        for child in going_on_here(engine, host, message, record, only)
    )


def _completed(claimed: Claimed, ran: Ran) -> RunRecord:
    """The record as the commit will leave it, but for the output."""
    row = replace(
        claimed.row,
        status=TaskStatus.COMPLETED,
        output=Payload(),
        met=ran.evaluated.met,
        broken=dict(ran.evaluated.broken),
    )
    return claimed.record.with_row(claimed.attempt.task, row)


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


def on_the_loop(host: Host, record: RunRecord, tasks: Iterable[str]) -> bool:
    return all(host.runnables[record.plan.workflow, task].is_async for task in tasks)
