"""Fan-in without polling: each child's end removes its index from a join item; the empty root wakes the parent.

A leaf holds at most 100 indexes and sits in a partition of its own; the leaves' numbers sit in a root. Removal is idempotent,
so a child's end may be told any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.changes import ITEM_EXISTS, ITEM_MISSING, Applied, Item, Put, Update
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import join_key, join_partition, run_key
from headrace.core.waits.points import AtChildren, AtOperations
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.ports import Outgoing

LEAF_SIZE = 100


def leaf_for(run_id: str, task: str, first: int, index: int) -> str:
    """The leaf that child `index` of a group that begins at `first` is in."""
    return join_partition(run_id, task, first, (index - first) // LEAF_SIZE)


def open_join(engine: Engine, record: RunRecord, task: str, indexes: Sequence[int], *, first: int) -> None:
    """Put the join of children that are about to be started. Opening it again after some have left would revive them,
    so what exists is left as it is."""
    leaves: dict[int, set[int]] = {}
    for index in indexes:
        leaves.setdefault((index - first) // LEAF_SIZE, set()).add(index)
    root = join_partition(record.run_id, task, first)
    body: Item = {
        "left": frozenset(leaves),
        "run": record.run_id,
        "task": task,
        "first": first,
        "expires_at": record.expires_at_s,
    }
    puts = [_put_once(root, body)]
    for leaf, members in leaves.items():
        item: Item = {"left": frozenset(members), "up": root, "n": leaf, "expires_at": record.expires_at_s}
        puts.append(_put_once(join_partition(record.run_id, task, first, leaf), item))
    engine.store.write_many(puts)


def _put_once(name: str, item: Item) -> Put:
    return Put(key=join_key(name), item=item, require=ITEM_MISSING)


def leave_join(engine: Engine, name: str, index: int) -> None:
    """Remove `index`; the commit that empties a leaf removes it from the root, the one that empties the root wakes the parent."""
    written = engine.store.write(
        Update(key=join_key(name), require=ITEM_EXISTS, takes={("left",): frozenset({index})})
    )
    if not isinstance(written, Applied) or written.item is None or written.item.get("left"):
        return
    above, number = written.item.get("up"), written.item.get("n")
    if isinstance(above, str) and isinstance(number, int):
        leave_join(engine, above, number)
    else:
        item = written.item
        wake_parent(engine, str(item["run"]), str(item["task"]), AtChildren(int(str(item["first"]))))


def is_empty(engine: Engine, name: str) -> bool:
    """Whether everybody has left the join."""
    item = engine.store.get(join_key(name))
    return item is not None and not item.get("left")


def wake_parent(engine: Engine, run_id: str, task: str, point: AtChildren) -> None:
    """Send the ticket of a task that is suspended at `point`. One that is not suspended yet looks for itself."""
    item = engine.store.get(run_key(run_id))
    if item is None:
        return
    record = record_in(engine, item)
    row = record.tasks.get(task)
    if (
        row is None
        or row.status is not TaskStatus.SUSPENDED
        or row.waits_at not in (point, AtOperations())
        or record.cancelled_at_ms is not None
    ):
        return
    now_ms = engine.clock.now_ms()
    message = TaskMessage(
        run_id=run_id,
        task=task,
        number=record.plan.numbers[task],
        ticket=row.ticket,
        queued_at_ms=now_ms,
        start_by_ms=now_ms + record.plan.task(task).schedule_timeout_ms,
        wishes=record.routing.required_labels.get(task),
        resumes=row.resumes,
    )
    engine.queues.send(worker_of(record, task), [Outgoing(body=encode_message(message))])
