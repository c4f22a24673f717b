"""The plan of a run: its tasks, their parents, conditions and limits."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TypeAlias

from headrace.core.values import dataclass

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class TaskKind(StrEnum):
    NORMAL = "normal"
    ON_FAILURE = "on_failure"  # runs once all others are settled, if any of them FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentLeaf:
    """A condition on the output of a parent: a CEL expression over `output`, or none for "it completed".

    `number` is its place in the plan: the parent's commit evaluates it and stores the numbers that hold.
    """

    number: int
    parent: str
    expression: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSleep:
    """True `duration_ms` after the task's parents are done. `key` names it in the task's trigger data."""

    number: int
    key: str
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEvent:
    """True once an event of `event_key` (of `scope`, for which the CEL `expression` holds) comes after the task's parents are done.

    `since_ms`: one of that scope that came from then on counts too. `key` names its payload in the task's trigger data.
    """

    number: int
    key: str
    event_key: str
    expression: str | None = None
    scope: str | None = None
    since_ms: int | None = None


Leaf: TypeAlias = ParentLeaf | PlannedSleep | PlannedEvent
Group: TypeAlias = tuple[Leaf, ...]  # any of these
Groups: TypeAlias = tuple[Group, ...]  # all of those


class GateStrategy(StrEnum):
    GROUP_ROUND_ROBIN = "rr"
    CANCEL_IN_PROGRESS = "cip"
    CANCEL_NEWEST = "cn"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """A concurrency limit: `max_runs` at once for each value of the CEL `expression`; `name` tells gates apart."""

    name: str
    expression: str
    max_runs: int
    strategy: GateStrategy = GateStrategy.GROUP_ROUND_ROBIN


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePlan:
    """A rate limit: `units` (a number or CEL) of `limit` (a number or CEL; static keys look theirs up) a window."""

    key: str
    dynamic: bool = False
    units: str = "1"
    limit: str | None = None
    window_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """A batch task: up to `max_size` runs with the same value of the CEL `key` are one call, `interval_ms` after the first at the latest
    (None: when that one could not wait any longer). `max_runs`: how many batches of a key run at once."""

    max_size: int
    interval_ms: int | None = None
    key: str | None = None
    max_runs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """What the engine must know of a task. Durations in milliseconds; defaults are Hatchet's (PARITY A3)."""

    name: str
    worker: str = "default"
    kind: TaskKind = TaskKind.NORMAL
    parents: tuple[str, ...] = ()
    retries: int = 0
    backoff_factor: float | None = None
    backoff_max_s: int | None = None
    retry_jitter: float | None = None
    execution_timeout_ms: int = 60_000
    schedule_timeout_ms: int = 300_000
    isolated: bool = False
    wait_for: Groups = ()
    skip_if: Groups = ()
    cancel_if: Groups = ()
    gates: tuple[GatePlan, ...] = ()
    rates: tuple[RatePlan, ...] = ()
    slot_cost: int = 1
    batch: BatchPlan | None = None

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        groups = (*self.wait_for, *self.skip_if, *self.cancel_if)
        return tuple(leaf for group in groups for leaf in group)

    @property
    def parent_leaves(self) -> tuple[ParentLeaf, ...]:
        """The conditions that the parents' commits evaluate."""
        return tuple(leaf for leaf in self.leaves if isinstance(leaf, ParentLeaf))

    @property
    def waits(self) -> bool:
        """Whether it may wait for time or for events once its parents are done."""
        return any(not isinstance(leaf, ParentLeaf) for leaf in self.leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The tasks of a workflow in an order in which parents come first, and the gates that hold the whole run."""

    workflow: str
    tasks: tuple[TaskPlan, ...]
    version: str = ""
    gates: tuple[GatePlan, ...] = ()
    standalone: bool = False
    sticky: str = ""
    by_name: dict[str, TaskPlan] = field(init=False, repr=False, compare=False)
    numbers: dict[str, int] = field(init=False, repr=False, compare=False)  # each task's place in the plan
    leaves_by_parent: dict[str, tuple[ParentLeaf, ...]] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    children: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)  # in plan order
    waits: bool = field(
        init=False, repr=False, compare=False
    )  # whether any task waits for time or for events
    plain: bool = field(init=False, repr=False, compare=False)  # no conditions and no on-failure task
    text: str = field(default="", init=False, repr=False, compare=False)  # its encoding, once it was made
    hash: str = field(default="", init=False, repr=False, compare=False)  # see `plan_hash`

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {task.name: task for task in self.tasks})
        object.__setattr__(self, "numbers", {task.name: number for number, task in enumerate(self.tasks)})
        children: dict[str, list[str]] = {}
        for task in self.tasks:
            for parent in dict.fromkeys(task.parents):
                children.setdefault(parent, []).append(task.name)
        object.__setattr__(self, "children", {name: tuple(each) for name, each in children.items()})
        object.__setattr__(self, "waits", any(task.waits for task in self.tasks))
        plain = all(task.kind is TaskKind.NORMAL and not task.leaves for task in self.tasks)
        object.__setattr__(self, "plain", plain)

    def task(self, name: str) -> TaskPlan:
        """The task of that name; KeyError if the plan has none."""
        return self.by_name[name]

    def leaves_on(self, parent: str) -> tuple[ParentLeaf, ...]:
        """The conditions that the commit of `parent` must evaluate."""
        if self.leaves_by_parent is None:
            found: dict[str, list[ParentLeaf]] = {}
            for leaf in (leaf for task in self.tasks for leaf in task.parent_leaves):
                found.setdefault(leaf.parent, []).append(leaf)
            leaves = {name: tuple(each) for name, each in found.items()}
            object.__setattr__(self, "leaves_by_parent", leaves)
            return leaves.get(parent, ())
        return self.leaves_by_parent.get(parent, ())
