"""What follows from the states of a run's tasks: which are due, whether the run is over, its status as users see it."""

from __future__ import annotations

from headrace.core.run.derived.graph import states
from headrace.core.run.plans.plan import TaskKind
from headrace.core.run.record import SETTLED, RunRecord, RunStatus, TaskRow, TaskStatus


def ready(record: RunRecord) -> tuple[str, ...]:
    """Tasks that are due and have no row yet, in plan order."""
    return tuple(name for name, state in states(record).items() if state.ready)


def pending(record: RunRecord) -> tuple[str, ...]:
    """Tasks whose parents are done and that wait for time or for events, in plan order."""
    return tuple(name for name, state in states(record).items() if state.pending)


def made_pending_by(record: RunRecord, task: str) -> tuple[str, ...]:
    """The tasks that wait for time or for events since `task` was settled: its settlement owes that they are found by them."""
    row = record.tasks.get(task)
    if row is None or not row.settled or not record.plan.waits:
        return ()
    before = pending(record.with_row(task, TaskRow(status=TaskStatus.RUNNING)))
    return tuple(name for name in pending(record) if name not in before)


def made_ready_by(record: RunRecord, task: str) -> tuple[str, ...]:
    """The tasks that are ready now and were not before `task` was settled: its settlement owes their messages."""
    row = record.tasks.get(task)
    if row is None or not row.settled or len(record.plan.tasks) == 1:
        return ()
    if as_planned(record):
        children = record.plan.children.get(task, ())
        return tuple(name for name in children if _parents_completed(record, name))
    return tuple(name for name in ready(record) if _waited_for(record, name, task))


def as_planned(record: RunRecord) -> bool:
    """Whether nothing but rows settles a task of this run as it stands: no condition, no on-failure task, nothing cancelled, failed or
    skipped. Then a task without a row is ready once all its parents are COMPLETED, and waits until then."""
    known: bool | None = record.derived.get("as_planned")
    if known is None:
        plain = record.plan.plain and record.cancelled_at_ms is None
        known = plain and UNPLANNED.isdisjoint([row.status for row in record.tasks.values()])
        record.derived["as_planned"] = known
    return known


UNPLANNED = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED})
"""The statuses of a task from which follows what others are that have no row."""


def _parents_completed(record: RunRecord, name: str) -> bool:
    if name in record.tasks:
        return False
    for parent in record.plan.task(name).parents:
        row = record.tasks.get(parent)
        if row is None or row.status is not TaskStatus.COMPLETED:
            return False
    return True


def _waited_for(record: RunRecord, name: str, task: str) -> bool:
    """Whether a task that is ready was not while `task` was not settled: it is a parent, or a parent of parents that were skipped
    because of it and so have no row. What has a row was settled by itself. An on-failure task waits for all others."""
    todo = [record.plan.task(name)]
    if todo[0].kind is TaskKind.ON_FAILURE:
        return True
    seen: set[str] = set()
    while todo:
        parents = todo.pop().parents
        if task in parents:
            return True
        derived = [each for each in parents if each not in record.tasks and each not in seen]
        seen.update(derived)
        todo.extend(record.plan.task(each) for each in derived)
    return False


def finished(record: RunRecord) -> bool:
    """Whether every task of the run is settled."""
    if as_planned(record) and len(record.tasks) < len(record.plan.tasks):
        return False
    return all(state.settled for state in states(record).values())


def run_status(record: RunRecord) -> RunStatus:
    """The run's status: the aggregate of its tasks (PARITY, Statuses)."""
    found = states(record)
    kinds = [state.status for state in found.values()]
    if not all(kind in SETTLED for kind in kinds):
        begun = any(row.started_at_ms is not None for row in record.tasks.values())
        return RunStatus.RUNNING if begun else RunStatus.QUEUED
    normal = [s.status for name, s in found.items() if record.plan.task(name).kind is TaskKind.NORMAL]
    if TaskStatus.FAILED in normal:
        return RunStatus.FAILED
    return RunStatus.CANCELLED if TaskStatus.CANCELLED in normal else RunStatus.COMPLETED


def public_status(status: TaskStatus) -> RunStatus:
    """A task's status as users see it."""
    match status:
        case TaskStatus.WAITING | TaskStatus.QUEUED | TaskStatus.PARKED:
            return RunStatus.QUEUED
        case TaskStatus.RUNNING | TaskStatus.SUSPENDED:
            return RunStatus.RUNNING
        case TaskStatus.COMPLETED | TaskStatus.SKIPPED:
            return RunStatus.COMPLETED
        case TaskStatus.FAILED:
            return RunStatus.FAILED
        case TaskStatus.CANCELLED:
            return RunStatus.CANCELLED


def finished_at_ms(record: RunRecord) -> int | None:
    """When the last task settled; None while any is not."""
    found = states(record)
    if not all(state.settled for state in found.values()):
        return None
    return max([state.due_since_ms for state in found.values()], default=record.starts_at_ms)


def started_at_ms(record: RunRecord) -> int | None:
    """When the first task started; None before."""
    return min(
        [row.begun_at_ms for row in record.tasks.values() if row.begun_at_ms is not None], default=None
    )
