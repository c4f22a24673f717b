"""Runs that start later: `delay`, `run_at`, `debounce`; and retries with jitter."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from tests.engine.test_crons import KillAt, Killed, World, crash_points, in_minutes

from headrace import (
    Context,
    Debounce,
    DefinitionError,
    EmptyModel,
    Headrace,
    IdempotencyCollisionError,
    TTLBasedIdempotencyConfig,
)
from headrace.core.run.attempts.backoff import RetryIn, decide_retry
from headrace.core.run.plans.encoding import decode_plan, encode_plan
from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.core.table import DEBOUNCED
from headrace.engine.clock.scheduled import OVERDUE_MS


def start(world: World, **options: Any) -> str:
    return world.flow.run(EmptyModel(), wait_for_result=False, **options).workflow_run_id


@pytest.mark.parametrize("minutes", [0, 1, 14, 16, 45])
@pytest.mark.parametrize("how", ["delay", "run_at"])
def test_a_run_starts_when_it_was_told_to(minutes: int, how: str) -> None:
    world = World(schedule_timeout=timedelta(minutes=1))
    given = timedelta(minutes=minutes) if how == "delay" else in_minutes(world, minutes)
    run_id = start(world, **{how: given})
    assert world.app.runs.get_status(run_id) == "QUEUED"
    world.minutes(50)
    assert world.at_minutes == [minutes]
    assert world.app.runs.get_status(run_id) == "COMPLETED"


def test_a_time_that_has_passed_is_at_once() -> None:
    world = World(schedule_timeout=timedelta(minutes=1))
    start(world, run_at=in_minutes(world, -60))
    world.deliver_all()
    assert world.at_minutes == [0]


@pytest.mark.parametrize("minutes", [5, 30])
def test_a_delayed_run_can_be_cancelled(minutes: int) -> None:
    world = World()
    run_id = start(world, delay=f"{minutes}m")
    world.app.runs.cancel(run_id)
    world.minutes(40)
    assert (world.ran, world.app.runs.get_status(run_id)) == ([], "CANCELLED")


@pytest.mark.parametrize("minutes", [5, 30])
def test_every_root_waits(minutes: int) -> None:
    world = World()
    flow = world.app.workflow(name="flow")
    seen: list[tuple[str, int]] = []

    @flow.task()
    def a(input: EmptyModel, ctx: Context) -> None:
        seen.append(("a", world.clock.now_ms() - world.began_ms))

    @flow.task()
    def b(input: EmptyModel, ctx: Context) -> None:
        seen.append(("b", world.clock.now_ms() - world.began_ms))

    world.worker.register_workflow(flow)
    flow.run(delay=timedelta(minutes=minutes), wait_for_result=False)
    world.minutes(40)
    assert sorted(seen) == [("a", minutes * 60_000), ("b", minutes * 60_000)]


def test_a_delayed_run_whose_client_died_is_not_sent_early_by_a_collision() -> None:
    """A collision sends the start of a run that has no record again: at its time."""
    kill = KillAt()
    world = World(kill, idempotency=TTLBasedIdempotencyConfig("'k'", timedelta(hours=1)))
    points = list(
        crash_points(
            lambda w: start(w, delay="5m") and None,
            lambda f: World(f, idempotency=TTLBasedIdempotencyConfig("'k'", timedelta(hours=1))),
        )
    )
    assert len(points) >= 6
    for number, after in points:
        kill = KillAt()
        world = World(kill, idempotency=TTLBasedIdempotencyConfig("'k'", timedelta(hours=1)))
        kill.at = (kill.calls + number, after)
        with pytest.raises(Killed):
            start(world, delay="5m")
        with contextlib.suppress(IdempotencyCollisionError):  # it may be admitted, too
            start(world, delay="5m")
        world.minutes(7)
        assert world.at_minutes == [5], (number, after)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"delay": "5m", "run_at": 1}, "workflow nightly: delay and run_at are both given"),
        (
            {"delay": timedelta(days=31)},
            r"cannot be delayed for longer than runs are kept, 30 days: use schedule",
        ),
        ({"delay": "soon"}, "workflow nightly: delay is 'soon': give a timedelta"),
        ({"delay": timedelta(seconds=-1)}, "a duration cannot be negative"),
        ({"run_at": "tomorrow"}, "workflow nightly: run_at is 'tomorrow': give a datetime"),
        ({"debounce": "k"}, r"debounce is 'k': give Debounce\(key, period\)"),
        ({"debounce": Debounce("", "5s")}, "debounce: key is ''"),
        ({"debounce": Debounce("k", "1ms")}, "period is 0:00:00.001000 .* at least 1 second"),
        ({"debounce": Debounce("k", "10s", "5s")}, "a max_wait of at least the period"),
        ({"debounce": Debounce("k", "10s"), "delay": "5m"}, "delay and debounce are both given"),
        ({"debounce": Debounce("k", "10s"), "priority": 9}, "priority is 9"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], what: str) -> None:
    world = World()
    with pytest.raises(DefinitionError, match=what):
        start(world, **options)
    assert world.items("") == []


# ---------------------------------------------------------------- debounced


def test_calls_start_one_run_after_they_stopped_with_the_last_input() -> None:
    world = World()
    ids = []
    for n in range(5):
        ids.append(
            world.flow.run(
                EmptyModel(n=n), debounce=Debounce("k", "30s"), wait_for_result=False
            ).workflow_run_id
        )  # type: ignore[call-arg]  # any input
        world.minutes(1 if n == 9 else 0)
        world.clock.advance(20_000)
        world.deliver_all()
    other = start(world, debounce=Debounce("other", "30s"))
    world.minutes(3)
    assert len(set(ids)) == 1
    assert sorted(world.ran) == sorted([(ids[0], 110_000), (other, 130_000)])
    again = start(world, debounce=Debounce("k", "30s"))
    world.minutes(1)
    assert again != ids[0]
    assert world.ran[-1][0] == again
    assert world.items(DEBOUNCED) == []


def test_the_last_input_counts() -> None:
    world = World()
    for n in (1, 2, 3):
        world.flow.run(
            EmptyModel(n=n),
            debounce=Debounce("k", "10s"),
            additional_metadata={"n": n},
            wait_for_result=False,
        )  # type: ignore[call-arg]  # any input
    world.minutes(1)
    assert world.seen == ({"n": 3}, {"n": 3}, 1)


def test_a_run_is_not_put_off_for_ever() -> None:
    world = World()
    for _ in range(30):
        start(world, debounce=Debounce("k", "10s", "45s"))
        world.clock.advance(5_000)
        world.deliver_all()
    world.minutes(2)
    assert [at_ms // 1000 for _, at_ms in world.ran] == [45, 90, 135, 155]


def test_a_caller_that_dies_loses_no_later_call() -> None:
    def act(world: World) -> None:
        start(world, debounce=Debounce("k", "10s"))

    points = list(crash_points(act, World))
    assert len(points) >= 6
    for number, after in points:
        kill = KillAt()
        world = World(kill)
        kill.at = (kill.calls + number, after)
        with pytest.raises(Killed):
            act(world)
        world.clock.advance(OVERDUE_MS + 11_000)
        world.deliver_all()
        before = len(world.ran)
        act(world)
        world.minutes(1)
        assert len(world.ran) == before + 1, (number, after)


def test_a_worker_that_dies_while_it_starts_a_debounced_run_starts_it_once() -> None:
    def make(faults: Any) -> World:
        world = World(faults)
        start(world, debounce=Debounce("k", "10s"))
        world.clock.advance(10_000)
        return world

    def fire_one(world: World) -> None:
        world.deliver_all()

    for number, after in crash_points(fire_one, make):
        kill = KillAt()
        world = make(kill)
        kill.at = (kill.calls + number, after)
        with pytest.raises(Killed):
            fire_one(world)
        world.minutes(3)
        assert len({run_id for run_id, _ in world.ran}) == 1, (number, after)
        assert world.items(DEBOUNCED) == [], (number, after)


def test_a_debounced_run_inside_a_task_is_no_child() -> None:
    world = World()
    index = world.flow

    @world.app.task()
    def parent(input: EmptyModel, ctx: Context) -> None:
        index.run(EmptyModel(), debounce=Debounce("k", "10s"), wait_for_result=False)

    world.worker.register_workflow(parent)
    parent.run(wait_for_result=False)
    world.minutes(1)
    assert len(world.ran) == 1


# ---------------------------------------------------------------- jitter


def test_jitter_takes_a_share_of_the_backoff_away() -> None:
    task = TaskPlan(name="t", retries=9, backoff_factor=2.0, retry_jitter=0.5)
    found = [decide_retry(task, 3, retryable=True, run_id=str(n)) for n in range(200)]
    delays = [each.delay_ms for each in found if isinstance(each, RetryIn)]
    assert len(set(delays)) > 150
    assert all(8_000 < each <= 16_000 for each in delays)
    assert min(delays) < 8_500 < 15_500 < max(delays)
    assert decide_retry(task, 3, retryable=True, run_id="7") == found[7]
    plain = TaskPlan(name="t", retries=9, backoff_factor=2.0)
    assert decide_retry(plain, 3, retryable=True, run_id="7") == RetryIn(16_000)


def test_jitter_is_part_of_the_plan_and_checked() -> None:
    plan = RunPlan(workflow="w", tasks=(TaskPlan(name="t", backoff_factor=2.0, retry_jitter=0.25),))
    assert decode_plan("w", "", encode_plan(plan)) == plan
    for options, what in (
        ({"retry_jitter": 2.0, "backoff_factor": 2.0}, "retry_jitter is 2.0"),
        ({"retry_jitter": 0.5}, "without backoff_factor"),
    ):
        with pytest.raises(DefinitionError, match=what):
            Headrace().task(**options)(lambda input, ctx: {})  # type: ignore[call-overload]  # what is refused


def test_the_reference_of_a_debounced_run_waits_for_it_to_start() -> None:
    import threading
    from time import sleep

    world = World()
    ref = world.flow.run(EmptyModel(), debounce=Debounce("k", "10s"), wait_for_result=False)
    results: list[Any] = []
    waiter = threading.Thread(target=lambda: results.append(ref.result()))
    world.app.settings.poll_s = world.app.settings.longest_poll_s = 1.0
    waiter.start()  # it moves the clock while it waits
    while world.clock.now_ms() - world.began_ms < 20_000 and waiter.is_alive():
        world.deliver_all()
        sleep(0.001)
    world.deliver_all()
    waiter.join(10)
    assert results == [None]
