"""Admit a run by its idempotency key, before it is sent."""

from __future__ import annotations

from headrace.core.changes import Applied, Item
from headrace.core.run.derived.progress import finished
from headrace.core.run.idempotency import IdempotencyKey, hold, hold_name, starts_of
from headrace.core.run.record import RunRecord
from headrace.core.table import run_key
from headrace.engine.catalog.plans import record_in
from headrace.engine.catalog.workflows import published
from headrace.engine.engine import Engine
from headrace.engine.timers import send_at
from headrace.errors import IdempotencyCollisionError

MAX_TRIES = 5


def admit(
    engine: Engine,
    workflow: str,
    wanted: IdempotencyKey,
    run_id: str,
    starts: list[tuple[str, str]],
    due_ms: int | None = None,
) -> IdempotencyCollisionError | None:
    """Take the key for the run, or say which run holds it. A holder that never started is sent again on the way."""
    instead_of: str | None = None
    for _ in range(MAX_TRIES):
        now_ms = engine.clock.now_ms()
        written = engine.store.write(
            hold(workflow, wanted, run_id, starts, now_ms=now_ms, instead_of=instead_of, due_ms=due_ms)
        )
        if isinstance(written, Applied):
            return None
        if written.item is None:
            continue
        holder = str(written.item["run"])
        over = _is_over(engine, holder, written.item)
        if not (wanted.until_over and over):
            return IdempotencyCollisionError(holder)
        instead_of = holder
    return IdempotencyCollisionError(instead_of or run_id)


DAY_MS = 86_400_000
"""How long the key of a replayed run is held at most, where its workflow says nothing any more."""


def admit_again(engine: Engine, after: RunRecord, name: str, starts: list[tuple[str, str]]) -> None:
    """Take the key again that a run held until it was over. IdempotencyCollisionError where another run holds it."""
    found = published(engine, after.plan.workflow)
    rule = found.idempotency if found is not None else None
    instead_of: str | None = None
    for _ in range(MAX_TRIES):
        write = hold_name(
            name,
            rule.ttl_ms if rule is not None else DAY_MS,
            after.run_id,
            starts,
            now_ms=engine.clock.now_ms(),
            instead_of=instead_of,
            generation=after.generation_number,
        )
        written = engine.store.write(write)
        if isinstance(written, Applied):
            return
        if written.item is None:
            continue
        holder = str(written.item["run"])
        if not _is_over(engine, holder, written.item):
            raise IdempotencyCollisionError(holder)
        instead_of = holder
    raise IdempotencyCollisionError(instead_of or after.run_id)


def _is_over(engine: Engine, holder: str, key_item: Item) -> bool:
    """Whether the holding run is over and died before it released the key. If it never started, start it again."""
    item = engine.store.get(run_key(holder))
    if item is None:
        resend(engine, key_item)
        return False
    return finished(record_in(engine, item))


def resend(engine: Engine, key_item: Item) -> None:
    """Send the start of the run that holds the key: its client may have died before it did. Doubled, it is stale."""
    due = key_item.get("due")
    for worker, body in starts_of(key_item):
        send_at(engine, worker, due if isinstance(due, int) else 0, body)
