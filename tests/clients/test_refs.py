"""What references give: the table *What result() gives*."""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.lives import born, cancelled, raised, returned, started, stored
from support.records import T0, plan, task

from headrace.core.changes import Key, Put
from headrace.core.run.plans.plan import ParentLeaf, RunPlan, TaskKind
from headrace.core.run.record import Payload, Place, RunRecord
from headrace.core.run.stored.rows import marked
from headrace.core.table import output_key
from headrace.errors import (
    DedupeViolationError,
    FailedTaskRunExceptionGroup,
    HeadraceError,
    RunCancelled,
    RunNotFound,
)
from headrace.triggers.refs import TaskRunRef, WorkflowRunRef, gather
from headrace.triggers.results.outcomes import Outputs, outcome_of, outcomes_of
from headrace.triggers.results.waiting import _pollers

if TYPE_CHECKING:
    from conftest import Desk

PAIR = plan(task("a"), task("b", "a"))
SOLO = RunPlan(workflow="solo", version="1", tasks=(task("solo"),), standalone=True)
BRANCH = plan(task("a"), task("b", "a", skip_if=((ParentLeaf(number=1, parent="a"),),)))
GUARDED = plan(task("a"), task("x"), task("oops", kind=TaskKind.ON_FAILURE))

DONE = returned(returned(born(PAIR), "a", {"n": 1}), "b")
FAILED = raised(returned(born(PAIR), "a", {"n": 1}), "b", "boom", type="KeyError", trace="Traceback")
CANCELLED = cancelled(returned(born(PAIR), "a", {"n": 1}))


def named(record: RunRecord, run_id: str) -> RunRecord:
    return replace(record, run_id=run_id)


@pytest.mark.parametrize(
    ("record", "sync", "lenient"),
    [
        pytest.param(DONE, {"a": {"n": 1}, "b": None}, {"a": {"n": 1}}, id="completed"),
        pytest.param(
            returned(born(BRANCH), "a", {"n": 1}),
            {"a": {"n": 1}, "b": {"skipped": True}},
            {"a": {"n": 1}, "b": {"skipped": True}},
            id="skipped",
        ),
        pytest.param(
            returned(returned(born(GUARDED), "a"), "x"),
            {"a": None, "x": None},
            {},
            id="on-failure task not needed",
        ),
        pytest.param(CANCELLED, RunCancelled("r1"), {"a": {"n": 1}}, id="cancelled"),
        pytest.param(cancelled(born(PAIR)), RunCancelled("r1"), {}, id="cancelled unstarted"),
    ],
)
def test_outcomes(desk: Desk, record: RunRecord, sync: Outputs | Exception, lenient: Outputs) -> None:
    if isinstance(sync, Exception):
        with pytest.raises(type(sync), match=str(sync)):
            outcome_of(desk, record)
    else:
        assert outcome_of(desk, record) == sync
    assert outcome_of(desk, record, lenient=True) == lenient


@pytest.mark.parametrize("lenient", [False, True])
def test_a_failed_run_raises_its_tasks_errors(desk: Desk, lenient: bool) -> None:
    with pytest.raises(FailedTaskRunExceptionGroup) as caught:
        outcome_of(desk, FAILED, lenient=lenient)
    assert caught.value.message == "Workflow run r1 failed."
    (error,) = caught.value.exceptions
    assert (error.exc, error.exc_type, error.trace) == ("boom", "KeyError", "Traceback")
    assert error.task_run_external_id == "r1:b"


def test_only_failed_tasks_are_in_the_group(desk: Desk) -> None:
    run = raised(born(plan(task("a"), task("b", "a"), task("c"))), "a")
    run = returned(run, "c")
    with pytest.raises(FailedTaskRunExceptionGroup) as caught:
        outcome_of(desk, run)
    assert [error.task_run_external_id for error in caught.value.exceptions] == ["r1:a"]


def test_a_duplicate_child_is_a_dedupe_violation(desk: Desk) -> None:
    run = raised(born(SOLO), "solo", "DUPLICATE_WORKFLOW_RUN: key k")
    with pytest.raises(DedupeViolationError, match="key k"):
        outcome_of(desk, run)


def test_outputs_beside_the_record_are_read(desk: Desk) -> None:
    run = stored(stored(born(PAIR), "a", Payload(place=Place.ITEM)), "b", Payload(place=Place.BLOB))
    where = {name: output_key("r1", name, 1, marked(run.tasks[name].owner)) for name in "ab"}
    desk.body(where["a"], '{"n": 1}')
    desk.engine.store.put_blob(f"run#r1/{where['b'].sk}", b'{"n": 2}')
    assert outcome_of(desk, run) == {"a": {"n": 1}, "b": {"n": 2}}


def test_many_outcomes_keep_their_order(desk: Desk) -> None:
    found = outcomes_of(desk, [DONE, FAILED, CANCELLED])
    assert found[0] == {"a": {"n": 1}, "b": None}
    assert isinstance(found[1], FailedTaskRunExceptionGroup)
    assert str(found[2]) == "Workflow run r1 was cancelled."


# ---------------------------------------------------------------- references


def test_a_workflow_s_ref(desk: Desk) -> None:
    desk.keep(DONE)
    ref = WorkflowRunRef(desk, "r1")
    assert (str(ref), ref.workflow_run_id) == ("r1", "r1")
    assert ref.result() == {"a": {"n": 1}, "b": None}
    assert asyncio.run(ref.aio_result()) == {"a": {"n": 1}}
    assert ref.result() == {"a": {"n": 1}, "b": None}  # again


def test_a_task_s_ref_parses(desk: Desk) -> None:
    desk.keep(returned(born(SOLO), "solo", {"n": 20}))
    ref = TaskRunRef(desk, "r1", lambda outputs: int(outputs["solo"]["n"]) + 1)
    assert ref.result() == 21
    assert asyncio.run(ref.aio_result()) == 21


def test_a_cancelled_task_gives_its_parser_nothing_on_the_event_loop(desk: Desk) -> None:
    desk.keep(cancelled(born(SOLO)))
    ref = TaskRunRef(desk, "r1", lambda outputs: outputs)
    assert asyncio.run(ref.aio_result()) == {}
    with pytest.raises(RunCancelled, match=r"^Workflow run r1 was cancelled\.$") as caught:
        ref.result()
    assert caught.value.run_id == "r1"


def test_an_unknown_run(desk: Desk) -> None:
    ref = WorkflowRunRef(desk, "unknown")
    with pytest.raises(RunNotFound, match=r"^Workflow run unknown not found$") as caught:
        ref.result()
    assert caught.value.run_id == "unknown"


@pytest.mark.parametrize("error", [RunNotFound("r1"), RunNotFound("r1:a", "Task run"), RunCancelled("r1")])
def test_what_hatchet_raises_as_valueerror_can_be_told_apart(error: ValueError) -> None:
    """A web service answers 404 for one and 409 for the other; code written for Hatchet catches ValueError."""
    assert isinstance(error, ValueError)
    assert isinstance(error, HeadraceError)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (type(again), str(again)) == (type(error), str(error))


def test_an_unknown_run_on_the_event_loop(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.triggers.results.looking.UNKNOWN_PAUSE_S", 0.001)
    with pytest.raises(ValueError, match="Workflow run unknown not found"):
        asyncio.run(WorkflowRunRef(desk, "unknown").aio_result())


def test_exceptions_as_values(desk: Desk) -> None:
    desk.keep(named(FAILED, "f"), named(DONE, "d"), named(CANCELLED, "c"))
    refs = [WorkflowRunRef(desk, run_id) for run_id in ("f", "d", "c", "d")]
    got = gather(desk, refs, return_exceptions=True)
    assert isinstance(got[0], FailedTaskRunExceptionGroup)
    assert got[1] == got[3] == {"a": {"n": 1}, "b": None}
    assert isinstance(got[2], ValueError)
    with pytest.raises(FailedTaskRunExceptionGroup, match="run f failed"):
        gather(desk, refs)


def test_a_parser_s_error_is_a_value_too(desk: Desk) -> None:
    desk.keep(returned(born(SOLO), "solo", {"n": 1}))
    refs = [TaskRunRef(desk, "r1", lambda outputs: outputs["other"])]
    (got,) = gather(desk, refs, return_exceptions=True)
    assert isinstance(got, KeyError)
    with pytest.raises(KeyError):
        gather(desk, refs)


class Counting:
    """A store that counts the reads that pass through it."""

    def __init__(self, inner: object) -> None:
        self.inner = inner
        self.reads = 0

    def __getattr__(self, name: str) -> object:
        if name in ("get", "get_many"):
            self.reads += 1
        return getattr(self.inner, name)


def test_hundreds_of_waiters_share_their_reads(desk: Desk) -> None:
    runs = [named(started(born(SOLO), "solo"), f"r{number}") for number in range(300)]
    desk.keep(*runs)
    counting = Counting(desk.engine.store)
    desk.engine = replace(desk.engine, store=counting)

    async def main() -> list[Outputs]:
        waits = [asyncio.create_task(WorkflowRunRef(desk, run.run_id).aio_result()) for run in runs]
        await asyncio.sleep(0.05)
        assert not any(wait.done() for wait in waits)
        assert (
            counting.reads < 100
        )  # 300 waiters, each looking every 5 ms at the slowest, alone would be thousands
        desk.keep(*(named(returned(born(SOLO), "solo", {"n": 1}), run.run_id) for run in runs))
        return await asyncio.gather(*waits)

    assert asyncio.run(main()) == [{"solo": {"n": 1}}] * 300


def test_a_wait_can_be_given_up_and_taken_up_again(desk: Desk) -> None:
    desk.keep(started(born(SOLO), "solo"))

    async def main() -> Outputs:
        ref = WorkflowRunRef(desk, "r1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ref.aio_result(), 0.02)
        desk.keep(returned(born(SOLO), "solo", {"n": 1}))
        return await ref.aio_result()

    assert asyncio.run(main()) == {"solo": {"n": 1}}
    assert _pollers == {}


def test_a_wait_given_up_is_read_for_no_longer(desk: Desk) -> None:
    desk.keep(named(started(born(SOLO), "solo"), "a"), named(started(born(SOLO), "solo"), "b"))

    async def main() -> set[str]:
        kept = asyncio.create_task(WorkflowRunRef(desk, "a").aio_result())
        given_up = asyncio.create_task(WorkflowRunRef(desk, "b").aio_result())
        await asyncio.sleep(0.01)
        given_up.cancel()
        await asyncio.sleep(0.02)
        (poller,) = _pollers.values()
        watched = set(poller._awaited)
        kept.cancel()
        return watched

    assert asyncio.run(main()) == {"a"}


def test_a_failing_read_reaches_every_waiter(desk: Desk) -> None:
    desk.engine.store.write(Put(key=Key("run#bad", "run"), item={"nonsense": 1}))

    async def main() -> list[object]:
        refs = [WorkflowRunRef(desk, "bad"), WorkflowRunRef(desk, "bad")]
        return await asyncio.gather(*(ref.aio_result() for ref in refs), return_exceptions=True)

    assert [type(error) for error in asyncio.run(main())] == [KeyError, KeyError]


# ---------------------------------------------------------------- streams


def chunk(desk: Desk, at_ms: int, owner: str, number: int, text: str) -> None:
    key = Key("run#r1", f"stream#{at_ms:013d}#{owner}#{number:07d}")
    desk.engine.store.write(Put(key=key, item={"chunk": text, "expires_at": 1}))


def test_a_stream_gives_what_comes_after_and_ends_with_the_run(desk: Desk) -> None:
    desk.keep(started(born(SOLO), "solo"))
    chunk(desk, T0, "o", 1, "before")

    async def main() -> list[str | bytes]:
        ref = WorkflowRunRef(desk, "r1")
        with pytest.warns(DeprecationWarning, match="subscribe_to_stream"):
            chunks = ref.stream()
        got: list[str | bytes] = []
        first = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0.03)
        chunk(desk, T0 + 5, "o", 2, "one")
        got.append(await first)
        chunk(desk, T0 + 6, "o", 3, "two")
        chunk(desk, T0 + 4, "p", 1, "another task's, stamped before")
        desk.keep(returned(born(SOLO), "solo"))
        return got + [each async for each in chunks]

    assert asyncio.run(main()) == ["one", "another task's, stamped before", "two"]


def test_a_stream_of_nothing_is_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.triggers.results.stream.UNKNOWN_PAUSE_S", 0.001)
    from headrace.triggers.results.stream import subscribe

    async def main() -> list[str | bytes]:
        return [each async for each in subscribe(desk, "unknown")]

    with pytest.raises(ValueError, match="Workflow run unknown not found"):
        asyncio.run(main())


def test_stream_of_a_finished_run_is_empty(desk: Desk) -> None:
    desk.keep(returned(born(SOLO), "solo"))
    chunk(desk, T0, "o", 1, "long ago")
    from headrace.triggers.results.stream import subscribe

    async def main() -> list[str | bytes]:
        return [each async for each in subscribe(desk, "r1")]

    assert asyncio.run(main()) == []
