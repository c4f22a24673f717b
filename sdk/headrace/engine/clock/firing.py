"""The messages by which crons, scheduled and debounced runs fire: to a worker of their workflow, exactly delayed."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.core.run.message import FireMessage, encode_firing
from headrace.engine.catalog.workflows import published
from headrace.engine.engine import Engine
from headrace.engine.timers import set_timer
from headrace.ports import MAX_DELAY_S, Outgoing


def worker_for(engine: Engine, workflow: str, known: str = "") -> str:
    """The worker whose queue takes the firings of a workflow: its first task's, by what is published; else the one that was known when
    it was made."""
    found = published(engine, workflow)
    return found.plan.tasks[0].worker if found is not None else known


def send_firings(engine: Engine, worker: str, firings: Iterable[FireMessage]) -> int:
    """Send each at its time: by SQS's delay (whole seconds, never early), or by a timer where that is longer than SQS can delay."""
    now_ms = engine.clock.now_ms()
    soon: list[Outgoing] = []
    for firing in firings:
        delay_s = max(0, -(-(firing.due_ms - now_ms) // 1000))
        body = encode_firing(firing)
        if delay_s <= MAX_DELAY_S or not set_timer(engine, worker, firing.due_ms, body):
            soon.append(Outgoing(body=body, delay_s=min(delay_s, MAX_DELAY_S)))
    if soon:
        engine.queues.send(worker, soon)
    return len(soon)
