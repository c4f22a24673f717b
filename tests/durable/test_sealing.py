"""Long logs and wide fan-outs: sealed parts are few, belong to their attempt, and what is over is not read again."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.fan_out import fan_out, metered
from support.pace import pace_of_work

from headrace import Context, DurableContext, EmptyModel, Hatchet
from headrace.core.changes import Put
from headrace.core.durable.log import MOST_ENTRIES, Entry, Kind, Part, Tail, hash_of
from headrace.core.durable.parts import PARTS_A_TIER, encode_part, sealing
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus, TaskStatus
from headrace.core.run.transitions.claim import claim, take_over
from headrace.core.run.transitions.fence import Attempt
from headrace.core.table import log_part_key
from headrace.engine.durable.journal import Journal
from headrace.engine.durable.log import load_log, tail_of

MEMO = Entry(node=0, kind=Kind.MEMO, asked="a" * 10)


def memos(first: int, count: int, text: str = "v") -> tuple[Entry, ...]:
    return tuple(replace(MEMO, node=first + n, order=1 + first + n, result=text) for n in range(count))


# ---------------------------------------------------------------- merging


def test_parts_are_merged_as_they_are_written_and_nothing_is_lost() -> None:
    tail, known, written = Tail(), dict[Part, tuple[Entry, ...]](), 0
    for number in range(100):
        tail = replace(tail, entries=memos(10 * number, 10))
        made = sealing(tail, known, owner="o")
        assert made is not None
        tail, known[made.part], written = made.tail, made.entries, written + len(made.entries)
        assert len(tail.parts) < 3 * PARTS_A_TIER
    nodes = sorted(entry.node for part in tail.parts for entry in known[part])
    assert nodes == list(range(1_000))
    assert len({part.number for part in tail.parts}) == len(tail.parts)
    assert len(tail.parts) <= 10
    assert written <= 4 * 1_000


def test_open_operations_stay_in_the_row_and_unread_parts_are_left_alone() -> None:
    parts = tuple(Part(number, "o") for number in range(1, PARTS_A_TIER))
    tail = Tail(parts=parts, entries=(*memos(0, 2), replace(MEMO, node=2)))
    made = sealing(tail, {}, owner="o")
    assert made is not None
    assert made.tail == Tail(parts=(*parts, Part(PARTS_A_TIER, "o")), entries=(replace(MEMO, node=2),))
    assert sealing(Tail(entries=(replace(MEMO, node=2),)), {}, owner="o") is None


# ---------------------------------------------------------------- an attempt that lost its lease


def test_a_late_attempt_overwrites_no_part_of_the_winner_s_log() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> None:
        await ctx.aio_sleep_for(timedelta(hours=1))

    w, _ = metered(hatchet)
    run_id = w.begin("work")
    record = w.record(run_id)
    late = Attempt(run_id=run_id, task="work", number=0, ticket=1, owner="late", now_ms=1, lease_until_ms=2)
    w.store.write(claim(late, queued_at_ms=0))
    winner = replace(late, owner="winner", lease_until_ms=10**15)
    w.store.write(take_over(winner, w.record(run_id).tasks["work"]))
    journals = {
        name: Journal(w.engine, record, attempt) for name, attempt in (("late", late), ("winner", winner))
    }
    for name in ("winner", "late"):
        journals[name].put(memos(0, 30, name * 20))
        assert journals[name].save() is (name == "winner")
    found = load_log(w.engine, run_id, "work", tail_of(w.record(run_id), "work")).entries
    assert {entry.result for entry in found} == {"winner" * 20}


# ---------------------------------------------------------------- children


def test_fan_outs_that_are_over_are_not_read_again_by_a_warm_process() -> None:
    reads = {}
    for rounds in (2, 6):
        w, store = metered(fan_out(rounds, width=30))
        run_id = w.begin("parent")
        w.drain()
        assert f'"invocations":{rounds + 1}' in str(w.record(run_id).tasks["parent"].output.text)
        reads[rounds] = max(store.reads_of[record.key] for record in w.records() if record.run_id != run_id)
    assert reads[2] == reads[6], "a child of the first fan-out is read again by each replay"


def test_a_look_at_children_that_go_on_reads_their_join_and_not_each_of_them() -> None:
    w, store = metered(fan_out(1, 100))
    run_id = w.begin("parent")
    w.deliver_next()  # started, and suspended: no child has run
    record = w.record(run_id)
    journal = Journal(w.engine, record, w_attempt(record.run_id))
    entries = journal.load()
    assert len(entries) == 100
    store.read.clear()
    assert journal.look(entries) == []
    assert dict(store.read) == {"join": 1}
    w.deliver_next()
    store.read.clear()
    assert len(journal.look(entries)) == 1
    assert dict(store.read) == {"join": 1, "run": 1}


def w_attempt(run_id: str) -> Attempt:
    return Attempt(run_id=run_id, task="parent", number=0, ticket=2, owner="o", now_ms=0, lease_until_ms=1)


def test_a_child_that_was_replayed_is_read_again_by_a_replay_of_its_parent() -> None:
    hatchet, fails = Hatchet(), [True]

    @hatchet.task()
    def child(input: EmptyModel, ctx: Context) -> dict[str, int]:
        if fails[0]:
            raise RuntimeError("not yet")
        return {"n": 1}

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        return await child.aio_run()

    w, _ = metered(hatchet)
    run_id = w.begin("parent")
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.FAILED
    fails[0] = False
    [started] = [record.run_id for record in w.records() if record.plan.workflow == "child"]
    w.app.runs.replay(started)
    w.drain()
    w.app.runs.replay(run_id)
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("result", "reads"), [(1, 1), ({"$sealed": "token"}, 2)], ids=["opened", "sealed still"]
)
def test_a_part_is_read_once_in_a_process_but_where_it_could_not_be_opened(result: Any, reads: int) -> None:
    w, store = metered(long(1, sleeps=False))
    part = Part(1, "owner")
    entry = Entry(node=0, kind=Kind.MEMO, asked="a", order=1, result=result)
    key = log_part_key("run", "loops", part.number, part.owner)
    w.store.write(Put(key=key, item=encode_part([entry])))
    for _ in range(2):
        assert load_log(w.engine, "run", "loops", Tail(parts=(part,))).entries == [entry]
    assert store.reads_of[key] == reads


# ---------------------------------------------------------------- how far it goes


def long(operations: int, sleeps: bool) -> Hatchet:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def loops(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        for _ in range(operations):
            await (ctx.aio_sleep_for("1m") if sleeps else ctx.aio_now())
        await ctx.aio_sleep_for("10m")
        return {"n": operations}

    return hatchet


def test_a_replay_of_a_thousand_operations_is_quick_and_reads_little() -> None:
    w, store = metered(long(1_000, sleeps=False))
    run_id = w.begin("loops")
    w.deliver_next()
    assert store.largest_record_bytes <= 8 * 1024
    assert w.record(run_id).tasks["loops"].status is TaskStatus.SUSPENDED
    w.clock.advance(600_000)
    store.units.clear()
    began_s = time.process_time()
    w.deliver_next()
    took_s = time.process_time() - began_s
    assert w.record(run_id).tasks["loops"].settled
    assert store.units["read"] <= 12
    assert took_s <= 0.1 * pace_of_work()


@pytest.mark.parametrize("sleeps", [True, False], ids=["sleeps", "memos"])
def test_a_loop_costs_linear_units(sleeps: bool) -> None:
    units = {}
    for operations in (20, 40, 80):
        w, store = metered(long(operations, sleeps))
        run_id = w.begin("loops")
        w.drain()
        assert w.record(run_id).tasks["loops"].settled
        units[operations] = store.units["write"] + store.units["read"]
        assert store.largest_record_bytes <= 8 * 1024
    assert units[80] - units[40] <= 3 * (units[40] - units[20])


def test_a_task_that_makes_one_operation_too_many_fails_and_says_what_to_do() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task(retries=3)
    async def endless(input: EmptyModel, ctx: DurableContext) -> None:
        while True:
            await ctx.aio_now()

    w, _ = metered(hatchet)
    run_id = w.begin("endless")
    first = Attempt(
        run_id=run_id, task="endless", number=0, ticket=1, owner="first", now_ms=1, lease_until_ms=2
    )
    w.store.write(claim(first, queued_at_ms=0))
    journal, asked = Journal(w.engine, w.record(run_id), first), hash_of("now")
    for begin in range(0, MOST_ENTRIES - 10, 5_000):
        count = min(5_000, MOST_ENTRIES - 10 - begin)
        journal.put(
            Entry(node=node, kind=Kind.MEMO, asked=asked, order=1 + node, result=1)
            for node in range(begin, begin + count)
        )
        assert journal.save()
    w.drain()
    row = w.record(run_id).tasks["endless"]
    assert (row.status, row.app_retry_count) == (TaskStatus.FAILED, 0)
    assert row.error is not None
    assert "made 25,000 durable operations: start a child run for the rest" in row.error.message
