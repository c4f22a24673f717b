"""What every task of a run is, as a function of the record alone.

A task without a row is judged by its parents: any FAILED or CANCELLED parent cancels it, all SKIPPED skip it, conditions
on parents were evaluated by the parents' commits. So a cascade of skips and cancels costs no write, and a join needs
no counter: of several parents that finish together exactly one sees, in the record after its own commit, that the
child is ready.
"""

from __future__ import annotations

from typing import TypeAlias

from headrace.core.run.plans.plan import Group, Groups, ParentLeaf, RunPlan, TaskKind, TaskPlan
from headrace.core.run.record import SETTLED, RunRecord, TaskRow, TaskStatus
from headrace.core.values import dataclass, replace


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
