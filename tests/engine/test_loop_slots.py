"""A worker of async tasks alone: its slots are coroutines on one loop, and what its tasks promise is what they promise on threads."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace, Settings, V1TaskStatus
from headrace.memory.queues import MemoryQueues
from headrace.memory.wiring import connect
from headrace.runtime.process import VISIBILITY_S, Process
from headrace.settings.settings import HealthcheckConfig

SLOTS = 60


class World:
    def __init__(self, **settings: object) -> None:
        self.app = Headrace(config=Settings(**settings)) if settings else Headrace()  # type: ignore[arg-type]
        self.app.use(connect(visibility_s=VISIBILITY_S))
        self.seen: list[str] = []

    @contextmanager
    def working(self, *tasks: object, slots: int = SLOTS) -> Iterator[Process]:
        worker = self.app.worker("w", workflows=list(tasks), process=True, slots=slots)  # type: ignore[arg-type]
        process = Process(worker)
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
        until(lambda: self.status(ref) not in (V1TaskStatus.QUEUED, V1TaskStatus.RUNNING))
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


def until(holds: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to hold")


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
        until(lambda: len(inside) == SLOTS)
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
        until(lambda: process._intake.put([]) == [] and process._intake._closed)
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


def test_a_worker_with_a_sync_task_keeps_its_threads() -> None:
    world = World()
    names: dict[str, str] = {}

    @world.app.task(name="sync")
    def sync(input: EmptyModel, ctx: Context) -> dict[str, int]:
        names["sync"] = threading.current_thread().name
        return {"n": 1}

    @world.app.task(name="other")
    async def other(input: EmptyModel, ctx: Context) -> dict[str, int]:
        names["other"] = threading.current_thread().name
        return {"n": 2}

    with world.working(sync, other, slots=3):
        refs = [sync.run(wait_for_result=False), other.run(wait_for_result=False)]
        assert [world.ended(ref) for ref in refs] == [{"n": 1}, {"n": 2}]
    assert names["other"] == "headrace-loop"
    assert names["sync"] != "headrace-loop"
