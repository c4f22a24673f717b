"""Executions are bounded, and an outage spends none of them: an hour without the table, or without the queues, fails nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from support.records import plan, task
from support.world import KillAt, Killed, World

from headrace.core.run.attempts.backoff import redelivery_s
from headrace.core.run.derived.progress import run_status
from headrace.core.run.owed import DEAD_LETTER, LOST_WORKER
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import RunStatus
from headrace.core.run.stored.record import record_of
from headrace.engine.attempts.ports import Host, Work
from headrace.engine.engine import Limits
from headrace.engine.owed.dead_letters import DeadMessage, DeadTask, dead_letters, forget, send_again
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.memory.clock import VirtualClock
from headrace.memory.queues import DEAD_LETTERS
from headrace.ports import Outgoing
from headrace_infra.template.queues import MAX_RECEIVE_COUNT

HOUR_MS = 3_600_000
ONLY = plan(task("only"), workflow="flow")
CHAIN = plan(task("a"), task("b", "a", worker="other"), workflow="flow")


@dataclass(slots=True)
class Outage:
    """Every call of a port fails until it is over; queues still deliver, which is worse than if they did not."""

    port: str
    clock: VirtualClock | None = None
    until_ms: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def begin(self, clock: VirtualClock, for_ms: int) -> None:
        self.clock, self.until_ms = clock, clock.now_ms() + for_ms

    def before(self, port: str, call: str) -> None:
        if port != self.port or call == "receive" or self.clock is None:
            return
        if self.clock.now_ms() < self.until_ms:
            self.refused[call] += 1
            raise (StoreUnavailable if port == "store" else QueueUnavailable)("out")

    def after(self, port: str, call: str) -> None: ...


def echo(work: Work) -> Json:
    return {"task": work.task}


@pytest.mark.parametrize("port", ["store", "queues"])
@pytest.mark.parametrize("flow", [ONLY, CHAIN], ids=["one task", "two workers"])
def test_an_hour_without_an_answer_fails_nothing(port: str, flow: object) -> None:
    """With the default schedule timeout of five minutes: what was received in time is not late because the table was away."""
    outage = Outage(port)
    w = World(
        plans={"flow": flow},  # type: ignore[dict-item]  # a plan
        code=dict.fromkeys("ab", echo) | {"only": echo},
        faults=outage,
        max_receive_count=MAX_RECEIVE_COUNT,
    )
    ids = [w.start("flow") for _ in range(20)]
    outage.begin(w.clock, HOUR_MS)
    w.drain()
    assert outage.refused.total() > 20
    assert w.clock.now_ms() >= outage.until_ms
    records = [w.record(run_id) for run_id in ids]
    assert {run_status(record) for record in records} == {RunStatus.COMPLETED}
    assert max(Counter(w.ran).values()) == 20, "each task of each run ran once"
    assert dead_letters(w.engine) == []


def test_an_outage_takes_few_of_a_messages_deliveries() -> None:
    hidden_s, deliveries = 0, 0
    while hidden_s < 3_600:
        deliveries += 1
        hidden_s += redelivery_s(deliveries)
    assert deliveries == 9
    assert [redelivery_s(n) for n in (1, 2, 3, 7, 8, 120)] == [15, 30, 60, 900, 900, 900]
    shortest_visibility_s = 31
    assert MAX_RECEIVE_COUNT * shortest_visibility_s > 3_600


def test_code_that_has_run_does_not_run_again_because_the_table_was_away() -> None:
    outage = Outage("store")

    def body(work: Work) -> Json:
        outage.begin(w.clock, HOUR_MS)
        return {"n": 1}

    class Processes(World):
        def host(self, worker: str) -> Host:
            return replace(World.host(self, worker), time_left_ms=lambda: 10**9)

    w = Processes(
        plans={"flow": ONLY}, code={"only": body}, faults=outage, max_receive_count=MAX_RECEIVE_COUNT
    )
    run_id = w.start("flow")
    w.drain()
    assert (run_status(w.record(run_id)), w.ran) == (RunStatus.COMPLETED, ["only"])


@pytest.mark.parametrize("max_crashes", [0, 1, 3])
def test_what_kills_its_worker_runs_once_and_once_more_for_each_crash_that_is_allowed(
    max_crashes: int,
) -> None:
    def body(work: Work) -> Json:
        raise Killed

    w = World(
        plans={"flow": ONLY},
        code={"only": body},
        limits=Limits(max_crashes=max_crashes),
        max_receive_count=MAX_RECEIVE_COUNT,
    )
    run_id = w.start("flow")
    w.drain()
    assert len(w.ran) == 1 + max_crashes
    row = w.record(run_id).tasks["only"]
    assert row.error is not None
    assert (row.error.type, run_status(w.record(run_id))) == (LOST_WORKER, RunStatus.FAILED)
    [letter] = dead_letters(w.engine)
    assert isinstance(letter, DeadTask)
    assert (letter.run_id, letter.task, letter.worker) == (run_id, "only", "default")
    assert letter.reason == row.error.message


def test_each_retry_of_the_users_does_not_start_the_count_again() -> None:
    flow = plan(task("only", retries=5), workflow="flow")

    def body(work: Work) -> Json:
        if len(w.ran) % 2:
            raise Killed
        raise ValueError("no")

    w = World(plans={"flow": flow}, code={"only": body}, max_receive_count=MAX_RECEIVE_COUNT)
    run_id = w.start("flow")
    w.drain()
    assert w.record(run_id).tasks["only"].takeovers == 3
    assert len(w.ran) == 3 + 1 + 3


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_dead_letter_is_kept_whatever_dies_when_it_is(after_effect: bool) -> None:
    def run(fault: KillAt) -> World:
        def body(work: Work) -> Json:
            raise Killed

        w = World(
            plans={"flow": ONLY},
            code={"only": body},
            faults=fault,
            limits=Limits(max_crashes=0),
            max_receive_count=40,
        )
        w.start("flow")
        w.drain()
        return w

    clean = KillAt(10**9, after_effect)
    run(clean)
    for n in range(4, clean.calls):
        w = run(KillAt(n, after_effect))
        assert len(dead_letters(w.engine)) == 1, n


def test_a_message_that_no_worker_claims_ends_its_task_and_is_kept() -> None:
    """A function that does not even start: only its queue counts its deliveries."""
    w = World(plans={"flow": ONLY}, code={"only": echo}, max_receive_count=5)
    run_id = w.start("flow")
    for _ in range(5):
        assert w.queues.receive("default", limit=1, wait_s=0)
        w.clock.advance(60_000)
    assert not w.queues.receive("default", limit=1, wait_s=0)
    w.drain()
    row = w.record(run_id).tasks["only"]
    assert row.error is not None
    assert (row.error.type, w.ran) == (DEAD_LETTER, [])
    assert [letter.reason for letter in dead_letters(w.engine)] == ["delivered too often"]
    assert w.queues.depth(DEAD_LETTERS) == 0


def test_a_message_is_kept_and_sent_again() -> None:
    from headrace.engine.owed.dead_letters import keep_message

    w = World(plans={"flow": ONLY}, code={"only": echo}, max_receive_count=1)
    w.queues.send("default", [Outgoing(body='{"run": 7}')])
    w.queues.receive("default", limit=1, wait_s=0)
    w.clock.advance(60_000)
    w.queues.receive("default", limit=1, wait_s=0)
    [received] = w.queues.receive(DEAD_LETTERS, limit=1, wait_s=0)
    keep_message(w.engine, received, "nothing can be made of it")
    keep_message(w.engine, received, "nothing can be made of it")
    [letter] = dead_letters(w.engine)
    assert isinstance(letter, DeadMessage)
    assert (letter.queue, letter.body) == ("default", '{"run": 7}')
    send_again(w.engine, letter, letter.queue or "")
    forget(w.engine, letter)
    assert (w.queues.bodies("default"), dead_letters(w.engine)) == (['{"run": 7}'], [])


def test_a_store_that_answers_again_is_told_of_every_run_once() -> None:
    """Half of all calls fail for an hour: nothing is lost, and nothing runs more often than its crashes allow."""

    @dataclass(slots=True)
    class Flapping(Outage):
        calls: int = 0

        def before(self, port: str, call: str) -> None:
            self.calls += 1
            if self.calls % 2:
                Outage.before(self, port, call)

    outage = Flapping("store")
    w = World(
        plans={"flow": CHAIN},
        code=dict.fromkeys("ab", echo),
        faults=outage,
        max_receive_count=MAX_RECEIVE_COUNT,
    )
    ids = [w.start("flow") for _ in range(10)]
    outage.begin(w.clock, HOUR_MS)
    w.drain()
    outage.until_ms = 0
    assert {run_status(w.record(run_id)) for run_id in ids} == {RunStatus.COMPLETED}
    records = [record_of(item) for item in w.store.items() if item["sk"] == "run"]
    assert all(row.takeovers == 0 for record in records for row in record.tasks.values())
    assert Counter(w.ran) == Counter({"a": 10, "b": 10})
