"""What every task of a run is, as a function of the record alone.

A task without a row is judged by its parents: any FAILED or CANCELLED parent cancels it, all SKIPPED skip it, conditions
on parents were evaluated by the parents' commits. So a cascade of skips and cancels costs no write, and a join needs
no counter: of several parents that finish together exactly one sees, in the record after its own commit, that the
child is ready.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from headrace.core.run.plans.plan import Group, Groups, ParentLeaf, RunPlan, TaskKind, TaskPlan
from headrace.core.run.record import SETTLED, RunRecord, RunStatus, TaskRow, TaskStatus
from headrace.core.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task as it stands. `ready`: due now with no row yet, so a message is owed for its first ticket.

    `pending`: its parents are done, and what it does next hangs on time or on events: `core.waits.conditions`.
    """

    status: TaskStatus
    row: TaskRow | None = None
    ready: bool = False
    pending: bool = False
    reason: str | None = None  # why it was cancelled, skipped or failed without having run
    due_since_ms: int = 0  # when it became due, or settled without running

    @property
    def settled(self) -> bool:
        return self.status in SETTLED


States: TypeAlias = dict[str, TaskState]

WAITING = TaskState(status=TaskStatus.WAITING)
"""What every task is whose parents are not settled."""

LOST = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED})
"""The statuses of a task that cancel its children."""


def states(record: RunRecord) -> States:
    """Every task of the run, by name, in plan order. A not-needed on-failure task is left out. Computed once a record."""
    known: States | None = record.derived.get("states")
    if known is None:
        known = record.derived["states"] = _states(record)
    return known


def state_of(record: RunRecord, task: str) -> TaskState | None:
    """The state of one task, as `states` has it, without that of every other: of a large graph it looks no further than the nearest
    ancestors that have a row. None: the run does not need it."""
    known: States | None = record.derived.get("states")
    if known is not None or record.plan.task(task).kind is not TaskKind.NORMAL:
        return states(record).get(task)
    some: States = record.derived.setdefault("some", {})
    for each in _underived(record, task, some):
        some[each.name] = _state(record, each, some)
    return some[task]


def _underived(record: RunRecord, task: str, some: States) -> list[TaskPlan]:
    """The task and those of its ancestors that its state follows from and that are not in `some` yet, parents first."""
    found: dict[int, TaskPlan] = {}
    todo = [task]
    while todo:
        name = todo.pop()
        number = record.plan.numbers[name]
        if name in some or number in found:
            continue
        found[number] = record.plan.tasks[number]
        if name not in record.tasks:
            todo.extend(found[number].parents)
    return [found[number] for number in sorted(found)]


def _state(record: RunRecord, task: TaskPlan, known: States) -> TaskState:
    """The state of a task of kind NORMAL, those of its parents being known, where it has no row."""
    row = record.tasks.get(task.name)
    if row is not None:
        return _of_row(record, row)
    if record.cancelled_at_ms is not None:
        return _cancelled_run(record)
    found = [known[name].status for name in task.parents]
    if LOST.isdisjoint(found) and not SETTLED.issuperset(found):
        return WAITING
    return _by_parents(record, task, known)


def _states(record: RunRecord) -> States:
    """`open` and `lost` are the names of the tasks so far that are not settled, and of those that take their children with them."""
    known: States = {}
    open: set[str] = set()
    lost: set[str] = set()
    for task in record.plan.tasks:
        name, row = task.name, record.tasks.get(task.name)
        if row is not None:
            state = _of_row(record, row)
        elif task.kind is not TaskKind.NORMAL:
            continue
        elif record.cancelled_at_ms is not None:
            state = _cancelled_run(record)
        elif open and lost.isdisjoint(task.parents) and not open.isdisjoint(task.parents):
            state = WAITING
        else:
            state = _by_parents(record, task, known)
        known[name] = state
        if state.status not in SETTLED:
            open.add(name)
        elif state.status in LOST:
            lost.add(name)
    for task in record.plan.tasks:
        if task.kind is TaskKind.ON_FAILURE and task.name not in known:
            on_failure = _on_failure(record, known)
            if on_failure is not None:
                known[task.name] = on_failure
    return known


def _of_row(record: RunRecord, row: TaskRow) -> TaskState:
    if record.cancelled_at_ms is not None and not row.settled:
        return replace(_cancelled_run(record), row=row)
    since = (
        row.finished_at_ms or row.due_at_ms or row.queued_at_ms or row.started_at_ms or record.starts_at_ms
    )
    return TaskState(status=row.status, row=row, due_since_ms=since)


def _cancelled_run(record: RunRecord) -> TaskState:
    """A task that was not settled when its run was cancelled."""
    since = record.cancelled_at_ms or record.starts_at_ms
    return TaskState(status=TaskStatus.CANCELLED, reason=record.cancel_reason, due_since_ms=since)


def _by_parents(record: RunRecord, task: TaskPlan, known: States) -> TaskState:
    parents = {name: known[name] for name in task.parents}
    since = max([state.due_since_ms for state in parents.values()], default=record.starts_at_ms)
    if record.generation is not None:
        since = max(since, record.starts_at_ms)  # its parents may have ended in an earlier generation
    for name, state in parents.items():
        if state.status in LOST:
            return TaskState(
                status=TaskStatus.CANCELLED,
                reason=f"its parent {name} was {state.status.value}",
                due_since_ms=since,
            )
    return replace(_by_conditions(record, task, parents), due_since_ms=since)


def _by_conditions(record: RunRecord, task: TaskPlan, parents: States) -> TaskState:
    why = _broken(record, task)
    if why is not None:
        return TaskState(status=TaskStatus.FAILED, reason=why)
    all_skipped = bool(parents) and all(state.status is TaskStatus.SKIPPED for state in parents.values())
    if all_skipped and not task.skip_if:
        return TaskState(status=TaskStatus.SKIPPED, reason="all its parents were skipped")
    if task.skip_if and _met(record, task.skip_if, known=parents):
        return TaskState(status=TaskStatus.SKIPPED, reason=SKIP_IF_HOLDS)
    if task.cancel_if and _met(record, task.cancel_if, known=parents):
        return TaskState(status=TaskStatus.CANCELLED, reason=CANCEL_IF_HOLDS)
    met = _met(record, task.wait_for, known=parents)
    if met is None:
        return TaskState(status=TaskStatus.WAITING, pending=True)
    if not met:
        return TaskState(status=TaskStatus.SKIPPED, reason="wait_for can no longer hold")
    return TaskState(status=TaskStatus.QUEUED, ready=True)


SKIP_IF_HOLDS = "skip_if holds"
CANCEL_IF_HOLDS = "cancel_if holds"


def _broken(record: RunRecord, task: TaskPlan) -> str | None:
    for leaf in task.parent_leaves:
        row = record.tasks.get(leaf.parent)
        if row is not None and leaf.number in row.broken:
            return f"condition {leaf.expression!r} on {leaf.parent} could not be evaluated: {row.broken[leaf.number]}"
    return None


def _met(record: RunRecord, groups: Groups, *, known: States) -> bool | None:
    """Whether all groups hold, by what the record knows; None: time or an event will tell."""
    found = [_group_met(record, group, known) for group in groups]
    if False in found:
        return False
    return None if None in found else True


def _group_met(record: RunRecord, group: Group, known: States) -> bool | None:
    if any(isinstance(leaf, ParentLeaf) and leaf_met(record, leaf, known) for leaf in group):
        return True
    return False if all(isinstance(leaf, ParentLeaf) for leaf in group) else None


def leaf_met(record: RunRecord, leaf: ParentLeaf, known: States) -> bool:
    """Whether a condition on a parent holds; all parents are settled."""
    if leaf.expression is None:
        return leaf.parent in known  # it is a parent, and all parents are settled here
    row = record.tasks.get(leaf.parent)
    return row is not None and leaf.number in row.met


def _on_failure(record: RunRecord, known: States) -> TaskState | None:
    normal = [state for name, state in known.items() if record.plan.task(name).kind is TaskKind.NORMAL]
    failed = any(state.status is TaskStatus.FAILED for state in normal)
    if not failed:
        return None
    since = max(state.due_since_ms for state in normal)
    if not all(state.settled for state in normal):
        return TaskState(status=TaskStatus.WAITING)
    if record.cancelled_at_ms is not None:
        return _cancelled_run(record)
    return TaskState(status=TaskStatus.QUEUED, ready=True, due_since_ms=since)


# ---------------------------------------------------------------- what follows from it


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
    if _as_planned(record):
        children = record.plan.children.get(task, ())
        return tuple(name for name in children if _parents_completed(record, name))
    return tuple(name for name in ready(record) if _waited_for(record, name, task))


def _as_planned(record: RunRecord) -> bool:
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
    if _as_planned(record) and len(record.tasks) < len(record.plan.tasks):
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
        [row.started_at_ms for row in record.tasks.values() if row.started_at_ms is not None], default=None
    )


def ancestors(plan: RunPlan, task: str) -> frozenset[str]:
    """Every task that `task` depends on, near or far."""
    seen: set[str] = set()
    todo = list(plan.task(task).parents)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(plan.task(name).parents)
    return frozenset(seen)
