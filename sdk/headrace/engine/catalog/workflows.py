"""The workflows of a stack by name, for those who trigger without the code at hand."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.core.changes import Item, Key, Put
from headrace.core.run.plan import RunPlan, decode_plan, encode_plan
from headrace.engine.engine import Engine


def _key(workflow: str) -> Key:
    return Key(f"workflow#{workflow}", "plan")


def register(engine: Engine, plans: Iterable[RunPlan]) -> int:
    """Store each plan that is new or has changed; returns how many were written."""
    wanted = list(plans)
    found = engine.store.get_many([_key(plan.workflow) for plan in wanted])
    changed = [plan for plan, item in zip(wanted, found, strict=True) if not _same(plan, item)]
    for plan in changed:
        engine.store.write(
            Put(key=_key(plan.workflow), item={"plan": encode_plan(plan), "ver": plan.version})
        )
    return len(changed)


def _same(plan: RunPlan, item: Item | None) -> bool:
    return item is not None and item.get("plan") == encode_plan(plan) and item.get("ver") == plan.version


def lookup(engine: Engine, workflow: str) -> RunPlan | None:
    """The plan of a workflow as its worker registered it; None if none did."""
    item = engine.store.get(_key(workflow))
    if item is None:
        return None
    return decode_plan(workflow, str(item["ver"]), str(item["plan"]))
