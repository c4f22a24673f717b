"""What a task's code asks of its attempt, and why a rate limit never lets one in: events, at no request of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from headrace import Context, DurableContext, Headrace, RateLimit, RateLimitDuration, Settings
from headrace.engine.attempts.ports import Work
from headrace.memory.queues import MemoryQueues
from headrace.memory.store import MemoryStore
from headrace.ports import Received
from headrace.runtime.heartbeat import beat_once
from headrace_infra.testing import local

HELD = Received(queue="w", body="", receipt="0.0", receive_count=1, sent_at_ms=0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each operation of the stores and queues in memory was asked for."""
    count: Counter[str] = Counter()

    def counted(kind: type, name: str) -> None:
        inner = getattr(kind, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            count[name] += 1
            return inner(*args, **kwargs)

        monkeypatch.setattr(kind, name, call)

    for name in ("write", "write_many", "get", "get_many", "query"):
        counted(MemoryStore, name)
    for name in ("send", "hide", "delete"):
        counted(MemoryQueues, name)
    return count


def ran(app: Headrace, function: Callable[[Any, Context], dict[str, Any]], **options: Any) -> str:
    """The id of a run of a task with that code, once it is over."""
    task = app.task(name="task", **options)(function)
    app.worker("w", workflows=[task], slots=1)
    with local(app, backend="memory", background=False) as stack:
        run_id = task.run({}, wait_for_result=False).workflow_run_id
        stack.drain()
        told[run_id] = [
            (e.event_type.value, e.attempt, e.message, e.error_message) for e in events(app, run_id)
        ]
    return run_id


told: dict[str, list[tuple[str, int | None, str, str | None]]] = {}


def events(app: Headrace, run_id: str) -> list[Any]:
    return app.runs.get(run_id).task_events


def kinds(run_id: str) -> list[str]:
    return [kind for kind, *_ in told[run_id]]


def extends(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
    ctx.refresh_timeout(timedelta(seconds=30 + ctx.retry_count))
    if ctx.retry_count == 0:
        raise RuntimeError("once")
    return {}


def fails_once(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
    if ctx.retry_count == 0:
        raise RuntimeError("once")
    return {}


def test_a_longer_time_limit_is_told_of_each_attempt_at_no_request(calls: Counter[str]) -> None:
    ran(Headrace(config=Settings()), fails_once, retries=1)
    without = dict(calls)
    calls.clear()
    run_id = ran(Headrace(config=Settings()), extends, retries=1)
    assert dict(calls) == without
    assert kinds(run_id) == [
        "CREATED",
        "QUEUED",
        "ASSIGNED",
        "STARTED",
        "TIMEOUT_REFRESHED",
        "FAILED",
        "RETRYING",
        "QUEUED",
        "ASSIGNED",
        "STARTED",
        "TIMEOUT_REFRESHED",
        "FINISHED",
    ]
    said = [
        (attempt, message, error)
        for kind, attempt, message, error in told[run_id]
        if kind == "TIMEOUT_REFRESHED"
    ]
    assert said == [
        (1, "its time limit was extended by 30 s", None),
        (2, "its time limit was extended by 31 s", None),
    ]


def test_a_released_slot_is_told_once() -> None:
    def releases(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        ctx.release_slot()
        ctx.release_slot()
        return {}

    assert kinds(ran(Headrace(config=Settings()), releases)) == [
        "CREATED",
        "QUEUED",
        "ASSIGNED",
        "STARTED",
        "SLOT_RELEASED",
        "FINISHED",
    ]


def test_what_was_asked_is_there_from_the_next_beat_on() -> None:
    app = Headrace(config=Settings())
    seen: list[str] = []

    def beats(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        ctx.refresh_timeout("1m")
        work: Work = ctx._work
        beat_once(app.engine, HELD, work.attempt, work.control)  # type: ignore[arg-type]  # the engine's own
        seen.extend(each.event_type.value for each in events(app, ctx.workflow_run_id))
        return {}

    run_id = ran(app, beats)
    assert seen == ["CREATED", "QUEUED", "ASSIGNED", "STARTED", "TIMEOUT_REFRESHED"]
    assert kinds(run_id) == [*seen, "FINISHED"]


def test_of_many_the_first_and_the_last_ten_are_kept() -> None:
    def insists(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        for seconds in range(1, 101):
            ctx.refresh_timeout(timedelta(seconds=seconds))
        return {}

    said = [
        message.rpartition(" by ")[2]
        for kind, _, message, _ in told[ran(Headrace(config=Settings()), insists)]
        if kind == "TIMEOUT_REFRESHED"
    ]
    assert said == [f"{seconds} s" for seconds in (*range(1, 11), *range(91, 101))]


def test_a_limit_that_never_lets_it_start_is_told_apart_from_an_error_of_that_name() -> None:
    class RateLimitError(Exception):
        pass

    def never(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        raise AssertionError("it cannot start")

    def raises(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        raise RateLimitError("429")

    too_much = RateLimit(dynamic_key="'k'", units="2 + 3", limit=1, duration=RateLimitDuration.MINUTE)
    run_id = ran(Headrace(config=Settings()), never, rate_limits=[too_much])
    assert kinds(run_id)[-2:] == ["RATE_LIMIT_ERROR", "FAILED"]
    assert told[run_id][-2][3] == told[run_id][-1][3]
    assert "RateLimitError" in str(told[run_id][-1][3])
    assert kinds(ran(Headrace(config=Settings()), raises))[-2:] == ["STARTED", "FAILED"]


def test_a_replay_keeps_what_was_told() -> None:
    app = Headrace(config=Settings())
    task = app.task(name="task", retries=1)(extends)
    app.worker("w", workflows=[task])
    with local(app, backend="memory", background=False) as stack:
        run_id = task.run({}, wait_for_result=False).workflow_run_id
        stack.drain()
        app.runs.replay(run_id)
        stack.drain()
        found = [each.attempt for each in events(app, run_id) if each.event_type.value == "TIMEOUT_REFRESHED"]
    assert found == [1, 2, 3]


def test_each_member_of_a_batch_is_told() -> None:
    app = Headrace(config=Settings())

    @app.batch_task(name="both", batch_max_size=2)
    def both(inputs: dict[Any, Any], ctx: Context) -> dict[Any, Any]:
        ctx.refresh_timeout("1m")
        return {key: {} for key in inputs}

    app.worker("w", workflows=[both])
    with local(app, backend="memory", background=False) as stack:
        ids = [both.run({}, wait_for_result=False).workflow_run_id for _ in range(2)]
        stack.drain()
        for run_id in ids:
            assert "TIMEOUT_REFRESHED" in [each.event_type.value for each in events(app, run_id)]


@pytest.mark.parametrize("retried", [False, True])
def test_a_durable_run_began_when_its_code_did_however_often_it_was_resumed(retried: bool) -> None:
    app = Headrace(config=Settings())

    @app.durable_task(name="sleeps", retries=1)
    async def sleeps(input: dict[str, Any], ctx: DurableContext) -> dict[str, Any]:
        await ctx.aio_sleep_for(timedelta(hours=1))
        await ctx.aio_sleep_for(timedelta(hours=2))
        if retried and ctx.retry_count == 0:
            raise RuntimeError("once")
        return {}

    app.worker("w", workflows=[sleeps])
    with local(app, backend="memory", background=False) as stack:
        run_id = sleeps.run({}, wait_for_result=False).workflow_run_id
        stack.drain()
        details = app.runs.get(run_id)
    created, [task] = details.run.created_at, details.tasks
    happened = [
        (each.event_type.value, round((each.timestamp - created) / timedelta(hours=1)))
        for each in details.task_events
    ]
    assert happened[:4] == [("CREATED", 0), ("QUEUED", 0), ("ASSIGNED", 0), ("STARTED", 0)]
    if retried:
        assert happened[4:6] == [("FAILED", 3), ("RETRYING", 3)]
        return
    assert happened[4:] == [("DURABLE_EVICTED", 1), ("DURABLE_RESTORING", 3), ("FINISHED", 3)]
    for row in (details.run, task):
        assert row.started_at is not None
        assert row.started_at - created < timedelta(minutes=1)
        assert row.duration is not None
        assert row.duration >= 3 * 3_600_000
