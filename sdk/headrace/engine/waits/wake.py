"""Wake who waits: a message for the ticket of a waiter. Nothing is handed over, so one that is lost or doubled loses nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.table import WAIT
from headrace.core.waits.line import Waiter, decode_waiter
from headrace.engine.engine import Engine
from headrace.ports import Outgoing


def heads(engine: Engine, gate: str, *, limit: int | None = None) -> list[Waiter]:
    """The waiters at a gate in the order of admission: one query."""
    return [decode_waiter(item) for item in engine.store.query(gate, prefix=WAIT, limit=limit)]


def fitting(waiters: Sequence[Waiter], room: int) -> list[Waiter]:
    """Those at the head that fit in together. One that does not fit is not overtaken."""
    out: list[Waiter] = []
    for waiter in waiters:
        if waiter.cost > room:
            break
        room -= waiter.cost
        out.append(waiter)
    return out


def wake(engine: Engine, waiters: Sequence[Waiter]) -> None:
    """Send each its message."""
    by_worker: dict[str, list[Outgoing]] = defaultdict(list)
    for waiter in waiters:
        body = encode_message(message_of(waiter))
        by_worker[waiter.worker].append(Outgoing(body=body, group=waiter.group or None))
    for worker, messages in by_worker.items():
        engine.queues.send(worker, messages)


def message_of(waiter: Waiter) -> TaskMessage:
    return TaskMessage(
        run_id=waiter.run_id,
        task=waiter.task,
        ticket=waiter.ticket,
        queued_at_ms=waiter.queued_at_ms,
        start_by_ms=waiter.start_by_ms,
        place=(waiter.gate, waiter.sk),
        wishes=waiter.wishes or None,
    )
