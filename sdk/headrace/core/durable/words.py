"""What a task waits for, in words, where that is time, events or child runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from headrace.core.durable.answers import waits
from headrace.core.durable.encoding import decode_tail
from headrace.core.durable.log import EventLeaf, Groups, Kind, Leaf
from headrace.core.run.plans.plan import ParentLeaf, PlannedEvent, PlannedSleep, TaskPlan


def operations_in_words(log: str | None) -> str:
    """The open operations of a durable log: `event order:paid (input.id == 'A') or 2026-11-26 02:00:00 UTC; 3 child runs`."""
    entries = [entry for entry in decode_tail(log).entries if waits(entry)]
    parts = [groups_in_words(entry.groups) for entry in entries if entry.kind is Kind.WAIT]
    children = sum(entry.kind is Kind.RUN for entry in entries)
    if children:
        parts.append("a child run" if children == 1 else f"{children} child runs")
    return "; ".join(parts) or "a durable operation"


def groups_in_words(groups: Groups) -> str:
    """What a durable wait is for: `event order:paid or 2026-11-26 02:00:00 UTC`; "" for no group."""
    return _all(" or ".join(_leaf(leaf) for leaf in group) for group in groups)


def _leaf(leaf: Leaf) -> str:
    if isinstance(leaf, EventLeaf):
        return _event(leaf.event_key, leaf.scope, leaf.expression)
    return _time(leaf.due_at_ms)


def conditions_in_words(plan: TaskPlan, since_ms: int) -> str:
    """What a task of a workflow waits for whose parents are done: the groups of its `wait_for`, then what skips or cancels it."""
    out: list[str] = []
    for groups, action in (
        (plan.wait_for, ""),
        (plan.skip_if, "skipped by "),
        (plan.cancel_if, "cancelled by "),
    ):
        if groups:
            alternatives = (
                " or ".join(found for leaf in group if (found := _planned(leaf, since_ms)))
                for group in groups
            )
            out.append(action + _all(text for text in alternatives if text))
    return "; ".join(out)


def _planned(leaf: ParentLeaf | PlannedSleep | PlannedEvent, since_ms: int) -> str:
    match leaf:
        case PlannedEvent():
            return _event(leaf.event_key, leaf.scope, leaf.expression)
        case PlannedSleep():
            return _time(since_ms + leaf.duration_ms)
        case ParentLeaf():
            return ""  # it is known by now


def _event(key: str, scope: str | None, expression: str | None) -> str:
    where = f" of scope {scope}" if scope is not None else ""
    return f"event {key}{where}" + (f" ({expression})" if expression else "")


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _all(texts: Iterable[str]) -> str:
    return ", and ".join(texts)
