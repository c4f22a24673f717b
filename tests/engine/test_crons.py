"""Crons and scheduled runs fire exactly once, whatever dies and however many clocks there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.app import Headrace
from headrace.context.context import Context
from headrace.core.run.message import decode_message
from headrace.core.table import CRONS, SCHEDULED, TIMERS
from headrace.engine.attempts.ports import Done, Host
from headrace.engine.clock import crons
from headrace.engine.clock.tick import tick
from headrace.engine.engine import Engine
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.engine.timers import LATEST_S
from headrace.memory.clock import VirtualClock
from headrace.memory.faults import Faults
from headrace.memory.store import MemoryStore
from headrace.memory.wiring import connect
from headrace.options.times import from_epoch_ms
from headrace.settings.settings import Settings
from headrace.triggers.door import door_of
from headrace.values.empty import EmptyModel


class Killed(BaseException):
    """The process died."""


class KillAt:
    """Dies before or after the nth call of a port, once."""

    def __init__(self) -> None:
        self.at: tuple[int, bool] | None = None
        self.calls = 0

    def before(self, port: str, call: str) -> None:
        self.calls += 1
        if self.at == (self.calls, False):
            self.at = None
            raise Killed

    def after(self, port: str, call: str) -> None:
        if self.at == (self.calls, True):
            self.at = None
            raise Killed


class World:
    """One app with the workflow `nightly`, its worker and its clock, in virtual time."""

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        began: datetime = datetime(2025, 6, 16, 12, 0, tzinfo=UTC),
        **config: Any,
    ) -> None:
        self.ports = connect(faults=faults)
        assert isinstance(self.ports.clock, VirtualClock)
        self.clock: VirtualClock = self.ports.clock
        self.clock.advance_to(int(began.timestamp() * 1000))
        self.began_ms = self.clock.now_ms()
        self.ran: list[tuple[str, int]] = []
        self.app = Headrace(config=Settings())

        @self.app.task(name="nightly", **config)
        def nightly(input: EmptyModel, ctx: Context) -> dict[str, Any]:
            self.ran.append((ctx.workflow_run_id, self.clock.now_ms() - self.began_ms))
            self.seen = (dict(ctx.additional_metadata), input.model_dump(), ctx.priority)
            return {}

        self.flow = nightly
        self.seen: tuple[Any, ...] = ()
        self.worker = self.app.worker("w", workflows=[nightly])
        self.app.use(self.ports)
        self.next_tick_ms = self.began_ms

    @property
    def engine(self) -> Engine:
        return self.app.engine

    def deliver_all(self) -> None:
        host = Host(worker="w", runnables=self.worker.runnables(), start=door_of(self.app))
        while found := self.engine.queues.receive("w", limit=1, wait_s=0, visibility_s=30):
            if isinstance(deliver(self.engine, host, found[0]), Done):
                self.engine.queues.delete(found[0])

    def minutes(self, count: int, *, clocks: int = 1, step_s: int = 1) -> None:
        """Let time pass, with a tick (by each clock) every minute."""
        until_ms = self.clock.now_ms() + count * 60_000
        while self.clock.now_ms() < until_ms:
            if self.clock.now_ms() >= self.next_tick_ms:
                for _ in range(clocks):
                    tick(self.engine)
                self.next_tick_ms = self.clock.now_ms() + 60_000
            self.deliver_all()
            self.clock.advance(step_s * 1000)
        self.deliver_all()

    def items(self, prefix: str) -> list[str]:
        store = self.ports.store
        assert isinstance(store, MemoryStore)
        return [str(item["pk"]) for item in store.items() if str(item["pk"]).startswith(prefix)]

    @property
    def at_minutes(self) -> list[float]:
        return [round(at_ms / 60_000, 2) for _, at_ms in self.ran]


def in_minutes(world: World, minutes: float) -> datetime:
    return from_epoch_ms(world.clock.now_ms() + int(minutes * 60_000))


# ---------------------------------------------------------------- crons


def test_a_declared_cron_fires_at_its_time_with_hatchets_metadata() -> None:
    world = World(on_crons=["*/20 * * * *"], cron_input={"a": 1}, default_priority=3)
    world.app._publish()
    world.minutes(61)
    assert world.at_minutes == [20, 40, 60]
    assert world.seen == (
        {"hatchet__cron_expression": "*/20 * * * *", "hatchet__cron_scheduled_at": "2025-06-16T13:00:00Z"},
        {"a": 1},
        3,
    )


def test_seconds_fire_each_once() -> None:
    world = World(on_crons=["*/10 * * * * *"])
    world.app._publish()
    world.minutes(15)
    assert [at_ms // 1000 for _, at_ms in world.ran] == list(range(10, 901, 10))
    assert len(world.items(CRONS)) == 1


def test_crons_of_a_time_zone() -> None:
    world = World(on_crons=["CRON_TZ=Europe/Berlin 30 14 * * *"])  # 12:30 UTC in summer
    world.app._publish()
    world.minutes(60, step_s=5)
    assert world.at_minutes == [30]


def test_created_listed_and_deleted() -> None:
    world = World(on_crons=["@daily"])
    world.app._publish()
    made = world.app.cron.create(
        "nightly", "often", "*/5 * * * *", {"x": 1}, {"k": "v"}, priority=2, timezone="Asia/Tokyo"
    )
    assert (made.cron, made.timezone, made.name, made.method, made.priority) == (
        "*/5 * * * *",
        "Asia/Tokyo",
        "often",
        "API",
        2,
    )
    assert made.next_at is not None
    assert made.next_at > from_epoch_ms(world.began_ms)
    assert [row.name for row in world.app.cron.list().rows] == [None, "often"]
    assert [row.method for row in world.app.cron.list(workflow_name="nightly").rows] == ["DEFAULT", "API"]
    assert [row.name for row in world.app.cron.list(additional_metadata={"k": "v"}).rows] == ["often"]
    assert world.app.cron.list(cron_name="seldom").rows == []
    assert world.app.cron.get(made.metadata.id).input == {"x": 1}
    world.minutes(11)
    assert world.at_minutes == [5, 10]
    assert world.seen[0] == {
        "k": "v",
        "hatchet__cron_expression": "*/5 * * * *",
        "hatchet__cron_name": "often",
        "hatchet__cron_scheduled_at": "2025-06-16T12:10:00Z",
    }
    world.app.cron.delete(made.metadata.id)
    world.app.cron.delete(made.metadata.id)
    world.minutes(20)
    assert world.at_minutes == [5, 10]  # also not those that were on their way
    with pytest.raises(ValueError, match="no cron"):
        world.app.cron.get(made.metadata.id)


def test_the_same_name_and_expression_exist_once() -> None:
    world = World()
    world.app._publish()
    world.flow.create_cron("a", "@daily")
    with pytest.raises(
        ValueError,
        match=r"cron 'a' of workflow nightly: there is a cron of that name with the expression '@daily'",
    ):
        world.flow.create_cron("a", "@daily")
    world.flow.create_cron("a", "@hourly")
    world.flow.create_cron("b", "@daily")
    assert len(world.app.cron.list().rows) == 3


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (
            {"expression": "0 0 31 2 *"},
            "cron 'c' of workflow nightly: cron expression '0 0 31 2 \\*': no month '2' has a day '31'",
        ),
        ({"workflow_name": "nowhere"}, "no workflow 'nowhere' is registered"),
        ({"cron_name": ""}, "cron_name is ''"),
        ({"priority": 99}, "priority is 99"),
        ({"timezone": "Mars/Base"}, "'Mars/Base' is not a time zone"),
    ],
)
def test_what_is_refused_is_not_stored(given: dict[str, Any], what: str) -> None:
    world = World()
    world.app._publish()
    with pytest.raises(ValueError, match=what):
        world.app.cron.create(
            **{"workflow_name": "nightly", "cron_name": "c", "expression": "@daily", **given}
        )
    assert world.items(CRONS) == world.items(TIMERS) == []


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (
            {"on_crons": ["61 * * * *"]},
            "workflow nightly: on_crons: cron expression '61 .*the minute is '61'",
        ),
        ({"on_crons": "@daily"}, r"on_crons is '@daily': give a list, such as \['@daily'\]"),
        ({"on_crons": ["@daily", "@daily"]}, "on_crons has '@daily' twice"),
        ({"cron_input": {"a": 1}}, "cron_input is given without on_crons"),
        ({"on_crons": ["@daily"], "cron_input": 7}, "cron_input: an input is a dict"),
    ],
)
def test_nonsense_is_refused_where_it_is_defined(config: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        World(**config)


def test_a_deployment_replaces_the_declared_crons_only() -> None:
    world = World(on_crons=["@daily", "@hourly"])
    world.app._publish()
    world.flow.create_cron("mine", "@weekly")
    other = Headrace(config=Settings())
    flow = other.workflow(name="nightly", on_crons=["@hourly", "@monthly"], cron_input={"n": 2})

    @flow.task()
    def step(input: EmptyModel, ctx: Context) -> None: ...

    other.worker("w", workflows=[flow])
    other.use(world.ports)
    other._publish()
    rows = other.cron.list().rows
    assert sorted((row.cron, row.method, row.input.get("n")) for row in rows) == [
        ("@hourly", "DEFAULT", 2),
        ("@monthly", "DEFAULT", 2),
        ("@weekly", "API", None),
    ]
    with pytest.raises(ValueError, match="is declared by workflow nightly: take it out of on_crons"):
        other.cron.delete(next(row.metadata.id for row in rows if row.cron == "@monthly"))


@pytest.mark.parametrize(
    ("stopped", "expected"), [(61, [61, 120]), (62, [62, 120]), (63, [120]), (24 * 60 + 1, [1441, 1500])]
)
def test_a_clock_that_stood_still_makes_up_the_newest_tick_of_two_minutes(
    stopped: int, expected: list[float]
) -> None:
    world = World(on_crons=["@hourly"])
    world.app._publish()
    tick(world.engine)
    world.clock.advance(stopped * 60_000)
    world.minutes(59, step_s=10)
    assert world.at_minutes == expected


def test_a_paused_workflow_queues_or_drops_its_ticks() -> None:
    for how, expected in (("QUEUE", 3), ("DROP", 1)):
        world = World(on_crons=["*/5 * * * *"])
        world.app._publish()
        world.minutes(6)
        world.flow.pause(timedelta(hours=1), paused_workflow_cron_run_queue_behavior=how)  # type: ignore[arg-type]  # one of the two
        world.clock.advance(11_000)
        world.minutes(9)
        assert len(world.ran) == 1
        world.flow.unpause()
        world.minutes(2)
        assert (how, len(world.ran)) == (how, expected)


def test_idempotency_collisions_of_ticks_are_swallowed() -> None:
    from headrace import TTLBasedIdempotencyConfig

    world = World(
        on_crons=["*/5 * * * *"], idempotency=TTLBasedIdempotencyConfig("'k'", timedelta(minutes=8))
    )
    world.app._publish()
    world.minutes(16)
    assert world.at_minutes == [5, 15]


# ---------------------------------------------------------------- exactly once


def cron_world(faults: Faults) -> World:
    return World(faults, on_crons=["*/7 * * * *"])


def schedule_world(faults: Faults) -> World:
    return World(faults)


def calls_of(act: Callable[[World], None], make: Callable[[Faults], World]) -> int:
    kill = KillAt()
    world = make(kill)
    before = kill.calls
    act(world)
    return kill.calls - before


def crash_points(act: Callable[[World], None], make: Callable[[Faults], World]) -> Iterator[tuple[int, bool]]:
    for number in range(1, calls_of(act, make) + 1):
        yield number, False
        yield number, True


def test_a_clock_that_dies_at_any_call_fires_each_tick_once() -> None:
    """The tick that meets the pointer to the second firing, which the publisher has put."""

    def make(faults: Faults) -> World:
        world = cron_world(faults)
        world.app._publish()
        world.minutes(10, step_s=10)
        return world

    points = list(crash_points(lambda world: tick(world.engine) and None, make))
    assert len(points) > 20
    for number, after in points:
        kill = KillAt()
        world = make(kill)
        kill.at = (kill.calls + number, after)
        with pytest.raises(Killed):
            tick(world.engine)
        world.minutes(12, step_s=10)
        assert [round(at) for at in world.at_minutes] == [7, 14, 21], (number, after)


def test_a_publisher_that_dies_at_any_call_is_made_good_by_the_next() -> None:
    for number, after in crash_points(lambda world: world.app._publish(), cron_world):
        kill = KillAt()
        world = cron_world(kill)
        kill.at = (kill.calls + number, after)
        with pytest.raises(Killed):
            world.app._publish()
        world.app._publish()
        world.minutes(21, step_s=7)
        assert [round(at) for at in world.at_minutes] == [7, 14, 21], (number, after)


def test_two_clocks_fire_each_tick_once() -> None:
    world = World(on_crons=["*/7 * * * *", "30 * * * * *"])
    world.app._publish()
    world.minutes(30, clocks=2)
    assert Counter(Counter(run_id for run_id, _ in world.ran).values()) == {1: 34}


def test_a_worker_that_dies_while_it_fires_starts_one_run() -> None:
    def fire_one(world: World) -> None:
        host = Host(worker="w", runnables={}, start=door_of(world.app))
        [found] = world.engine.queues.receive("w", limit=1, wait_s=0, visibility_s=30)
        deliver(world.engine, host, found)

    for kind in ("cron", "schedule"):

        def make(faults: Faults, kind: str = kind) -> World:
            world = World(faults, on_crons=["*/7 * * * *"] if kind == "cron" else None)
            world.app._publish()
            if kind == "schedule":
                world.app.scheduled.create("nightly", in_minutes(world, 7), {})
            world.clock.advance(7 * 60_000)
            return world

        points = list(crash_points(fire_one, make))
        assert len(points) > 6
        for number, after in points:
            kill = KillAt()
            world = make(kill)
            kill.at = (kill.calls + number, after)
            with pytest.raises(Killed):
                fire_one(world)
            world.clock.advance(31_000)
            world.deliver_all()
            assert len(world.ran) == 1, (kind, number, after)


# ---------------------------------------------------------------- scheduled runs


@pytest.mark.parametrize("minutes", [0, 1, 9, 12, 16, 45])
def test_a_scheduled_run_starts_at_its_time(minutes: int) -> None:
    world = World()
    world.app._publish()
    made = world.app.scheduled.create("nightly", in_minutes(world, minutes), {"a": 1}, {"k": "v"}, priority=2)
    assert (made.workflow_run_status, made.input) == ("SCHEDULED", {"a": 1})
    world.minutes(60)
    assert world.at_minutes == [minutes]
    assert world.seen == ({"k": "v"}, {"a": 1}, 2)
    found = world.app.scheduled.get(made.metadata.id)
    assert (found.workflow_run_status, found.workflow_run_id) == ("SUCCEEDED", world.ran[0][0])


def test_one_whose_time_has_passed_starts_at_once() -> None:
    world = World()
    world.app._publish()
    world.app.scheduled.create("nightly", in_minutes(world, -60), {})
    world.deliver_all()
    assert world.at_minutes == [0]


@pytest.mark.parametrize("first", [5, 30])
@pytest.mark.parametrize("then", [2, 14, 50])
def test_it_can_be_moved_until_it_starts(first: int, then: int) -> None:
    world = World()
    world.app._publish()
    made = world.app.scheduled.create("nightly", in_minutes(world, first), {})
    moved = world.app.scheduled.update(made.metadata.id, in_minutes(world, then))
    assert moved.trigger_at == in_minutes(world, then)
    world.minutes(60)
    assert world.at_minutes == [then]
    for act in (
        lambda: world.app.scheduled.update(made.metadata.id, in_minutes(world, 1)),
        lambda: world.app.scheduled.delete(made.metadata.id),
    ):
        with pytest.raises(ValueError, match=r"has started .* already: it can be neither moved nor deleted"):
            act()


@pytest.mark.parametrize("minutes", [5, 30])
def test_one_that_is_deleted_does_not_start(minutes: int) -> None:
    world = World()
    world.app._publish()
    made = world.app.scheduled.create("nightly", in_minutes(world, minutes), {})
    world.app.scheduled.delete(made.metadata.id)
    world.minutes(40)
    assert world.ran == []
    with pytest.raises(ValueError, match="no scheduled run"):
        world.app.scheduled.delete(made.metadata.id)


def test_listed_by_what_is_asked_for_and_changed_in_bulk() -> None:
    world = World()
    world.app._publish()
    ids = [
        world.app.scheduled.create("nightly", in_minutes(world, minutes), {}, {"team": team}).metadata.id
        for minutes, team in ((0, "a"), (20, "a"), (30, "b"), (10, "b"))
    ]
    world.deliver_all()
    listed = world.app.scheduled.list
    assert [row.metadata.id for row in listed().rows] == [ids[0], ids[3], ids[1], ids[2]]
    assert [row.metadata.id for row in listed(statuses=["SCHEDULED"], limit=2).rows] == [ids[3], ids[1]]  # type: ignore[list-item]  # names do
    assert [
        row.metadata.id for row in listed(additional_metadata={"team": "a"}, order_by_direction="DESC").rows
    ] == [ids[1], ids[0]]
    assert listed(workflow_id="nightly").pagination.num_pages == 1
    assert listed(workflow_id="other").rows == []
    done = world.app.scheduled.bulk_update(
        [(ids[1], in_minutes(world, 40)), ("none", in_minutes(world, 1)), (ids[0], in_minutes(world, 1))]
    )
    assert (done.updated_ids, [each.id for each in done.errors]) == ([ids[1]], ["none", ids[0]])
    gone = world.app.scheduled.bulk_delete(additional_metadata={"team": "b"})
    assert sorted(gone.deleted_ids) == sorted([ids[2], ids[3]])
    with pytest.raises(ValueError, match="give scheduled_ids or at least one filter"):
        world.app.scheduled.bulk_delete()
    world.minutes(60)
    assert world.at_minutes == [0, 40]


def test_a_naive_time_is_utc_with_a_warning_and_nonsense_is_refused() -> None:
    world = World()
    world.app._publish()
    naive = in_minutes(world, 5).replace(tzinfo=None)
    with pytest.warns(UserWarning, match="trigger_at is .*without a time zone: it is taken as UTC"):
        made = world.app.scheduled.create("nightly", naive, {})
    assert made.trigger_at == naive.replace(tzinfo=UTC)
    for given, what in (
        ({"trigger_at": "tomorrow"}, "trigger_at is 'tomorrow': give a datetime"),
        ({"workflow_name": "nowhere"}, "no workflow 'nowhere'"),
        ({"priority": 0}, "priority is 0"),
        ({"input": {"x": "y" * 300_000}}, "the limit is 262,144 bytes"),
    ):
        with pytest.raises(ValueError, match=what):
            world.app.scheduled.create(
                **{"workflow_name": "nightly", "trigger_at": in_minutes(world, 5), "input": {}, **given}
            )  # type: ignore[arg-type]  # what is refused
    assert len(world.items(SCHEDULED)) == 1


def test_a_paused_workflow_queues_or_drops_scheduled_runs() -> None:
    for how, expected, status in (("QUEUE", 1, "SUCCEEDED"), ("DROP", 0, "FAILED")):
        world = World()
        world.app._publish()
        world.flow.pause(timedelta(hours=1), paused_workflow_scheduled_run_queue_behavior=how)  # type: ignore[arg-type]  # one of the two
        made = world.app.scheduled.create("nightly", in_minutes(world, 1), {})
        world.minutes(3)
        assert world.ran == []
        world.flow.unpause()
        world.minutes(3)
        assert len(world.ran) == expected
        found = world.app.scheduled.get(made.metadata.id)
        assert found.workflow_run_status == status
        assert (found.problem is None) == (how == "QUEUE")


def test_what_cannot_start_says_why() -> None:
    world = World()
    world.app._publish()
    made = world.app.scheduled.create("nightly", in_minutes(world, 1), {})
    del world.app._registry.workflows["nightly"]
    world.app._registry.workers.clear()
    world.app._publish()
    world.minutes(2)
    found = world.app.scheduled.get(made.metadata.id)
    assert found.workflow_run_status == "FAILED"
    assert "no workflow 'nightly' is registered" in str(found.problem)


def test_a_firing_that_no_worker_could_handle_is_told() -> None:
    world = World()
    world.app._publish()
    made = world.app.scheduled.create("nightly", in_minutes(world, 0), {})
    [message] = world.engine.queues.receive("w", limit=1, wait_s=0, visibility_s=30)
    fail_dead_letter(world.engine, message, reason="delivered too often")
    assert world.app.scheduled.get(made.metadata.id).problem == "delivered too often"


def test_a_creator_that_dies_leaves_all_or_nothing() -> None:
    """What it stored starts, if late; what it did not store does not exist."""

    def act(world: World) -> None:
        world.app.scheduled.create("nightly", in_minutes(world, 5), {})

    def make(faults: Faults) -> World:
        world = World(faults)
        world.app._publish()
        return world

    points = list(crash_points(act, make))
    assert len(points) >= 6
    for number, after in points:
        kill = KillAt()
        world = make(kill)
        kill.at = (kill.calls + number, after)
        with pytest.raises(Killed):
            act(world)
        stored = len(world.items(SCHEDULED))
        world.minutes(LATEST_S // 60 + 8, step_s=5)
        assert len(world.ran) == stored, (number, after)


def test_a_cron_whose_creator_died_before_it_sent_a_tick_is_found_by_the_clock_within_two_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.app._publish()
    world.minutes(3)

    def dies(engine: Engine, job: crons.CronJob) -> int:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(crons, "advance", dies)
        with pytest.raises(Killed):
            world.flow.create_cron("c", "* * * * *")
    world.minutes(8)
    first = int(min(world.at_minutes))
    assert first <= 3 + 2
    assert world.at_minutes == list(range(first, 3 + 8 + 1)), "each minute's, once"


def test_workflow_schedule_returns_what_was_scheduled() -> None:
    world = World(default_additional_metadata={"team": "core"})
    world.app._publish()
    version = world.flow.schedule(
        in_minutes(world, 3), EmptyModel(), additional_metadata={"a": 1}, priority=3
    )
    [made] = version.scheduled_workflows
    assert (version.workflow_id, made.additional_metadata, made.priority) == (
        world.flow.id,
        {"team": "core", "a": 1},
        3,
    )
    world.minutes(4)
    assert world.at_minutes == [3]


def test_namespaces_see_their_own() -> None:
    world = World()
    world.app._publish()
    made = world.app.scheduled.create("nightly", in_minutes(world, 3), {})
    cron = world.flow.create_cron("c", "@daily")
    staging = Headrace(config=Settings(namespace="staging"))
    staging.use(world.ports)
    assert staging.scheduled.list().rows == staging.cron.list().rows == []
    for act in (
        lambda: staging.scheduled.get(made.metadata.id),
        lambda: staging.scheduled.delete(made.metadata.id),
        lambda: staging.cron.get(cron.metadata.id),
    ):
        with pytest.raises(ValueError, match=r"no (scheduled run|cron)"):
            act()


def test_poison_firings_are_dropped() -> None:
    from headrace.core.run.message import BadMessage

    for body in (
        '{"fire":"moon","id":"a","due":1}',
        '{"fire":"cron","id":"","due":1}',
        '{"fire":"cron","id":"a"}',
        '{"fire":"cron","id":"a","due":"x"}',
    ):
        with pytest.raises(BadMessage):
            decode_message(body)


class Count:
    """Counts calls of the ports."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def before(self, port: str, call: str) -> None:
        self.calls[call] += 1

    def after(self, port: str, call: str) -> None:
        """Nothing happens after a call."""


def writes_of(act: Callable[[World], object], count: Count, world: World) -> int:
    before = count.calls["write"]
    act(world)
    return count.calls["write"] - before


def test_what_the_table_of_docs_triggers_says_it_costs() -> None:
    """Writes beside a run's own. The clock deletes what it has sent with `write_many`, one unit each."""
    count = Count()
    world = World(count)
    world.app._publish()
    world.minutes(1)
    own = writes_of(
        lambda w: (w.flow.run(EmptyModel(), wait_for_result=False), w.deliver_all()), count, world
    )
    assert writes_of(lambda w: w.app.scheduled.create("nightly", in_minutes(w, 0), {}), count, world) == 2
    assert writes_of(World.deliver_all, count, world) == own + 1
    world.flow.create_cron("c", "*/30 * * * *")
    quiet = writes_of(lambda w: w.minutes(5, step_s=10), count, world)  # one cursor a minute
    assert quiet <= 5
    assert len(world.items(TIMERS)) == 2  # a pointer to the scheduled run, and one to the cron
    debounced = writes_of(lambda w: [start_debounced(w) for _ in range(5)], count, world)
    assert debounced == 2 + 4  # one look and one begin; one for each call after it


def start_debounced(world: World) -> None:
    from headrace import Debounce

    world.flow.run(EmptyModel(), debounce=Debounce("k", "30s"), wait_for_result=False)
