"""How many messages a process asks for, what goes back to the queue, and how they are deleted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace.definitions.worker import Worker
from headrace.errors import QueueUnavailable
from headrace.memory.queues import MemoryQueues
from headrace.memory.wiring import connect
from headrace.ports import Outgoing, Ports, Received
from headrace.runtime.process import Process
from headrace.runtime.slots.intake import AHEAD_S, WAITED_S, Deleter, Intake, give_back
from headrace.runtime.slots.polls import VISIBILITY_S


def message(number: int) -> Received:
    return Received(queue="q", body=str(number), receipt=f"{number}.1", receive_count=1, sent_at_ms=0)


def messages(count: int) -> list[Received]:
    return [message(number) for number in range(count)]


class Timed:
    """An intake with its clock in hand."""

    def __init__(self, slots: int) -> None:
        self.clock = SimpleNamespace(now_s=0.0)
        self.intake = Intake(slots, now_s=lambda: self.clock.now_s)

    def deliveries(self, count: int, took_s: float) -> None:
        for number in range(count):
            self.intake.put([message(number)])
            assert self.intake.take() is not None
            self.intake.done(took_s)


ROOMS = [  # slots, how long deliveries took, begun, waiting, messages to ask for
    (1, None, 0, 0, 1),
    (1, None, 1, 0, 0),
    (10, None, 0, 0, 10),
    (10, None, 4, 0, 6),
    (10, 60.0, 9, 0, 1),
    (10, 60.0, 10, 0, 0),
    (10, 0.01, 10, 0, 10),
    (10, 0.01, 10, 1, 0),
    (10, 0.01, 0, 0, 10),
    (2, 0.1, 2, 0, 5),
    (2, 0.1, 2, 3, 0),
    (2, AHEAD_S * 2, 2, 0, 1),
    (2, AHEAD_S * 3, 2, 0, 0),
]


@pytest.mark.parametrize(("slots", "took_s", "begun", "waiting", "room"), ROOMS)
def test_what_is_asked_for(slots: int, took_s: float | None, begun: int, waiting: int, room: int) -> None:
    """As many as are free, and ahead as many as will not wait longer than a quarter of a second."""
    timed = Timed(slots)
    if took_s is not None:
        timed.deliveries(1, took_s)
    timed.intake.put(messages(begun + waiting))
    for _ in range(begun):
        assert timed.intake.take() is not None
    assert timed.intake.wait_for_room(0) == room


def test_tasks_that_become_slow_end_the_receiving_ahead() -> None:
    timed = Timed(1)
    timed.deliveries(1, 0.01)
    timed.intake.put(messages(1))
    timed.intake.take()
    assert timed.intake.wait_for_room(0) == 10
    timed.intake.done(30.0)
    timed.intake.put(messages(1))
    timed.intake.take()
    assert timed.intake.wait_for_room(0) == 0


def test_what_has_waited_goes_back_while_its_visibility_lasts() -> None:
    assert WAITED_S * 3 < VISIBILITY_S
    timed = Timed(1)
    timed.intake.put([message(0)])
    timed.clock.now_s = WAITED_S - 1
    timed.intake.put([message(1)])
    assert timed.intake.overdue() == []
    timed.clock.now_s = WAITED_S
    assert timed.intake.overdue() == [message(0)]
    assert timed.intake.take() == message(1)


def test_closing_returns_what_waits_and_ends_every_slot() -> None:
    intake = Intake(2)
    ended: list[Received | None] = []
    slots = [threading.Thread(target=lambda: ended.append(intake.take())) for _ in range(2)]
    for slot in slots:
        slot.start()
    assert intake.close() == []
    for slot in slots:
        slot.join(5)
    assert ended == [None, None]
    assert intake.put([message(7)]) == [message(7)]
    assert intake.wait_for_room(0) == 0


@pytest.fixture
def ports() -> Ports:
    return connect(visibility_s=VISIBILITY_S)


def test_done_messages_are_deleted_in_batches(ports: Ports) -> None:
    assert isinstance(ports.queues, MemoryQueues)
    batches: list[int] = []

    class Counting:
        def delete_many(self, messages: list[Received]) -> None:
            batches.append(len(messages))
            ports.queues.delete_many(messages)

    for number in range(23):
        ports.queues.send("q", [Outgoing(body=str(number))])
    received: list[Received] = []
    while found := ports.queues.receive("q", limit=10, wait_s=0):
        received += found
    deleter = Deleter(Counting())  # type: ignore[arg-type]  # all that a deleter calls
    for each in received:
        deleter.add(each)
    deleter.close()
    assert sum(batches) == 23
    assert max(batches) <= 10
    assert len(batches) < 23
    ports.clock.sleep(VISIBILITY_S + 1)
    assert ports.queues.receive("q", limit=10, wait_s=0) == []


def test_a_queue_that_does_not_answer_costs_a_delivery_more(
    ports: Ports, caplog: pytest.LogCaptureFixture
) -> None:
    class Down:
        def delete_many(self, messages: list[Received]) -> None:
            raise QueueUnavailable("down")

        def hide(self, message: Received, seconds: int) -> None:
            raise QueueUnavailable("down")

    deleter = Deleter(Down())  # type: ignore[arg-type]  # all that a deleter calls
    deleter.add(message(1))
    deleter.close()
    give_back(Down(), [message(2)])  # type: ignore[arg-type]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


# ---------------------------------------------------------------- a process with several slots


@pytest.fixture
def world() -> Iterator[SimpleNamespace]:
    found = SimpleNamespace(app=Headrace(), began=threading.Semaphore(0), go_on=threading.Event(), seen=[])
    found.app.use(connect(visibility_s=VISIBILITY_S))

    @found.app.task(name="count")
    def count(input: EmptyModel, ctx: Context) -> None:
        found.seen.append(ctx.workflow_run_id)
        found.began.release()
        found.go_on.wait(10)

    found.task = count
    yield found
    found.go_on.set()


def process_of(world: SimpleNamespace, slots: int) -> Process:
    worker: Worker = world.app.worker("w", workflows=[world.task], process=True, slots=slots)
    return Process(worker)


def test_a_process_does_all_and_deletes_all(world: SimpleNamespace) -> None:
    world.go_on.set()
    process = process_of(world, slots=4)
    ids = [world.task.run(wait_for_result=False).workflow_run_id for _ in range(60)]
    thread = threading.Thread(target=process.run)
    thread.start()
    for _ in ids:
        assert world.began.acquire(timeout=10)
    process.stopping.set()
    thread.join(20)
    assert not thread.is_alive()
    assert sorted(world.seen) == sorted(ids)
    clock, queues = world.app.engine.clock, world.app.engine.queues
    clock.sleep(VISIBILITY_S + 1)
    assert queues.receive("w", limit=10, wait_s=0) == []


def test_what_was_not_begun_is_there_for_another_process_at_once(world: SimpleNamespace) -> None:
    process = process_of(world, slots=1 + 1)
    process._intake._average_s = 0.001  # deliveries have been short: it receives ahead
    for _ in range(6):
        world.task.run(wait_for_result=False)
    thread = threading.Thread(target=process.run)
    thread.start()
    for _ in range(2):
        assert world.began.acquire(timeout=10)
    process.stopping.set()
    queues = world.app.engine.queues
    back: list[Received] = []
    for _ in range(200):
        back += queues.receive("w", limit=10, wait_s=0)
        if len(back) == 4:
            break
        process.stopping.wait(0)
        threading.Event().wait(0.05)
    world.go_on.set()
    thread.join(20)
    assert len(back) == 4
    assert len(world.seen) == 2


@pytest.mark.parametrize("slots", [1, 3])
def test_a_process_does_what_is_in_its_second_queue(world: SimpleNamespace, slots: int) -> None:
    world.go_on.set()
    process = process_of(world, slots=slots)
    queues = world.app.engine.queues
    ids = [world.task.run(wait_for_result=False).workflow_run_id for _ in range(6)]
    moved = queues.receive("w", limit=3, wait_s=0)
    queues.send("w-next", [Outgoing(body=each.body) for each in moved])
    queues.delete_many(moved)
    thread = threading.Thread(target=process.run)
    thread.start()
    for _ in ids:
        assert world.began.acquire(timeout=10)
    process.stopping.set()
    thread.join(20)
    assert not thread.is_alive()
    assert sorted(world.seen) == sorted(ids)
    assert queues.depth("w") + queues.depth("w-next") == 0


def test_what_comes_first_passes_what_waits_for_a_slot() -> None:
    intake = Intake(2)
    intake.put(messages(2))
    intake.put([message(8), message(9)], first=True)
    assert [intake.take() for _ in range(4)] == [message(8), message(9), message(0), message(1)]
