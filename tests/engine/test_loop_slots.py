"""The slots of a worker that has async tasks are coroutines on one loop, those of another threads: tasks promise the same on both."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from support.eventually import eventually

from headrace import Context, DurableContext, EmptyModel, Headrace, Settings, V1TaskStatus
from headrace.engine.attempts.ports import Succeeded
from headrace.memory.queues import MemoryQueues
from headrace.memory.wiring import connect
from headrace.runtime.control import Running
from headrace.runtime.deadline import TimedOut
from headrace.runtime.process import Process
from headrace.runtime.slots.called_here import CalledHere
from headrace.runtime.slots.polls import VISIBILITY_S
from headrace.settings.settings import HealthcheckConfig

SLOTS = 60


class World:
    def __init__(self, **settings: object) -> None:
        self.app = Headrace(config=Settings(**settings)) if settings else Headrace()  # type: ignore[arg-type]
        self.app.use(connect(visibility_s=VISIBILITY_S))
        self.seen: list[str] = []

    @contextmanager
    def working(self, *tasks: object, slots: int = SLOTS, declared: bool = True) -> Iterator[Process]:
        """A process at work. Slots that are not declared limit this process alone, and not all runs on the worker."""
        at_once = slots if declared else None
        worker = self.app.worker("w", workflows=list(tasks), process=True, slots=at_once)  # type: ignore[arg-type]
        process = Process(worker, slots=slots)
        thread = threading.Thread(target=process.run)
        thread.start()
        try:
            yield process
        finally:
            process.stopping.set()
            thread.join(30)
            assert not thread.is_alive()

    def ended(self, ref: Any) -> Any:
        """The result of a run, or its error. Looked for in real time: the clock of the memory adapters goes on by itself where one waits."""
        eventually(lambda: self.status(ref) not in (V1TaskStatus.QUEUED, V1TaskStatus.RUNNING))
        try:
            return ref.result()
        except Exception as error:  # noqa: BLE001  # its text is what is looked at
            return error

    def status(self, ref: Any) -> V1TaskStatus:
        return self.app.runs.get_status(ref.workflow_run_id)

    def in_queue(self) -> int:
        queues = self.app.engine.queues
        assert isinstance(queues, MemoryQueues)
        return queues.depth("w") + queues.depth("w-next")


def test_sixty_at_once_on_one_loop_and_few_threads() -> None:
    world = World()
    go_on = threading.Event()
    inside: set[str] = set()
    loops: set[int] = set()

    @world.app.task(name="waits")
    async def waits(input: EmptyModel, ctx: Context) -> dict[str, str]:
        loops.add(id(asyncio.get_running_loop()))
        inside.add(ctx.workflow_run_id)
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return {"run": ctx.workflow_run_id}

    before = threading.active_count()
    with world.working(waits):
        refs = [waits.run(wait_for_result=False) for _ in range(SLOTS + 5)]
        eventually(lambda: len(inside) == SLOTS)
        threads = threading.active_count() - before
        time.sleep(0.2)
        assert len(inside) == SLOTS  # and no more than the slots
        go_on.set()
        results = [world.ended(ref) for ref in refs]
    assert [each["run"] for each in results] == [ref.workflow_run_id for ref in refs]
    assert len(loops) == 1
    assert threads < SLOTS / 2
    assert world.in_queue() == 0


def test_each_kind_of_ending() -> None:
    world = World()

    @world.app.task(name="raises", retries=1)
    async def raises(input: EmptyModel, ctx: Context) -> None:
        world.seen.append("raises")
        raise ValueError(f"try {ctx.retry_count}")

    @world.app.task(name="late", execution_timeout=timedelta(seconds=0.3))
    async def late(input: EmptyModel, ctx: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            world.seen.append("late")

    @world.app.task(name="moved", execution_timeout=timedelta(seconds=0.3))
    async def moved(input: EmptyModel, ctx: Context) -> dict[str, bool]:
        ctx.refresh_timeout(timedelta(seconds=30))
        await asyncio.sleep(0.6)
        return {"moved": True}

    @world.app.task(name="cancels_itself")
    async def cancels_itself(input: EmptyModel, ctx: Context) -> None:
        raise asyncio.CancelledError

    @world.app.task(name="exits")
    async def exits(input: EmptyModel, ctx: Context) -> None:
        raise SystemExit(3)

    @world.app.task(name="cancelled")
    async def cancelled(input: EmptyModel, ctx: Context) -> None:
        ctx.cancel()
        await asyncio.sleep(60)

    flow = world.app.workflow(name="flow")

    @flow.task()
    async def first(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 1}

    @flow.task(parents=[first])
    async def second(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": ctx.task_output(first)["n"] + 1}

    alone: list[Any] = [raises, late, moved, cancels_itself, exits, cancelled]
    with world.working(*alone, flow):
        refs = {task.name: task.run(wait_for_result=False) for task in alone}
        chain = world.ended(flow.run(wait_for_result=False))
        found = {name: str(world.ended(ref)) for name, ref in refs.items()}
        cancelled_is = world.status(refs["cancelled"])
    assert chain == {"first": {"n": 1}, "second": {"n": 2}}
    assert "try 1" in found["raises"]
    assert "exceeded timeout of 0.3s" in found["late"]
    assert found["moved"] == "{'moved': True}"
    assert "cancelled itself" in found["cancels_itself"]
    assert "SystemExit" in found["exits"]
    assert cancelled_is is V1TaskStatus.CANCELLED
    assert sorted(world.seen) == ["late", "raises", "raises"]
    assert world.in_queue() == 0


def test_a_durable_task_waits_for_its_children_and_goes_on() -> None:
    world = World()

    @world.app.task(name="child")
    async def child(input: EmptyModel, ctx: Context) -> dict[str, int]:
        await asyncio.sleep(0.01)
        return {"n": 1}

    @world.app.durable_task(name="parent")
    async def parent(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        world.seen.append("parent")
        found = await asyncio.gather(*(child.aio_run() for _ in range(5)))
        world.seen.append(f"invocation {ctx.invocation_count}")
        return {"n": sum(each["n"] for each in found)}

    worker = world.app.worker("w", workflows=[child, parent], process=True, slots=2)
    refs = [parent.run(wait_for_result=False) for _ in range(3)]
    process = Process(worker)
    thread = threading.Thread(target=process.run)
    thread.start()
    assert [world.ended(ref) for ref in refs] == [{"n": 5}] * 3
    process.stopping.set()
    thread.join(30)
    assert "invocation 2" in world.seen  # parents had both slots: children ran once those were suspended


def test_a_drain_waits_for_what_runs_and_leaves_the_rest_to_others() -> None:
    world = World()
    go_on, inside = threading.Event(), threading.Semaphore(0)

    @world.app.task(name="waits")
    async def waits(input: EmptyModel, ctx: Context) -> dict[str, int]:
        inside.release()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return {"n": 1}

    with world.working(waits, slots=2) as process:
        refs = [waits.run(wait_for_result=False) for _ in range(5)]
        for _ in range(2):
            assert inside.acquire(timeout=20)
        process.stopping.set()
        eventually(lambda: process._intake.put([]) == [] and process._intake._closed)
        threading.Timer(0.2, go_on.set).start()
    statuses = [world.status(ref) for ref in refs]
    assert statuses.count(V1TaskStatus.COMPLETED) == 2
    assert statuses.count(V1TaskStatus.QUEUED) == 3
    received = world.app.engine.queues.receive("w", limit=10, wait_s=0)
    assert len(received) == 3  # at once: nothing is left hidden


def test_code_that_blocks_the_loop_is_named_and_fails_at_its_deadline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    threshold = timedelta(seconds=0.3)
    world = World(healthcheck=HealthcheckConfig(event_loop_block_threshold_seconds=threshold))
    free = threading.Event()
    flow = world.app.workflow(name="bad")

    @flow.task(execution_timeout=timedelta(seconds=1))
    async def blocks(input: EmptyModel, ctx: Context) -> None:
        free.wait(60)

    @world.app.task(name="quick")
    async def quick(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 1}

    with caplog.at_level(logging.WARNING, "headrace.worker"), world.working(flow, quick, slots=4):
        bad = flow.run(wait_for_result=False)
        assert "exceeded timeout of 1s" in str(world.ended(bad))
        assert world.ended(quick.run(wait_for_result=False)) == {
            "n": 1
        }  # on another loop, while the first is still blocked
        free.set()
    [said] = [each.getMessage() for each in caplog.records if "event loop" in each.getMessage()]
    assert f"by task blocks of workflow bad (run {bad.workflow_run_id})" in said
    assert "test_loop_slots.py:" in said
    assert "in blocks" in said


def test_a_worker_of_both_kinds_has_threads_for_its_sync_tasks_alone() -> None:
    """Sixty async tasks at once on the loop, and beside them sync ones on one thread, one after the other."""
    world = World()
    names: Counter[str] = Counter()
    go_on = threading.Event()

    @world.app.task(name="sync")
    def sync(input: EmptyModel, ctx: Context) -> dict[str, int]:
        names[threading.current_thread().name] += 1
        return {"n": 1}

    @world.app.task(name="waits")
    async def waits(input: EmptyModel, ctx: Context) -> dict[str, int]:
        names[threading.current_thread().name] += 1
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return {"n": 2}

    before = threading.active_count()
    with world.working(sync, waits):
        refs = [waits.run(wait_for_result=False) for _ in range(SLOTS - 1)]
        eventually(lambda: names["headrace-loop"] == SLOTS - 1)
        assert [world.ended(sync.run(wait_for_result=False)) for _ in range(5)] == [{"n": 1}] * 5
        threads = threading.active_count() - before
        go_on.set()
        assert [world.ended(ref) for ref in refs] == [{"n": 2}] * (SLOTS - 1)
    assert names == {"headrace-loop": SLOTS - 1, "headrace-slot-0": 5}
    assert threads < SLOTS / 2


async def asynchronous(input: EmptyModel, ctx: Context) -> None:
    """A task that makes a worker's slots coroutines."""


BOTH_KINDS = pytest.mark.parametrize("also", [[], [asynchronous]], ids=["threads", "a loop and threads"])


@BOTH_KINDS
def test_sync_code_runs_on_its_slots_thread_whatever_its_end(also: list[Any]) -> None:
    """Two slots: two threads, whatever ends on them. What was kept by thread is there for the next task."""
    world = World()
    kept = threading.local()
    threads: set[int] = set()
    reached = threading.Event()

    @world.app.task(name="counts", retries=0)
    def counts(input: EmptyModel, ctx: Context) -> dict[str, int]:
        threads.add(threading.get_ident())
        kept.count = getattr(kept, "count", 0) + 1
        return {"count": kept.count}

    @world.app.task(name="raises")
    def raises(input: EmptyModel, ctx: Context) -> None:
        threads.add(threading.get_ident())
        raise SystemExit(2)

    @world.app.task(name="late", execution_timeout=timedelta(seconds=0.3))
    def late(input: EmptyModel, ctx: Context) -> None:
        threads.add(threading.get_ident())
        while True:  # it can be interrupted between any two of these
            time.sleep(0.01)

    @world.app.task(name="deaf", execution_timeout=timedelta(seconds=0.3))
    def deaf(input: EmptyModel, ctx: Context) -> None:
        threads.add(threading.get_ident())
        try:
            while True:
                time.sleep(0.01)
        except BaseException:  # noqa: BLE001  # it swallows what should end it
            reached.set()

    @world.app.task(name="moved", execution_timeout=timedelta(seconds=0.3))
    def moved(input: EmptyModel, ctx: Context) -> dict[str, bool]:
        ctx.refresh_timeout(timedelta(seconds=30))
        time.sleep(0.8)
        return {"moved": True}

    bad: list[Any] = [raises, late, deaf, moved]
    more = [world.app.task(name="more")(code) for code in also]
    with world.working(counts, *bad, *more, slots=2):
        ended = {task.name: str(world.ended(task.run(wait_for_result=False))) for task in bad}
        refs = [counts.run(wait_for_result=False) for _ in range(30)]
        counted = [world.ended(ref)["count"] for ref in refs]
    assert "SystemExit" in ended["raises"]
    assert "exceeded timeout of 0.3s" in ended["late"]
    assert "exceeded timeout of 0.3s" in ended["deaf"]
    assert ended["moved"] == "{'moved': True}"
    assert reached.is_set()
    assert len(threads) <= 2
    assert max(counted) >= 15  # 30 on two threads
    assert world.in_queue() == 0


@BOTH_KINDS
def test_code_that_outlasts_its_deadline_keeps_its_slot_and_no_drain_waits_for_it(also: list[Any]) -> None:
    world = World()
    free, inside = threading.Event(), threading.Semaphore(0)

    @world.app.task(name="stuck", execution_timeout=timedelta(seconds=0.3))
    def stuck(input: EmptyModel, ctx: Context) -> None:
        inside.release()
        free.wait(60)  # one call into C: nothing interrupts it

    @world.app.task(name="quick")
    def quick(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 1}

    more = [world.app.task(name="more")(code) for code in also]
    with world.working(stuck, quick, *more, slots=2) as process:
        for _ in range(2):
            ref = stuck.run(wait_for_result=False)
            assert inside.acquire(timeout=20)
            assert "exceeded timeout of 0.3s" in str(world.ended(ref))
        waiting = quick.run(wait_for_result=False)
        time.sleep(0.3)
        assert world.status(waiting) is V1TaskStatus.QUEUED  # both slots are taken
        free.set()
        assert world.ended(waiting) == {"n": 1}
        free.clear()
        ref = stuck.run(wait_for_result=False)
        assert inside.acquire(timeout=20)
        assert "exceeded timeout" in str(world.ended(ref))
        assert process.done_tasks >= 4
    assert not free.is_set()  # the process has ended all the same
    assert world.in_queue() == 0
    free.set()


def test_an_interruption_comes_within_the_code_or_not_at_all() -> None:
    """The deadline comes at each moment around the code's end: what is raised for it reaches nothing else on the thread."""
    outcome = Succeeded("{}")
    for length in range(0, 2_000, 10):
        left_s = [1000.0]
        went_on: list[TimedOut] = []
        control: Any = SimpleNamespace(remaining_s=lambda at=left_s: at[0], limit_s=1.0, running=Running())
        called = CalledHere(control, grace_s=1000.0, left=went_on.append)
        begun = threading.Event()

        def due(
            called: CalledHere = called, begun: threading.Event = begun, at: list[float] = left_s
        ) -> None:
            begun.wait(10)
            at[0] = 0.0
            called._due()

        def call(work: Any, begun: threading.Event = begun, length: int = length) -> Succeeded:
            begun.set()
            for _ in range(length):
                pass
            return outcome

        interrupting = threading.Thread(target=due)
        interrupting.start()
        runnable: Any = SimpleNamespace(call=call)
        ending = called.run(runnable, None, contextvars.copy_context())  # type: ignore[arg-type]  # no work is looked at
        interrupting.join(10)
        for _ in range(2_000):  # what is still to be raised would be raised here
            pass
        assert ending in (outcome, TimedOut(1.0))
        assert not control.running.lives
        called._outlasted()
        assert went_on == []  # it went on here


class HeldCommit:
    """Holds the first write of an attempt that goes on without its code."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def before(self, port: str, call: str) -> None:
        is_alarm = threading.current_thread().name == "headrace-alarm"
        if is_alarm and (port, call) == ("store", "write") and not self.reached.is_set():
            self.reached.set()
            self.go_on.wait(20)

    def after(self, port: str, call: str) -> None: ...


def test_a_slot_begins_nothing_while_its_delivery_is_done_elsewhere() -> None:
    """The code that outlasted its deadline ends before its outcome is written: the slot is taken until that is done."""
    world, commit = World(), HeldCommit()
    world.app.use(connect(visibility_s=VISIBILITY_S, faults=commit))
    free, go_on, inside = threading.Event(), threading.Event(), threading.Semaphore(0)

    @world.app.task(name="stuck", execution_timeout=timedelta(seconds=0.3))
    def stuck(input: EmptyModel, ctx: Context) -> None:
        free.wait(60)  # one call into C: nothing interrupts it

    @world.app.task(name="next")
    def after(input: EmptyModel, ctx: Context) -> None:
        inside.release()
        go_on.wait(60)

    with world.working(stuck, after, slots=2, declared=False):
        late = stuck.run(wait_for_result=False)
        assert commit.reached.wait(20)
        free.set()
        refs = [after.run(wait_for_result=False) for _ in range(2)]
        assert inside.acquire(timeout=20)  # by the other slot
        began_early = inside.acquire(timeout=0.5)
        commit.go_on.set()
        assert "exceeded timeout of 0.3s" in str(world.ended(late))
        assert began_early or inside.acquire(timeout=20)
        go_on.set()
        assert [world.ended(ref) for ref in refs] == [None, None]
    assert not began_early
