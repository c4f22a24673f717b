"""How work grows: DAGs of two hundred tasks, ten thousand children, writes per partition."""

from __future__ import annotations

from collections import Counter

import pytest
from support.records import plan, task
from support.world import World, run_at_once

from headrace.core.changes import Write, Written
from headrace.core.run.derived.progress import run_status
from headrace.core.run.message import decode_message
from headrace.core.run.record import ParentLink, RunStatus, TaskStatus
from headrace.core.run.stored.record import record_of
from headrace.core.run.transitions.claim import claim
from headrace.core.run.transitions.commit import suspend
from headrace.core.run.transitions.fence import Attempt
from headrace.core.sizes import item_bytes
from headrace.core.table import run_key
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.start import NewRun, start_many
from headrace.engine.waits.kinds.children import leaf_for, open_join
from headrace.memory.store import MemoryStore


def test_a_dag_of_two_hundred_tasks_runs_each_once() -> None:
    layers = [[f"t{layer}_{n}" for n in range(20)] for layer in range(10)]
    tasks = [
        task(name, *(layers[number - 1] if number else ()))
        for number, names in enumerate(layers)
        for name in names
    ]
    w = World(
        plans={"big": plan(*tasks, workflow="big")}, code={each.name: lambda work: None for each in tasks}
    )
    run_id = w.start("big")
    w.drain()
    record = w.record(run_id)
    assert run_status(record) is RunStatus.COMPLETED
    assert Counter(w.ran) == Counter(each.name for each in tasks)


class Counting(MemoryStore):
    """Counts writes by partition."""

    def __init__(self) -> None:
        super().__init__()
        self.by_partition: Counter[str] = Counter()

    def write(self, write: Write) -> Written:
        self.by_partition[write.key.pk] += 1
        return super().write(write)


@pytest.mark.parametrize("size", [1, 100, 101, 2_000, pytest.param(10_000, marks=pytest.mark.scale)])
def test_the_last_of_many_children_wakes_the_parent_and_no_partition_is_hot(size: int) -> None:
    child, parent = plan(task("child"), workflow="child"), plan(task("parent"), workflow="parent")
    w = World(plans={"child": child, "parent": parent}, code={"child": lambda work: None})
    store = Counting()
    w.engine = type(w.engine)(store=store, queues=w.queues, clock=w.clock, ids=w.engine.ids, limits=w.limits)
    w.store = store
    parent_id = w.start("parent")
    [first] = w.queues.receive("default", limit=1, wait_s=0)
    w.queues.delete(first)
    now = w.clock.now_ms()
    attempt = Attempt(
        run_id=parent_id,
        task="parent",
        number=0,
        ticket=1,
        owner="p",
        now_ms=now,
        lease_until_ms=now + 60_000,
    )
    store.write(claim(attempt, queued_at_ms=now))
    record = w.record(parent_id)
    open_join(w.engine, record, "parent", range(size), first=0)
    news = [
        NewRun(
            plan=child,
            input=None,
            parent=ParentLink(
                run_id=parent_id, task="parent", index=n, join=leaf_for(parent_id, "parent", 0, n)
            ),
        )
        for n in range(size)
    ]
    start_many(w.engine, news)
    store.write(suspend(record, attempt, now_ms=now))
    wakes = []
    while batch := w.queues.receive("default", limit=10, wait_s=0):
        for received in batch:
            message = decode_message(received.body)
            if message.run_id == parent_id:
                wakes.append(message.ticket)
            else:
                deliver(w.engine, w.host("default"), received, runner=run_at_once)
            w.queues.delete(received)
    assert Counter(w.ran)["child"] == size
    assert wakes == [2]
    hottest = max(n for pk, n in store.by_partition.items() if pk.startswith("join#"))
    assert hottest <= max(size // 100, 100) + 1


def test_records_of_small_dags_grow_with_their_tasks() -> None:
    sizes = {}
    for count in (10, 20, 40):
        names = [f"t{n}" for n in range(count)]
        chain = plan(
            *[task(name, *names[max(0, n - 1) : n]) for n, name in enumerate(names)], workflow="chain"
        )
        w = World(plans={"chain": chain}, code={name: lambda work: None for name in names})
        run_id = w.start("chain")
        w.drain()
        item = w.store.get(run_key(run_id))
        assert item is not None
        assert all(row.status is TaskStatus.COMPLETED for row in record_of(item).tasks.values())
        sizes[count] = item_bytes(item)
    assert sizes[40] - sizes[20] < 2.2 * (sizes[20] - sizes[10])
