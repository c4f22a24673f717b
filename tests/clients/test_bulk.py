"""Bulk cancel and replay: a worker of the stack works them off, whatever dies meanwhile."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.lives import born, raised, returned
from support.records import plan, task
from tests.clients.conftest import Desk

from headrace.clients.models.bulk import BulkOperation
from headrace.clients.models.runs import BulkCancelReplayOpts, RunFilter
from headrace.clients.runs.client import RunsClient
from headrace.core.changes import Put
from headrace.core.run.message import BulkMessage, TaskMessage, decode_message, encode_bulk
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import RunRecord, RunStatus
from headrace.core.table import bulk_key
from headrace.engine.attempts.ports import Done, Host
from headrace.engine.catalog.workers import DeclaredWorker, publish_workers
from headrace.engine.catalog.workflows import Published, publish_workflows
from headrace.engine.engine import Engine
from headrace.engine.runs.bulk.work import go_on
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.read import read
from headrace.errors import HeadraceError, NotConfigured
from headrace.memory.clock import VirtualClock
from headrace.memory.faults import NoFaults
from headrace.memory.queues import MemoryQueues
from headrace.memory.wiring import connect
from headrace.ports import Outgoing, Received

SOLO = RunPlan(workflow="solo", version="1", tasks=(task("solo", worker="tasks"),), standalone=True)
PAIR = plan(task("a", worker="tasks"), task("b", "a", worker="tasks"), workflow="pair")
BULK = "bulk"
"""The worker that is given bulk operations; its queue holds nothing else."""


@pytest.fixture
def runs(desk: Desk) -> RunsClient:
    return stack(desk)


def stack(desk: Desk) -> RunsClient:
    publish_workflows(desk.engine, [Published(plan=each) for each in (SOLO, PAIR)])
    publish_workers(desk.engine, [DeclaredWorker(worker=BULK)])
    return RunsClient(desk)


def solo(desk: Desk, n: int, *, failed: bool = True, of: RunPlan = SOLO, **fields: Any) -> RunRecord:
    run = born(of, f"r{n:05d}", at_ms=desk.clock.now_ms() - 1_000 - n, **fields)
    task_name = of.tasks[0].name
    return raised(run, task_name, at_ms=run.created_at_ms + 2) if failed else run


def since(desk: Desk) -> datetime:
    return datetime.fromtimestamp(desk.clock.now_ms() / 1000, UTC) - timedelta(hours=1)


def failed_ones(desk: Desk, **more: Any) -> BulkCancelReplayOpts:
    return BulkCancelReplayOpts(filters=RunFilter(since=since(desk), statuses=[RunStatus.FAILED], **more))


def received(desk: Desk, visibility_s: int = 30) -> list[Received]:
    return desk.engine.queues.receive(BULK, limit=10, wait_s=0, visibility_s=visibility_s)


def host(left_ms: int = 60_000) -> Host:
    return Host(worker=BULK, runnables={}, time_left_ms=lambda: left_ms)


def work_off(desk: Desk, *, left_ms: int = 60_000) -> int:
    """Deliver what the worker is sent until nothing is left; returns how many messages there were."""
    count = 0
    while True:
        found = received(desk)
        if not found:
            return count
        for message in found:
            count += 1
            assert isinstance(deliver(desk.engine, host(left_ms), message), Done)
            desk.engine.queues.delete(message)


def restarts(engine: Engine) -> Counter[str]:
    """How many start messages each run was sent."""
    assert isinstance(engine.queues, MemoryQueues)
    found = [decode_message(body) for body in engine.queues.bodies("tasks")]
    return Counter(each.run_id for each in found if isinstance(each, TaskMessage))


def generation(desk: Desk, run_id: str) -> int:
    record = read(desk.engine, run_id)
    assert record is not None
    return record.generation.number if record.generation is not None else 0


# ---------------------------------------------------------------- what happens


def test_failed_runs_are_replayed_by_a_worker_though_the_client_is_gone(desk: Desk, runs: RunsClient) -> None:
    desk.keep(*(solo(desk, n, failed=n % 2 == 0) for n in range(250)))
    asked = runs.bulk_replay(failed_ones(desk))
    assert (asked.status, asked.done, asked.total) == ("WORKING", 0, None)
    assert restarts(desk.engine) == {}  # nothing but one message so far
    work_off(desk)
    found = RunsClient(desk).get_bulk(asked.id)  # another client
    assert (found.status, found.done, found.refused, found.total) == ("DONE", 125, 0, 125)
    assert restarts(desk.engine) == {f"r{n:05d}": 1 for n in range(0, 250, 2)}
    assert runs.wait_for_bulk(asked.id) == found
    assert [each.id for each in runs.list_bulk()] == [asked.id]


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.scale)])
def test_its_cost_is_linear(count: int) -> None:
    def calls(number: int) -> Counter[str]:
        tally = Tally()
        desk = desk_with(tally)
        runs = stack(desk)
        desk.keep(*(solo(desk, n) for n in range(number)))
        tally.calls.clear()
        asked = runs.bulk_replay(failed_ones(desk))
        work_off(desk)
        assert runs.get_bulk(asked.id).done == number
        return tally.calls

    one, two = calls(count), calls(2 * count)
    assert two["write"] <= min(2 * one["write"], 2 * count * 1.05)
    assert two["get"] <= 2 * one["get"]
    assert two["query_index"] <= 2 * one["query_index"]


def test_progress_is_noted_page_by_page_and_what_is_left_is_handed_on(desk: Desk, runs: RunsClient) -> None:
    desk.keep(*(solo(desk, n) for n in range(250)))
    asked = runs.bulk_replay(failed_ones(desk))
    seen: list[tuple[int, int | None, int]] = []
    for _ in range(3):
        [message] = received(desk)
        deliver(desk.engine, host(left_ms=5_000), message)  # time for one page
        desk.engine.queues.delete(message)
        found = runs.get_bulk(asked.id)
        seen.append((found.done, found.total, found.looked_at))
    assert seen == [(100, 250, 200), (200, 250, 250), (250, 250, 250)]  # a page ahead
    assert received(desk) == []
    assert set(restarts(desk.engine).values()) == {1}


def test_what_needs_nothing_is_left_and_what_cannot_be_done_is_told(desk: Desk, runs: RunsClient) -> None:
    gone = replace(SOLO, workflow="gone")
    desk.keep(solo(desk, 1), solo(desk, 2, failed=False), solo(desk, 3, of=gone))
    asked = runs.bulk_replay(BulkCancelReplayOpts(ids=["r00001", "r00002", "r00003", "nothing", "r00001"]))
    assert asked.total == 4
    work_off(desk)
    found = runs.wait_for_bulk(asked.id)
    assert (found.looked_at, found.done, found.refused) == (4, 1, 2)
    assert "Workflow run nothing not found" in found.reasons
    assert any("workflow gone is not deployed any more" in each for each in found.reasons)
    assert generation(desk, "r00001") == 1


def test_runs_are_cancelled_by_ids_and_by_filter_and_a_task_by_its_own(desk: Desk, runs: RunsClient) -> None:
    pair = born(PAIR, "pair1", at_ms=desk.clock.now_ms() - 10)
    desk.keep(*(solo(desk, n, failed=False, metadata={"n": n % 2}) for n in range(6)))
    desk.keep(returned(pair, "a", {}, desk.clock.now_ms() - 5))
    asked = runs.bulk_cancel(BulkCancelReplayOpts(ids=["r00000", "pair1:b"]))
    work_off(desk)
    assert runs.get_bulk(asked.id).done == 2
    assert runs.get_task_run("pair1:b").status is RunStatus.CANCELLED
    assert runs.get_task_run("pair1:a").status is RunStatus.COMPLETED
    filters = RunFilter(since=since(desk), additional_metadata={"n": "0"}, workflow_ids=["solo"])
    asked = runs.bulk_cancel(BulkCancelReplayOpts(filters=filters))
    work_off(desk)
    assert runs.get_bulk(asked.id).done == 2
    assert [runs.get_status(f"r{n:05d}").value for n in range(6)] == ["CANCELLED", "QUEUED"] * 3


def test_only_the_failed_tasks_run_again(desk: Desk, runs: RunsClient) -> None:
    run = born(PAIR, "pair1", at_ms=desk.clock.now_ms() - 10)
    desk.keep(raised(returned(run, "a", {"n": 1}, run.created_at_ms), "b", at_ms=run.created_at_ms + 2))
    asked = runs.bulk_replay(BulkCancelReplayOpts(ids=["pair1"]), only_failed=True)
    work_off(desk)
    assert runs.get_bulk(asked.id).done == 1
    assert runs.get_task_run("pair1:a").output == {"n": 1}
    assert runs.get_task_run("pair1:b").status is RunStatus.QUEUED


def test_chunks_have_pauses_between_them(desk: Desk, runs: RunsClient) -> None:
    desk.keep(*(solo(desk, n) for n in range(5)))
    asked = runs.bulk_replay_by_filters_with_pagination(
        since=since(desk), statuses=[RunStatus.FAILED], chunk_size=2, sleep_time=7
    )
    done = []
    for _ in range(3):
        work_off(desk)
        done.append(runs.get_bulk(asked.id).done)
        desk.clock.advance(6_000)
        assert work_off(desk) == 0
        desk.clock.advance(1_000)
    assert done == [2, 4, 5]


@pytest.mark.parametrize("given", [{"chunk_size": 0}, {"chunk_size": 1_001}, {"sleep_time": 901}])
def test_chunks_that_cannot_be_are_refused(desk: Desk, runs: RunsClient, given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(given))} is "):
        runs.bulk_cancel_by_filters_with_pagination(since=since(desk), **given)  # type: ignore[arg-type]  # a name and its number
    assert runs.list_bulk() == []


def test_a_stack_without_workers_says_so_and_stores_nothing(desk: Desk) -> None:
    runs = RunsClient(desk)
    with pytest.raises(NotConfigured, match="no worker that could cancel runs"):
        runs.bulk_cancel(BulkCancelReplayOpts(ids=["r"]))
    assert runs.list_bulk() == []
    with pytest.raises(ValueError, match="there is no bulk operation b1"):
        runs.get_bulk("b1")


def test_runs_of_another_namespace_are_not_found(desk: Desk) -> None:
    desk.keep(solo(desk, 1))
    stack(desk)
    other = RunsClient(replace(desk, settings=replace(desk.settings, namespace="other")))
    asked = other.bulk_cancel(BulkCancelReplayOpts(ids=["r00001"]))
    work_off(desk)
    assert other.get_bulk(asked.id).reasons == ["Workflow run r00001 not found"]
    with pytest.raises(ValueError, match="no bulk operation"):
        RunsClient(desk).get_bulk(asked.id)


# ---------------------------------------------------------------- what may go wrong


class Killed(BaseException):
    """The process ends here."""


class Tally(NoFaults):
    """Counts calls; ends the process at one of them."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.at: int | None = None
        self.late = False

    def _look(self, late: bool) -> None:
        if self.at is not None and self.calls.total() >= self.at and self.late == late:
            raise Killed

    def before(self, port: str, call: str) -> None:
        self.calls[call] += 1
        self._look(False)

    def after(self, port: str, call: str) -> None:
        self._look(True)


def desk_with(faults: NoFaults) -> Desk:
    ports = connect(faults=faults, max_receive_count=1_000)
    assert isinstance(ports.clock, VirtualClock)
    return Desk(engine=Engine.on(ports), clock=ports.clock)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", ["replay", "cancel"])
def test_a_worker_that_dies_at_any_call_loses_none_and_does_none_twice(kind: str, late: bool) -> None:
    tally = Tally()
    desk = desk_with(tally)
    runs = stack(desk)
    desk.keep(*(solo(desk, n, failed=kind == "replay") for n in range(24)))
    chunks: dict[str, Any] = {"since": since(desk), "chunk_size": 8, "sleep_time": 0}
    asked: BulkOperation
    if kind == "replay":
        asked = runs.bulk_replay_by_filters_with_pagination(statuses=[RunStatus.FAILED], **chunks)
    else:
        asked = runs.bulk_cancel_by_filters_with_pagination(**chunks)
    tally.late = late
    deaths = 0
    while runs.get_bulk(asked.id).status == "WORKING":
        desk.clock.advance(1_100)
        [message, *_] = received(desk, visibility_s=1)
        tally.at = tally.calls.total() + 1 + 3 * (deaths % 23)
        try:
            deliver(desk.engine, host(left_ms=5_000), message)
            tally.at = None
            desk.engine.queues.delete(message)
        except Killed:
            deaths += 1
        tally.at = None
    assert deaths > 7
    found = runs.get_bulk(asked.id)
    assert (found.done, found.refused, found.looked_at) == (24, 0, 24)
    if kind == "replay":
        assert {generation(desk, f"r{n:05d}") for n in range(24)} == {1}
    else:
        assert {runs.get_status(f"r{n:05d}") for n in range(24)} == {RunStatus.CANCELLED}


def test_a_page_done_again_replays_none_that_is_over_again_since(desk: Desk, runs: RunsClient) -> None:
    desk.keep(solo(desk, 1))
    asked = runs.bulk_replay(BulkCancelReplayOpts(ids=["r00001"]))
    [message] = received(desk)
    before = {str(item["sk"]): item for item in desk.engine.store.query("bulk")}[asked.id]
    deliver(desk.engine, host(), message)
    runs.cancel("r00001")  # over again
    item = {name: value for name, value in before.items() if name not in ("pk", "sk")}
    desk.engine.store.write(Put(key=bulk_key(asked.id), item=item))  # its note was never written
    deliver(desk.engine, host(), message)
    assert generation(desk, "r00001") == 1
    assert runs.get_bulk(asked.id).done == 1


def test_of_two_messages_of_one_turn_only_one_goes_on(desk: Desk, runs: RunsClient) -> None:
    desk.keep(*(solo(desk, n) for n in range(250)))
    asked = runs.bulk_replay(failed_ones(desk))
    [message] = received(desk)
    deliver(desk.engine, host(left_ms=5_000), message)
    deliver(desk.engine, host(left_ms=5_000), message)  # delivered twice: its turn is over
    assert runs.get_bulk(asked.id).done == 100
    stale = Outgoing(body=encode_bulk(BulkMessage(id=asked.id, turn=1)))
    desk.engine.queues.send(BULK, [stale])  # the turn twice, as two that hand on at once send it
    for each in received(desk):
        deliver(desk.engine, host(left_ms=5_000), each)
    work_off(desk)
    assert runs.get_bulk(asked.id).done == 250
    assert set(restarts(desk.engine).values()) == {1}


def test_an_operation_whose_message_cannot_be_processed_says_so(desk: Desk, runs: RunsClient) -> None:
    asked = runs.bulk_cancel(BulkCancelReplayOpts(filters=RunFilter(since=since(desk))))
    [message] = received(desk)
    fail_dead_letter(desk.engine, message, reason="its worker kept dying")
    assert runs.get_bulk(asked.id).status == "STOPPED"
    with pytest.raises(HeadraceError, match="was stopped: its worker kept dying"):
        runs.wait_for_bulk(asked.id)
    go_on(desk.engine, BulkMessage(id=asked.id, turn=0), BULK, lambda: 60_000)
    assert runs.get_bulk(asked.id).looked_at == 0


def test_a_few_that_are_named_are_done_in_the_call_and_the_worker_finds_nothing_to_do(
    desk: Desk, runs: RunsClient
) -> None:
    desk.keep(*(solo(desk, n, failed=False) for n in range(3)))
    ids = [run.metadata.id for run in runs.list(since=since(desk)).rows]
    assert len(ids) == 3
    found = runs.bulk_cancel(BulkCancelReplayOpts(ids=ids))
    assert (found.status, found.done, found.total) == ("DONE", 3, 3)
    assert {runs.get_status(run_id) for run_id in ids} == {RunStatus.CANCELLED}
    assert work_off(desk) >= 1
    assert runs.get_bulk(found.id).done == 3


def test_a_waiting_client_works_on_it_where_no_worker_does(desk: Desk, runs: RunsClient) -> None:
    desk.keep(*(solo(desk, n, failed=False) for n in range(150)))
    asked = runs.bulk_cancel(BulkCancelReplayOpts(filters=RunFilter(since=since(desk))))
    began_ms = desk.clock.now_ms()
    assert runs.wait_for_bulk(asked.id, timeout=60).done == 150  # behind a long queue, say
    assert desk.clock.now_ms() - began_ms <= 3_000
    assert work_off(desk) == 1  # which has nothing to do
    assert runs.get_bulk(asked.id).done == 150


def test_a_client_that_waits_too_long_is_told(desk: Desk, runs: RunsClient) -> None:
    asked = runs.bulk_cancel(BulkCancelReplayOpts(filters=RunFilter(since=since(desk))))
    with pytest.raises(TimeoutError, match="goes on after 1 seconds"):
        runs.wait_for_bulk(asked.id, timeout=1)
    assert decode_message(encode_bulk(BulkMessage(id="b", turn=3))) == BulkMessage(id="b", turn=3)
