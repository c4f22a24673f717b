"""`runs.reset_durable_task`: a durable task goes on from an operation of its log, on a new branch."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from support.durable import Dies, DurableWorld
from support.world import Killed

from headrace import Context, DurableContext, EmptyModel, Hatchet
from headrace.core.durable.branching import branched
from headrace.core.durable.encoding import decode_tail, encode_tail
from headrace.core.durable.log import Branch, Entry, Kind, Part, Tail, branch_of
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus
from headrace.errors import NotConfigured, RunNotFound, RunNotOver
from headrace_infra.cli.runs import replaying as command

made: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    made.clear()


def note(value: Any) -> int:
    made.append(value)
    return len(made)


def app() -> Hatchet:
    hatchet = Hatchet()

    @hatchet.task(input_validator=dict[str, int])
    def child(input: dict[str, int], ctx: Context) -> dict[str, int]:
        return {"made": note(("child", input["n"]))}

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        first = await ctx._aio_memo(note, int, "first")
        one = await child.aio_run({"n": 1})
        await ctx.aio_sleep_for("1m")
        last = await ctx._aio_memo(note, int, "last")
        return {"got": [first, one["made"], last], "attempt": ctx.attempt_number}

    @hatchet.durable_task()
    async def wide(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        items = [child.create_bulk_run_item({"n": n}, key=f"k{n}" if n == 4 else None) for n in range(5)]
        found = [each["made"] for each in await child.aio_run_many(items)]
        more = await child.aio_run({"n": 9})
        return {"found": found, "more": more["made"]}

    @hatchet.durable_task()
    async def long(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        values = [await ctx._aio_memo(note, int, f"{n:060d}") for n in range(90)]
        return {"sum": sum(values)}

    flow = hatchet.workflow(name="flow")

    @flow.task()
    def before(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"made": note("before")}

    @flow.durable_task(parents=[before])
    async def middle(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        return {"made": await ctx._aio_memo(note, int, "middle")}

    @flow.task(parents=[middle])
    def after(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"made": ctx.task_output(middle)["made"]}

    return hatchet


def ended(name: str) -> tuple[DurableWorld, str]:
    """A world in which a run of that workflow has ended."""
    w = DurableWorld(plans={}, code={}, of=app())
    run_id = w.begin(name)
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    return w, run_id


def result(w: DurableWorld, run_id: str, task: str) -> Any:
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    return w.app.runs.get_result(run_id)[task]


def test_what_was_before_the_node_is_kept_and_the_rest_is_made_again() -> None:
    w, run_id = ended("work")
    assert result(w, run_id, "work") == {"got": [1, 2, 3], "attempt": 1}
    asked = w.clock.now_ms()
    found = w.app.runs.reset_durable_task(run_id, 1)
    assert (found.task_external_id, found.node_id, found.branch_id) == (run_id, 1, 1)
    assert result(w, run_id, "work") == {"got": [1, 4, 5], "attempt": 2}
    assert w.clock.now_ms() - asked >= 60_000, "the sleep begins anew"
    assert made == ["first", ("child", 1), "last", ("child", 1), "last"]
    log = w.app.runs.get(run_id).durable_log
    assert [(each.node_id, each.branch_id) for each in log] == [(0, 0), (1, 1), (2, 1), (3, 1)]
    assert run_id in [each.parent.run_id for each in w.records() if each.parent is not None]


def test_a_branch_off_a_branch_and_one_off_the_first() -> None:
    w, run_id = ended("work")
    w.app.runs.reset_durable_task(run_id, 1)
    assert result(w, run_id, "work")["got"] == [1, 4, 5]
    assert asyncio.run(w.app.runs.aio_reset_durable_task(run_id, 3, 1)).branch_id == 2
    assert result(w, run_id, "work")["got"] == [1, 4, 6]
    assert w.app.runs.reset_durable_task(run_id, 3, 0).branch_id == 3
    assert result(w, run_id, "work")["got"] == [1, 2, 7]
    assert [each.branch_id for each in w.app.runs.get(run_id).durable_log] == [0, 0, 0, 3]
    assert w.app.runs.reset_durable_task(run_id, 0, 2).branch_id == 4
    assert result(w, run_id, "work")["got"] == [8, 9, 10]


def test_a_replay_of_a_branch_goes_on_with_it() -> None:
    w, run_id = ended("work")
    w.app.runs.reset_durable_task(run_id, 3)
    assert result(w, run_id, "work")["got"] == [1, 2, 4]
    w.app.runs.replay(run_id)
    assert result(w, run_id, "work") == {"got": [1, 2, 4], "attempt": 3}


def test_a_reset_within_a_fan_out_keeps_the_children_before_the_node() -> None:
    w, run_id = ended("wide")
    before = result(w, run_id, "wide")
    made.clear()
    w.app.runs.reset_durable_task(run_id, 2)
    after = result(w, run_id, "wide")
    assert sorted(made) == [("child", n) for n in (2, 3, 4, 9)], "the child of a key is started anew too"
    assert after["found"][:2] == before["found"][:2]
    w.app.runs.reset_durable_task(run_id, 5)
    made.clear()
    assert result(w, run_id, "wide")["found"] == after["found"]
    assert made == [("child", 9)]


def test_a_long_log_is_branched_in_the_middle_of_a_sealed_part() -> None:
    w, run_id = ended("long")
    for node in (70, 33, 60):
        before = [each.result for each in w.app.runs.get(run_id).durable_log]
        w.app.runs.reset_durable_task(run_id, node)
        assert result(w, run_id, "long")
        after = [each.result for each in w.app.runs.get(run_id).durable_log]
        assert after[:node] == before[:node]
        assert all(new > max(before) for new in after[node:])


def test_in_a_workflow_the_tasks_after_it_run_again() -> None:
    w, run_id = ended("flow")
    w.app.runs.reset_durable_task(f"{run_id}:middle", 0)
    assert result(w, run_id, "after") == {"made": 3}
    assert made == ["before", "middle", "middle"]


def test_a_cancelled_run_goes_on_where_it_is_reset() -> None:
    w = DurableWorld(plans={}, code={}, of=app())
    run_id = w.begin("work")
    for _ in range(20):
        w.deliver_next()
    w.app.runs.cancel(run_id)
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.CANCELLED
    w.app.runs.reset_durable_task(run_id, 1)
    assert result(w, run_id, "work")["got"] == [1, 3, 4]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param((4,), r"no operation 4 in branch 0: its nodes are 0 to 3", id="node"),
        pytest.param((-1,), r"no operation -1", id="negative"),
        pytest.param((0, 1), r"no branch 1: its branches are 0 to 0", id="branch"),
        pytest.param(("1",), "node_id is '1'", id="text"),
        pytest.param((True,), "node_id is True", id="bool"),
        pytest.param((0, 1.0), "branch_id is 1.0", id="float"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(given: Any, says: str) -> None:
    w, run_id = ended("work")
    before = list(w.store.items())
    with pytest.raises((ValueError, TypeError), match=says):
        w.app.runs.reset_durable_task(run_id, *given)
    assert list(w.store.items()) == before
    assert w.queues.depth() == 0


def test_other_runs_are_refused() -> None:
    w, run_id = ended("flow")
    with pytest.raises(ValueError, match="is a run of several tasks"):
        w.app.runs.reset_durable_task(run_id, 0)
    with pytest.raises(ValueError, match=r"task before of run .* has made no durable operation"):
        w.app.runs.reset_durable_task(f"{run_id}:before", 0)
    with pytest.raises(RunNotFound):
        w.app.runs.reset_durable_task(f"{run_id}:none", 0)
    with pytest.raises(RunNotFound):
        w.app.runs.reset_durable_task("11111111-1111-4111-8111-111111111111", 0)
    w.app.runs.reset_durable_task(f"{run_id}:middle", 0)
    with pytest.raises(RunNotOver, match="only a run that is over"):
        w.app.runs.reset_durable_task(f"{run_id}:middle", 0)


# ---------------------------------------------------------------- crashes


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_client_or_worker_that_dies_leaves_the_old_outcome_or_the_new_one(after_effect: bool) -> None:
    for n in range(60):
        made.clear()
        fault = Dies(10**9, after_effect)
        w = DurableWorld(plans={}, code={}, of=app(), faults=fault)
        run_id = w.begin("work")
        w.drain()
        fault.n, fault.calls, fault.idle = n, 0, False
        with contextlib.suppress(Killed):
            w.app.runs.reset_durable_task(run_id, 1)
        in_client, fault.dead = fault.dead, False
        w.drain()
        hit, fault.armed = fault.hit, False
        got = result(w, run_id, "work")["got"]
        where = f"killed at call {n} ({hit}), {'after' if after_effect else 'before'} its effect: {got}"
        if in_client and got == [1, 2, 3]:
            assert w.record(run_id).generation is None, where
            w.app.runs.reset_durable_task(run_id, 1)  # as its user would
            got = result(w, run_id, "work")["got"]
        assert got[0] == 1, where
        assert got[1] > 3, where
        assert got[2] > got[1], where
        assert w.queues.depth() == 0, where
        if not hit:
            return
    raise AssertionError("a reset makes fewer port calls than that")


def test_of_two_resets_at_once_one_is_told_that_the_run_goes_on() -> None:
    w, run_id = ended("work")
    other = iter([0])

    class Meanwhile:
        def before(self, port: str, call: str) -> None:
            if (port, call) == ("queues", "send") and next(other, None) is not None:
                w.app.runs.reset_durable_task(run_id, 3)

        def after(self, port: str, call: str) -> None:
            """Nothing goes wrong."""

    w.queues.faults = Meanwhile()
    with pytest.raises(RunNotOver):
        w.app.runs.reset_durable_task(run_id, 1)
    assert result(w, run_id, "work")["got"] == [1, 2, 4]


# ---------------------------------------------------------------- the decision


def test_a_branch_names_what_is_whole_and_takes_over_the_rest() -> None:
    entries = [Entry(node=n, kind=Kind.MEMO, asked="a", order=n + 1) for n in range(9)]
    one, two = Part(1, "o"), Part(2, "o")
    tail = Tail(parts=(one, two), entries=tuple(entries[6:]), branches=(Branch(1, 2), Branch(2, 5)))
    parts = {one: tuple(entries[:3]), two: tuple(entries[3:6])}
    found = branched(tail, parts, 4, number=3)
    assert found == Tail(parts=(one,), entries=(entries[3],), branches=(Branch(1, 2), Branch(3, 4)))
    assert [branch_of(found.branches, node) for node in range(6)] == [0, 0, 1, 1, 3, 3]
    assert decode_tail(encode_tail(found)) == found
    assert branched(tail, parts, 0, number=3) == Tail(branches=(Branch(3, 0),))


# ---------------------------------------------------------------- the command


def test_the_command_resets_and_says_what_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    w, run_id = ended("flow")
    command.reset(w.app, run_id[:8], node=0, branch=None, task=None)
    assert "task middle goes on from node 0, on branch 1" in capsys.readouterr().out
    with pytest.raises(NotConfigured, match="only a run that is over"):
        command.reset(w.app, run_id, node=0, branch=None, task="middle")
    w.drain()
    with pytest.raises(NotConfigured, match="no branch 7: its branches are 0 to 1"):
        command.reset(w.app, run_id, node=0, branch=7, task=None)
    with pytest.raises(NotConfigured, match="has no task none: give --task, one of middle"):
        command.reset(w.app, run_id, node=0, branch=None, task="none")
