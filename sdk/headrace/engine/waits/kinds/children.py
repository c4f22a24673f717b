"""Fan-in without polling: each child's end removes its index from a join item; the empty root wakes the parent.

A leaf holds at most 100 indexes and sits in a partition of its own; the leaves' numbers sit in a root. Removal is idempotent,
so a child's end may be told any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.changes import ITEM_EXISTS, ITEM_MISSING, Applied, Item, Put, Update
from headrace.core.run.record import RunRecord
from headrace.core.table import join_key, join_partition
from headrace.engine.engine import Engine
from headrace.engine.waits.conditions import wake_suspended

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
        wake_suspended(engine, str(written.item["run"]), str(written.item["task"]))


def is_empty(engine: Engine, name: str) -> bool:
    """Whether all children have left the join."""
    item = engine.store.get(join_key(name))
    return item is not None and not item.get("left")
