"""A plan as text, and back: compact JSON in which what equals the default is left out.

A plan is an item of its own, written once and named by its hash in the records of its runs: so a run which started under one
deployment finishes under the next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, assert_never

from headrace.core.run.plans.plan import (
    BatchPlan,
    GatePlan,
    GateStrategy,
    Groups,
    Json,
    Leaf,
    ParentLeaf,
    PlannedEvent,
    PlannedSleep,
    RatePlan,
    RunPlan,
    TaskKind,
    TaskPlan,
)

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
