"""What the clock's conditions and its order of writes are for: each test holds one of them by itself."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from tests.engine.test_crons import KillAt, Killed, World, in_minutes

from headrace.core.table import TIMERS
from headrace.engine.clock.crons import advance, get_cron
from headrace.engine.clock.scheduled import delete_scheduled, get_scheduled, mark_started, move_scheduled
from headrace.engine.clock.tick import tick
from headrace.engine.engine import Engine
from headrace.engine.timers import SendMessage, put_timer
from headrace.memory.clock import VirtualClock
from headrace.memory.wiring import connect


def scheduled(world: World) -> Any:
    made = world.app.scheduled.create("nightly", in_minutes(world, 5), {})
    found = get_scheduled(world.app.engine, made.metadata.id)
    assert found is not None
    return found


def test_one_that_is_moved_after_its_worker_has_read_it_is_not_marked_as_started() -> None:
    world = World()
    world.app._publish()
    run, engine = scheduled(world), world.app.engine
    assert move_scheduled(engine, run.id, run.due_ms + 60_000) is not None
    assert mark_started(engine, run) is None


def test_one_that_was_marked_is_neither_moved_nor_deleted() -> None:
    world = World()
    world.app._publish()
    run, engine = scheduled(world), world.app.engine
    assert mark_started(engine, run) is not None
    assert move_scheduled(engine, run.id, run.due_ms + 60_000) is None
    assert not delete_scheduled(engine, run.id)


class KillAtAnEffect(KillAt):
    """Counts what changes something, and passes over reads."""

    def before(self, port: str, call: str) -> None:
        if call in ("send", "write"):
            super().before(port, call)

    def after(self, port: str, call: str) -> None:
        if call in ("send", "write"):
            super().after(port, call)


@pytest.mark.parametrize("after", [False, True])
def test_a_timer_is_sent_before_it_is_deleted(after: bool) -> None:
    for number in range(1, 6):
        kill = KillAtAnEffect()
        ports = connect(faults=kill)
        engine, clock = Engine.on(ports), ports.clock
        assert isinstance(clock, VirtualClock)
        tick(engine)
        put_timer(engine, clock.now_ms() + 700_000, SendMessage(worker="w", body='{"n":1}'))
        clock.advance(500_000)
        kill.at = (kill.calls + number, after)
        try:
            tick(engine)
        except Killed:
            tick(engine)
        assert '{"n":1}' in ports.queues.bodies("w"), (number, after)  # type: ignore[attr-defined]  # in memory


@pytest.mark.parametrize("after", [False, True])
def test_the_timer_of_a_cron_s_next_tick_is_there_before_it_points_to_it(after: bool) -> None:
    moved = 0
    for number in range(1, 12):
        kill = KillAt()
        world = World(kill)
        world.app._publish()
        made = world.app.cron.create("nightly", "often", "*/5 * * * *", {}, {})
        engine = world.app.engine
        job = get_cron(engine, made.metadata.id)
        assert job is not None
        world.clock.advance(600_000)
        kill.at = (kill.calls + number, after)
        with contextlib.suppress(Killed):
            advance(engine, job)
        kill.at = None
        now = get_cron(engine, made.metadata.id)
        assert now is not None
        timers = [item for item in engine.store.items() if str(item["pk"]).startswith(TIMERS)]  # type: ignore[attr-defined]  # in memory
        assert now.due_ms in {item["due"] for item in timers if item.get("id") == job.id}, (number, after)
        moved += now.due_ms != job.due_ms
    assert moved
