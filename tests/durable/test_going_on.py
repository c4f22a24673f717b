"""Suspended code that goes on where it stands, when its message comes to the process that has it; and when it must not."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Annotated, Any

import pytest
from support.durable import LOOP, DurableWorld
from support.fan_out import fan_out, metered
from support.metered import MeteredStore

from headrace import Context, Depends, DurableContext, EmptyModel, Hatchet
from headrace.core.durable import encoding
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus, TaskRow
from headrace.crypto import AesGcmCodec, LocalKey
from headrace.engine.durable import journal
from headrace.engine.durable.journal import Journal
from headrace.engine.runs.attempt import run_live
from headrace.memory.store import MemoryStore
from headrace.ports import Ports
from headrace.runtime.durable import kept
from headrace.runtime.durable.entries import Entries
from headrace.triggers.children import current

lines: list[str] = []


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    lines.clear()
    monkeypatch.setattr(kept, "memory_used", lambda: 0.0)  # however little the machine has
    with another_process():
        yield


@contextmanager
def another_process() -> Iterator[None]:
    """Within it, nothing is known of the code that others keep."""
    before = kept._kept, kept._staying
    kept._kept, kept._staying = OrderedDict(), kept.Staying()
    try:
        yield
    finally:
        kept._close(len(kept._kept))
        kept._kept, kept._staying = before


@asynccontextmanager
async def opened(input: EmptyModel, ctx: Context) -> AsyncIterator[str]:
    lines.append("open")
    yield "connection"
    lines.append("closed")


def app(of: Hatchet | None = None) -> Hatchet:
    hatchet = of or Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        lines.append("first")
        began = await ctx.aio_now()
        await ctx.aio_sleep_for("1m")
        lines.append("second")
        await asyncio.gather(ctx.aio_sleep_for("1m"), ctx.aio_sleep_for("2m"))
        lines.append("third")
        took_s = (await ctx.aio_now() - began).total_seconds()
        return {"invocations": ctx.invocation_count, "index": ctx.wait_index, "took": took_s >= 180}

    return hatchet


def world(of: Hatchet, *, keeps_code: bool = True, **more: Any) -> DurableWorld:
    return DurableWorld(plans={}, code={}, of=of, keeps_code=keeps_code, **more)


def output(w: DurableWorld, run_id: str, task: str = "work") -> str:
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    return str(w.record(run_id).tasks[task].output.text)


def until_suspended(w: DurableWorld) -> None:
    while w.deliver_next():
        pass


async def opens(gate: asyncio.Event) -> None:
    """Returns once all code has moved that waits for it."""
    gate.set()
    for _ in range(20):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- it goes on


@pytest.mark.parametrize("keeps_code", [True, False], ids=["goes on", "runs again"])
def test_either_way_a_task_gives_the_same(keeps_code: bool) -> None:
    w = world(app(), keeps_code=keeps_code)
    run_id = w.begin("work")
    w.drain()
    again = ["first", "second"] * 3
    assert lines == (["first", "second", "third"] if keeps_code else ["first", *again, "third"])
    assert output(w, run_id) == '{"invocations":4,"index":5,"took":true}'
    assert [entry.order for entry in w.app.runs.get(run_id).durable_log] == [1, 2, 3, 4, 5]
    assert len(kept._kept) == (0 if keeps_code else 3)


def test_a_task_whose_log_is_sealed_goes_on_all_the_same() -> None:
    w = world(app(Hatchet(codec=AesGcmCodec([LocalKey("k1", "A" * 43 + "=")]))))
    w.engine = w.app.engine
    run_id = w.begin("work")
    w.drain()
    assert lines == ["first", "second", "third"]
    assert "$sealed" in str(w.store.items())
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


def test_what_goes_on_has_the_attempt_and_the_log_lines_of_its_own_invocation() -> None:
    hatchet, tickets = Hatchet(), list[tuple[int, int]]()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> None:
        for n in range(3):
            ctx.log(f"line {n}")
            spawner = current.get()
            assert spawner is not None
            tickets.append((ctx._work.attempt.ticket, spawner.record.tasks["work"].ticket))
            await ctx.aio_sleep_for("1m")

    w = world(hatchet)
    run_id = w.begin("work")
    w.drain()
    assert tickets == [(1, 1), (2, 2), (3, 3)]
    assert [each.message for each in hatchet.logs.list(run_id).rows] == ["line 0", "line 1", "line 2"]


class Live(DurableWorld):
    """Code is run under its deadline."""

    run_code = staticmethod(run_live)  # type: ignore[assignment]


def test_code_that_went_on_has_the_deadline_of_its_own_invocation() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task(execution_timeout="1s")
    async def work(input: EmptyModel, ctx: DurableContext) -> None:
        await ctx.aio_sleep_for("1m")
        lines.append("went on")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lines.append("cancelled")
            raise

    w = Live(plans={}, code={}, of=hatchet, keeps_code=True)
    run_id = w.begin("work")
    w.drain()
    assert lines == ["went on", "cancelled"]
    error = w.record(run_id).tasks["work"].error
    assert error is not None
    assert "1" in error.message


# ---------------------------------------------------------------- it must not


def test_code_does_not_go_on_that_another_process_has_resumed_meanwhile() -> None:
    w = world(app())
    run_id = w.begin("work")
    until_suspended(w)
    with another_process():
        w.clock.advance(61_000)
        until_suspended(w)
    assert lines == ["first", "first", "second"]
    w.drain()
    assert lines == ["first", "first", "second", "first", "second", "third"]
    assert output(w, run_id) == '{"invocations":4,"index":5,"took":true}'


def test_code_of_a_run_that_was_cancelled_and_replayed_does_not_go_on() -> None:
    w = world(app())
    run_id = w.begin("work")
    until_suspended(w)
    w.app.runs.cancel(run_id)
    until_suspended(w)
    assert lines == ["first"]
    w.app.runs.replay(run_id)
    w.drain()
    assert lines == ["first", "first", "second", "third"]
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


def test_code_that_has_moved_meanwhile_does_not_go_on() -> None:
    hatchet, gate = Hatchet(), asyncio.Event()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        async def beside() -> None:
            await gate.wait()
            lines.append("moved")
            await ctx.aio_now()
            lines.append("went on")

        task = asyncio.create_task(beside())
        await ctx.aio_sleep_for("1m")
        await task
        return {"invocations": ctx.invocation_count}

    w = world(hatchet)
    run_id = w.begin("work")
    until_suspended(w)
    LOOP.run(opens(gate))
    w.drain()
    assert output(w, run_id) == '{"invocations":2}'
    assert lines == ["moved", "moved", "went on"]


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "gave up"])
def test_code_that_has_ended_or_given_up_a_wait_meanwhile_does_not_go_on(ends: bool) -> None:
    """The log does not say so: only a replay makes it do."""
    hatchet, gate = Hatchet(), asyncio.Event()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> None:
        lines.append("first")
        beside = asyncio.create_task(gate.wait())
        long = asyncio.create_task(ctx.aio_sleep_for("2m"))
        short = asyncio.create_task(ctx.aio_sleep_for("1m"))
        await asyncio.wait({long, beside}, return_when=asyncio.FIRST_COMPLETED)
        if not ends:
            long.cancel()
            await short

    w = world(hatchet)
    run_id = w.begin("work")
    until_suspended(w)
    LOOP.run(opens(gate))
    w.drain()
    assert lines == ["first", "first"]
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


def test_code_with_a_timer_of_its_own_does_not_go_on() -> None:
    """It would go off although a replay sets it anew."""
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> None:
        lines.append("first")
        beside = asyncio.create_task(asyncio.sleep(10_000))
        await ctx.aio_sleep_for("1m")
        beside.cancel()

    w = world(hatchet)
    w.begin("work")
    w.drain()
    assert lines == ["first", "first"]


def test_code_of_another_version_of_the_app_does_not_go_on() -> None:
    w = world(app())
    run_id = w.begin("work")
    until_suspended(w)
    w.app = app()
    w.app.use(Ports(store=w.store, queues=w.queues, clock=w.clock, ids=w.engine.ids))
    w.drain()
    assert lines == ["first", "first", "second", "third"]
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


def test_code_with_what_ends_with_its_invocation_does_not_go_on() -> None:
    """A dependency is closed when the task is suspended, and the hooks of the app run at every invocation."""
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(
        input: EmptyModel, ctx: DurableContext, of: Annotated[str, Depends(opened)]
    ) -> dict[str, int]:
        await ctx.aio_sleep_for("1m")
        lines.append(of)
        return {"invocations": ctx.invocation_count}

    w = world(hatchet)
    run_id = w.begin("work")
    w.drain()
    assert lines == ["open", "closed", "open", "connection", "closed"]
    assert output(w, run_id) == '{"invocations":2}'


def test_code_of_an_app_with_hooks_runs_again() -> None:
    hatchet = app()
    hatchet.middleware.before(lambda input, ctx: lines.append("before"))
    w = world(hatchet)
    w.begin("work")
    w.drain()
    assert lines.count("before") == lines.count("first") == 4


def test_where_there_is_no_room_the_oldest_code_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_OPERATIONS", 4)
    w = world(app())
    ids = [w.begin("work") for _ in range(5)]
    until_suspended(w)
    assert len(kept._staying) == 2  # of two operations each
    assert len(kept._kept) == 5
    w.drain()
    assert {output(w, run_id) for run_id in ids} == {'{"invocations":4,"index":5,"took":true}'}
    assert lines.count("third") == 5
    assert 5 < lines.count("first") < 20


def journals() -> tuple[Journal, Journal, TaskRow]:
    """What a suspended attempt has left, the log of the one that is resumed, and the row between the two."""
    found: list[Journal] = []
    hatchet = app()
    w = world(hatchet)
    run_id = w.begin("work")
    original = Journal.__init__

    def made(of: Journal, *arguments: Any, **options: Any) -> None:
        original(of, *arguments, **options)
        found.append(of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "__init__", made)
        until_suspended(w)
        before = w.record(run_id).tasks["work"]
        w.clock.advance(61_000)
        w.deliver_next()
    left, resumed = found
    return left, resumed, before


def test_the_row_says_whether_code_goes_on() -> None:
    left, resumed, before = journals()
    left._suspended_with = before.log
    others = [
        None,
        replace(before, owner="another"),
        replace(before, owner=None),
        replace(before, ticket=before.ticket + 1),
        replace(before, log=(before.log or "").replace('"sleep"', '"other"')),
        replace(before, log=None),
    ]
    for row in others:
        resumed._before = row
        assert resumed.answered_since(left) is None, row
    resumed._before = before
    left._engine = replace(left._engine, store=MemoryStore())
    assert resumed.answered_since(left) is None
    left._engine = resumed._engine
    found = resumed.answered_since(left)
    assert found is not None
    assert [(entry.node, entry.order) for entry in found] == [(1, 2)]


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize("kind", ["sleeps", "children"])
def test_what_a_task_asks_for_and_reads_of_its_log_grows_with_its_operations_alone(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as many operations: twice as many calls and units; an entry is decoded as its part is merged, four times over at most."""
    found = {size: costs(kind, size, monkeypatch) for size in (15, 30)}
    for counted in ("asked", "units"):
        assert found[30][counted] <= 2.3 * found[15][counted], (counted, found)
    assert found[30]["asked"] == 30 * (1 if kind == "sleeps" else 8)
    assert all(each["decoded"] <= 4 * each["asked"] for each in found.values()), found


def costs(kind: str, size: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    counts = {"asked": 0, "decoded": 0}
    with monkeypatch.context() as patch:
        patch.setattr(journal, "SEAL_AT_BYTES", 400)  # logs are short here, and sealed all the same
        for of, name, counted in ((Entries, "open", "asked"), (encoding, "_decoded", "decoded")):
            patch.setattr(of, name, counting(getattr(of, name), counts, counted))
        w, store = metered(fan_out(size, 8) if kind == "children" else sleeps(size))
        w.keeps_code = True
        run_id = w.begin("parent")
        w.drain(limit=100 * size)
        assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    return {**counts, "units": units(store)}


def counting(function: Any, counts: dict[str, int], name: str) -> Any:
    def counted(*arguments: Any, **options: Any) -> Any:
        counts[name] += 1
        return function(*arguments, **options)

    return counted


def units(store: MeteredStore) -> float:
    return float(store.units["write"] + store.units["read"])


def sleeps(count: int) -> Hatchet:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> None:
        for _ in range(count):
            await ctx.aio_sleep_for("1m")

    return hatchet


# ---------------------------------------------------------------- what code is given is its own


@pytest.mark.parametrize("keeps_code", [True, False], ids=["goes on", "runs again"])
def test_what_code_does_to_a_result_is_not_in_the_log(keeps_code: bool) -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        memo = await ctx._aio_memo(lambda: {"of": [1]}, dict[str, Any])
        memo["of"].append(2)
        told = await ctx.aio_wait_for_event("go")
        told["of"].append(2)
        found = await ctx.aio_wait_for("again", *_conditions())
        found["CREATE"]["go"][0]["of"].append(2)
        await ctx.aio_sleep_for("1m")
        return {"memo": memo, "told": told, "found": found["CREATE"]["go"]}

    w = world(hatchet, keeps_code=keeps_code)
    run_id = w.begin("work")
    for _ in range(2):
        until_suspended(w)
        w.app.event.push("go", {"of": [1]})
    w.drain()
    assert output(w, run_id) == '{"memo":{"of":[1,2]},"told":{"of":[1,2]},"found":[{"of":[1,2]}]}'
    results = [entry.result for entry in w.app.runs.get(run_id).durable_log]
    assert "2" not in str(results[:3])


def _conditions() -> list[Any]:
    from headrace import UserEventCondition

    return [UserEventCondition(event_key="go", readable_data_key="go")]
