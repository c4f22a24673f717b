"""The plan of a run: its tasks, their parents and limits, as the record carries them.

A plan is an item of its own, written once and named by its hash in the records of its runs: so a run which started under one
deployment finishes under the next. Its encoding is compact JSON: what equals the default is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeAlias, assert_never

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


# ---------------------------------------------------------------- encoding

_DEFAULTS = {f.name: f.default for f in fields(TaskPlan)}
_SHORT = {
    "name": "n", "worker": "w", "kind": "k", "parents": "p", "retries": "r", "backoff_factor": "bf",
    "backoff_max_s": "bm", "retry_jitter": "rj", "execution_timeout_ms": "et", "schedule_timeout_ms": "st", "isolated": "i",
    "slot_cost": "sc",
}  # fmt: skip
_GROUPS = {"wait_for": "wf", "skip_if": "si", "cancel_if": "ci"}


def _encode_task(task: TaskPlan, place: dict[str, int], usual_worker: str) -> Json:
    out: dict[str, Json] = {}
    for name, short in _SHORT.items():
        value = getattr(task, name)
        if name == "parents":
            if value:
                out[short] = [place[parent] for parent in value]
        elif name == "worker":
            if value != usual_worker:
                out[short] = value
        elif value != _DEFAULTS[name]:
            out[short] = value
    for name, short in _GROUPS.items():
        groups: Groups = getattr(task, name)
        if groups:
            out[short] = [[_encode_leaf(leaf, place) for leaf in group] for group in groups]
    if task.gates:
        out["g"] = [_encode_gate(gate) for gate in task.gates]
    if task.rates:
        out["rl"] = [[r.key, r.dynamic, r.units, r.limit, r.window_s] for r in task.rates]
    if task.batch is not None:
        out["b"] = [task.batch.max_size, task.batch.interval_ms, task.batch.key, task.batch.max_runs]
    return out


def _encode_leaf(leaf: Leaf, place: dict[str, int]) -> Json:
    match leaf:
        case ParentLeaf():
            return [leaf.number, place[leaf.parent], leaf.expression]
        case PlannedSleep():
            return [leaf.number, "s", leaf.key, leaf.duration_ms]
        case PlannedEvent():
            return [leaf.number, "e", leaf.key, leaf.event_key, leaf.expression, leaf.scope, leaf.since_ms]
        case _:
            assert_never(leaf)


def _encode_gate(gate: GatePlan) -> Json:
    return [gate.name, gate.expression, gate.max_runs, gate.strategy.value]


def encode_plan(plan: RunPlan) -> str:
    """Compact JSON; `decode_plan` gives the same plan back."""
    if plan.text:
        return plan.text
    place = {task.name: index for index, task in enumerate(plan.tasks)}
    usual_worker = plan.tasks[0].worker if plan.tasks else ""
    out: dict[str, Json] = {"t": [_encode_task(task, place, usual_worker) for task in plan.tasks]}
    if usual_worker != _DEFAULTS["worker"]:
        out["w"] = usual_worker
    if plan.gates:
        out["g"] = [_encode_gate(gate) for gate in plan.gates]
    if plan.standalone:
        out["s"] = 1
    if plan.sticky:
        out["y"] = plan.sticky
    text = json.dumps(out, separators=(",", ":"), ensure_ascii=False)
    object.__setattr__(plan, "text", text)
    return text


def plan_version(plan: RunPlan) -> str:
    """A short hash of what the plan says: the version of a workflow that names none."""
    return hashlib.sha256(encode_plan(plan).encode()).hexdigest()[:8]


def plan_hash(plan: RunPlan) -> str:
    """What a run's record names its plan by: a hash of all that the plan says."""
    if not plan.hash:
        text = f"{plan.workflow}\n{plan.version}\n{encode_plan(plan)}"
        object.__setattr__(plan, "hash", hashlib.sha256(text.encode()).hexdigest()[:16])
    return plan.hash


# ---------------------------------------------------------------- by hash


class UnknownPlan(Exception):
    """This process does not know the plan of that hash (yet): it is to be read from the table."""

    def __init__(self, hash: str) -> None:
        super().__init__(hash)
        self.hash = hash


_KNOWN: dict[str, RunPlan] = {}
"""The plans that this process has met, by hash. As a hash stands for one plan for ever, this changes no result, only what is read."""

MOST_KNOWN = 2_000


def remember_plan(plan: RunPlan) -> str:
    """The plan's hash; from here on `known_plan` gives the plan for it."""
    name = plan_hash(plan)
    if name not in _KNOWN:
        if len(_KNOWN) >= MOST_KNOWN:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[name] = plan
    return name


def known_plan(hash: str) -> RunPlan:
    """The plan of that hash. UnknownPlan where this process has not met it."""
    try:
        return _KNOWN[hash]
    except KeyError:
        raise UnknownPlan(hash) from None


def forget_plans() -> None:
    """As a process that has just begun."""
    _KNOWN.clear()


def encode_plan_item(plan: RunPlan, *, expires_at_s: int) -> dict[str, str | int]:
    """The plan as an item of its own."""
    return {
        "wf": plan.workflow,
        "ver": plan.version,
        "plan": encode_plan(plan),
        "expires_at": expires_at_s,
    }


def decode_plan_item(item: Mapping[str, Any]) -> RunPlan:
    """The plan that `encode_plan_item` wrote. KeyError or ValueError where the item is none."""
    return decode_plan(item["wf"], item["ver"], item["plan"])


# ---------------------------------------------------------------- decoding


def _decode_groups(raw: list[list[list[Any]]], names: list[str]) -> Groups:
    return tuple(tuple(_decode_leaf(leaf, names) for leaf in group) for group in raw)


def _decode_leaf(raw: list[Any], names: list[str]) -> Leaf:
    match raw:
        case [number, "s", key, duration_ms]:
            return PlannedSleep(number=number, key=key, duration_ms=duration_ms)
        case [number, "e", key, event_key, expression, scope, since_ms]:
            return PlannedEvent(
                number=number,
                key=key,
                event_key=event_key,
                expression=expression,
                scope=scope,
                since_ms=since_ms,
            )
        case _:
            number, parent, expression = raw
            return ParentLeaf(number=number, parent=names[parent], expression=expression)


def _decode_batch(raw: tuple[int, int | None, str | None, int | None] | None) -> BatchPlan | None:
    if raw is None:
        return None
    size, interval_ms, key, runs = raw
    return BatchPlan(max_size=size, interval_ms=interval_ms, key=key, max_runs=runs)


def _decode_gates(raw: Iterable[tuple[str, str, int, str]]) -> tuple[GatePlan, ...]:
    return tuple(GatePlan(name=n, expression=e, max_runs=m, strategy=GateStrategy(s)) for n, e, m, s in raw)


@lru_cache(maxsize=256)
def decode_plan(workflow: str, version: str, text: str) -> RunPlan:
    """The plan that `encode_plan` wrote. ValueError / KeyError where the text is none."""
    raw = json.loads(text)
    names = [task["n"] for task in raw["t"]]
    tasks = []
    for entry in raw["t"]:
        plain: dict[str, Any] = {
            name: entry[short]
            for name, short in _SHORT.items()
            if short in entry and name not in ("parents", "kind")
        }
        plain.setdefault("worker", raw.get("w", _DEFAULTS["worker"]))
        plain |= {
            name: _decode_groups(entry[short], names) for name, short in _GROUPS.items() if short in entry
        }
        tasks.append(
            TaskPlan(
                **plain,
                kind=TaskKind(entry.get("k", "normal")),
                parents=tuple(names[index] for index in entry.get("p", ())),
                gates=_decode_gates(entry.get("g", ())),
                rates=tuple(
                    RatePlan(key=k, dynamic=d, units=u, limit=m, window_s=w)
                    for k, d, u, m, w in entry.get("rl", ())
                ),
                batch=_decode_batch(entry.get("b")),
            )
        )
    return RunPlan(
        workflow=workflow,
        version=version,
        tasks=tuple(tasks),
        gates=_decode_gates(raw.get("g", ())),
        standalone=bool(raw.get("s")),
        sticky=raw.get("y", ""),
    )
