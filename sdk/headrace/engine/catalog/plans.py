"""The plans of runs, by hash: written before the first run that names one, read by processes that have not met one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import overload

from headrace.core.changes import ITEM_MISSING, AtMost, Item, Put, either
from headrace.core.run.message import BadMessage, Message, decode_message
from headrace.core.run.plans.encoding import decode_plan_item, encode_plan_item, plan_hash
from headrace.core.run.plans.known import UnknownPlan, known_plan, remember_plan
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import RunRecord
from headrace.core.run.stored.record import record_of
from headrace.core.table import plan_key
from headrace.engine.engine import Engine
from headrace.errors import StoreUnavailable


def store_plans(engine: Engine, plans: Iterable[RunPlan]) -> None:
    """See that the item of each plan is there, and outlives the runs that start with it now.

    A process asks once a plan in the time that runs are kept: half a read unit, and a write where the plan is new or ageing.
    """
    for plan in {plan_hash(plan): plan for plan in plans}.values():
        if engine.plans.get(plan_hash(plan), 0) <= engine.clock.now_ms():
            _store(engine, plan)


def _store(engine: Engine, plan: RunPlan) -> None:
    kept_s, now_s = engine.limits.retention_s, engine.clock.now_ms() // 1000
    key = plan_key(remember_plan(plan))
    found = engine.store.get(key, consistent=False)
    expires_at_s = _int(found, "expires_at")
    if expires_at_s < now_s + 2 * kept_s:
        expires_at_s = now_s + 3 * kept_s
        older = either(ITEM_MISSING, AtMost(("expires_at",), expires_at_s))
        item: Item = {**encode_plan_item(plan, expires_at_s=expires_at_s)}
        engine.store.write(Put(key=key, item=item, require=older))
    engine.plans[plan_hash(plan)] = (expires_at_s - kept_s) * 1000


def _int(item: Item | None, name: str) -> int:
    value = item.get(name) if item is not None else None
    return value if isinstance(value, int) else 0


# ---------------------------------------------------------------- reading what names a plan


@overload
def record_in(engine: Engine, item: Item) -> RunRecord: ...
@overload
def record_in(engine: Engine, item: Item | None) -> RunRecord | None: ...
def record_in(engine: Engine, item: Item | None) -> RunRecord | None:
    """The record in an item, its plan read where this process has not met it."""
    if item is None:
        return None
    try:
        return record_of(item)
    except UnknownPlan as unknown:
        if not _learn(engine, unknown.hash):
            raise StoreUnavailable(
                f"the plan {unknown.hash} of a run is not in the table, where it outlives its runs"
            ) from None
        return record_of(item)


def message_in(engine: Engine, body: str) -> Message:
    """The message in a body, the plan of the run that it starts read where this process has not met it. BadMessage with the reason."""
    try:
        return decode_message(body)
    except UnknownPlan as unknown:
        if not _learn(engine, unknown.hash):
            raise BadMessage(f"it starts a run of plan {unknown.hash}, which is not in the table") from None
        return decode_message(body)


def _learn(engine: Engine, hash: str) -> bool:
    """Whether the plan is known now: it is one of the code at hand, which costs no request, or is in the table."""
    for plan in engine.own_plans():
        remember_plan(plan)
    try:
        known_plan(hash)
    except UnknownPlan:
        item = engine.store.get(plan_key(hash))
        if item is None:
            return False
        remember_plan(decode_plan_item(item))
    return True
