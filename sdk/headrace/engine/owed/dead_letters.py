"""What was given up for what became of its workers or its message: kept until it is redriven, or as long as a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from headrace.core.changes import ITEM_MISSING, Delete, Item, Put
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord
from headrace.core.table import DEAD_LETTERS, dead_letter_key
from headrace.core.values import dataclass
from headrace.engine.engine import Engine
from headrace.ports import MAX_ITEM_BYTES, Outgoing, Received

KEPT_BYTES = MAX_ITEM_BYTES - 4096
"""A larger body is not kept: nothing can be made of it, and its reason says what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadTask:
    """A task of a run that is FAILED because its workers were lost, or its message was delivered too often."""

    id: str
    at_ms: int
    reason: str
    run_id: str
    task: str
    workflow: str
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMessage:
    """A message that names no run. `queue`: the worker whose queue it came from, where that is known. `body`: None where it is too large."""

    id: str
    at_ms: int
    reason: str
    queue: str | None
    body: str | None


DeadLetter: TypeAlias = DeadTask | DeadMessage


def keep_task(engine: Engine, record: RunRecord, task: str) -> None:
    """Keep that `task` was given up. Paid again, it finds its own entry."""
    row = record.tasks[task]
    at_ms = row.finished_at_ms or engine.clock.now_ms()
    item: Item = {
        "at": at_ms,
        "why": row.error.message if row.error is not None else "",
        "run": record.run_id,
        "task": task,
        "workflow": record.plan.workflow,
        "worker": worker_of(record, task),
        "expires_at": record.expires_at_s,
    }
    key = dead_letter_key(at_ms, f"{record.run_id}#{task}")
    engine.store.write(Put(key=key, item=item, require=ITEM_MISSING))


def keep_message(engine: Engine, received: Received, reason: str) -> None:
    """Keep a message that nothing could be made of."""
    now_ms = engine.clock.now_ms()
    body = received.body.encode("utf-8", "replace").decode()
    item: Item = {"at": now_ms, "why": reason, "expires_at": now_ms // 1000 + engine.limits.retention_s}
    if len(body.encode()) <= KEPT_BYTES:
        item["body"] = body
    if received.source is not None:
        item["queue"] = received.source
    key = dead_letter_key(received.sent_at_ms, received.message_id or received.receipt[:100])
    engine.store.write(Put(key=key, item=item, require=ITEM_MISSING))


def dead_letters(engine: Engine, *, limit: int | None = None) -> list[DeadLetter]:
    """The oldest first; `limit` None: all."""
    return [_decoded(item) for item in _items(engine, limit)]


def _items(engine: Engine, limit: int | None) -> Iterator[Item]:
    now_s = engine.clock.now_ms() // 1000
    for item in engine.store.query(DEAD_LETTERS, limit=limit):
        expires_at = item.get("expires_at")
        if not isinstance(expires_at, int) or expires_at > now_s:
            yield item


def _decoded(item: Item) -> DeadLetter:
    sk, at_ms, why = str(item["sk"]), item["at"], str(item["why"])
    assert isinstance(at_ms, int)
    if "run" not in item:
        queue, body = item.get("queue"), item.get("body")
        return DeadMessage(
            id=sk,
            at_ms=at_ms,
            reason=why,
            queue=None if queue is None else str(queue),
            body=None if body is None else str(body),
        )
    return DeadTask(
        id=sk,
        at_ms=at_ms,
        reason=why,
        run_id=str(item["run"]),
        task=str(item["task"]),
        workflow=str(item["workflow"]),
        worker=str(item["worker"]),
    )


def send_again(engine: Engine, letter: DeadMessage, queue: str) -> None:
    """Send a message to a worker's queue again. Dying before `forget`, it is sent twice at most: messages are single-use tickets."""
    assert letter.body is not None
    engine.send(queue, [Outgoing(body=letter.body)])


def forget(engine: Engine, letter: DeadLetter) -> None:
    """Take it off the list."""
    at_ms, _, name = letter.id.partition("#")
    engine.store.write(Delete(key=dead_letter_key(int(at_ms), name)))
