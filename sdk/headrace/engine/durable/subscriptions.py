"""The subscriptions of a durable task's open operations to events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from headrace.core.durable.answers import (
    event_leaves,
)
from headrace.core.durable.encoding import decode_tail
from headrace.core.durable.log import Entry
from headrace.core.run.record import RunRecord
from headrace.engine.engine import Engine

if TYPE_CHECKING:
    from headrace.core.events.subscription import Subscription


def subscriptions_of(
    record: RunRecord, task: str, entries: Iterable[Entry], had: tuple[str, ...] = ()
) -> list[tuple[tuple[int, int], Subscription, int | None]]:
    """The subscriptions of the open operations, each with its (node, leaf) and since when earlier events count.
    `had`: see `Subscription`."""
    found = event_leaves(entries)
    if not found:
        return []
    from headrace.core.events.subscription import Subscription

    return [
        (
            (node, number),
            Subscription(
                run_id=record.run_id,
                task=task,
                node=node,
                leaf=number,
                event_key=leaf.event_key,
                scope=leaf.scope,
                expression=leaf.expression,
                had=had,
            ),
            leaf.since_ms,
        )
        for node, number, leaf in found
    ]


def arm(engine: Engine, record: RunRecord, task: str, entries: Iterable[Entry], had: tuple[str, ...]) -> None:
    """Put the subscriptions of the open operations; those that look back are satisfied by an earlier event at once."""
    wanted = subscriptions_of(record, task, entries, had)
    if not wanted:
        return
    from headrace.engine.events import subscriptions

    subscriptions.arm(engine, [each for _, each, _ in wanted])
    for _, subscription, since_ms in wanted:
        if since_ms is not None:
            subscriptions.look_back(engine, subscription, since_ms)


def disarm(engine: Engine, record: RunRecord, task: str, entries: Iterable[Entry]) -> None:
    """Take the subscriptions of operations away: they are answered, or the task is over."""
    wanted = [each for _, each, _ in subscriptions_of(record, task, entries)]
    if wanted:
        from headrace.engine.events import subscriptions

        subscriptions.disarm(engine, wanted)


def end_operations(engine: Engine, record: RunRecord, task: str) -> None:
    """A durable task is over: take the subscriptions of its open operations away."""
    disarm(engine, record, task, decode_tail(record.tasks[task].log).entries)
