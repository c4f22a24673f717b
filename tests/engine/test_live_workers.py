"""Who works: leases of processes, what they announce, and what is declared for clients without the code."""

from __future__ import annotations

import threading

import pytest

from headrace import Context, EmptyModel, Headrace, Settings
from headrace.definitions.worker import Worker
from headrace.engine.catalog.workers import (
    LEASE_S,
    RENEW_EVERY_S,
    DeclaredWorker,
    LiveWorker,
    announce,
    declared,
    leave,
    live,
    publish_workers,
)
from headrace.engine.engine import Engine
from headrace.memory.clock import VirtualClock
from headrace.memory.store import MemoryStore
from headrace.memory.wiring import connect
from headrace.runtime.process import Process
from headrace.runtime.slots.polls import VISIBILITY_S


@pytest.fixture
def engine() -> Engine:
    return Engine.on(connect())


def clock_of(engine: Engine) -> VirtualClock:
    assert isinstance(engine.clock, VirtualClock)
    return engine.clock


def names(engine: Engine) -> list[tuple[str, str]]:
    return [(each.worker, each.process) for each in live(engine)]


# ---------------------------------------------------------------- processes


def test_a_process_is_alive_until_its_lease_ends(engine: Engine) -> None:
    announce(engine, "gpu", "a", {"model": "large", "memory": 32})
    [found] = live(engine)
    until_ms = engine.clock.now_ms() + LEASE_S * 1000
    assert found == LiveWorker(
        worker="gpu", process="a", labels={"model": "large", "memory": 32}, until_ms=until_ms
    )
    clock_of(engine).advance(LEASE_S * 1000 - 1)
    assert names(engine) == [("gpu", "a")]
    clock_of(engine).advance(1)
    assert names(engine) == []


def test_a_lease_outlasts_two_renewals_that_fail(engine: Engine) -> None:
    assert LEASE_S >= 3 * RENEW_EVERY_S
    announce(engine, "gpu", "a", {})
    clock_of(engine).advance(2 * RENEW_EVERY_S * 1000)
    announce(engine, "gpu", "a", {"new": 1})
    clock_of(engine).advance(2 * RENEW_EVERY_S * 1000)
    assert [each.labels for each in live(engine)] == [{"new": 1}]


def test_processes_come_and_go(engine: Engine) -> None:
    for worker, process in (("gpu", "b"), ("cpu", "c"), ("gpu", "a")):
        announce(engine, worker, process, {})
    assert names(engine) == [("cpu", "c"), ("gpu", "a"), ("gpu", "b")]
    leave(engine, "gpu", "a")
    leave(engine, "gpu", "a")
    assert names(engine) == [("cpu", "c"), ("gpu", "b")]


def test_what_dies_without_a_word_is_swept_by_the_table(engine: Engine) -> None:
    announce(engine, "gpu", "a", {})
    store = engine.store
    assert isinstance(store, MemoryStore)
    [item] = store.items()
    assert item["expires_at"] == engine.clock.now_ms() // 1000 + LEASE_S + 86_400


# ---------------------------------------------------------------- what is declared

CPU = DeclaredWorker(worker="cpu", labels={"a": 1}, longest_ms=890_000, workflows={"w": {}})
GPU = DeclaredWorker(worker="gpu", process=True, workflows={"w": {"t": '[["model",0,"large"]]'}})


def test_what_is_published_is_read_back(engine: Engine) -> None:
    announce(engine, "gpu", "a", {"x": 1})
    assert publish_workers(engine, [GPU, CPU]) == 2
    assert declared(engine) == [CPU, GPU]
    assert names(engine) == [("gpu", "a")]


def test_what_has_not_changed_is_not_written_again(engine: Engine) -> None:
    publish_workers(engine, [CPU, GPU])
    assert publish_workers(engine, [CPU, GPU], whole_of="") == 0
    other = DeclaredWorker(worker="cpu", labels={"a": 2}, longest_ms=890_000, workflows={"w": {}})
    assert publish_workers(engine, [other]) == 1
    assert declared(engine) == [other, GPU]


def test_a_process_that_knows_the_whole_stack_forgets_the_rest(engine: Engine) -> None:
    """A process knows its own worker; a compiled app knows all. Neither touches who is alive."""
    announce(engine, "cpu", "a", {})
    publish_workers(engine, [CPU, GPU])
    assert publish_workers(engine, [GPU], whole_of="") == 1
    assert declared(engine) == [GPU]
    assert names(engine) == [("cpu", "a")]


# ---------------------------------------------------------------- a worker's process


RELABELLED = threading.Event()


@pytest.fixture
def worker() -> Worker:
    RELABELLED.clear()
    app = Headrace(config=Settings(worker_preset_labels={"zone": "b"}))
    app.use(connect())

    @app.task(name="relabel")
    def relabel(input: EmptyModel, ctx: Context) -> dict[str, object]:
        ctx.upsert_worker_labels({"model": "large"})
        RELABELLED.set()
        return {"labels": ctx.worker_labels}

    return app.worker("gpu", labels={"memory": 8}, workflows=[relabel], process=True)


def labels_of(worker: Worker) -> list[dict[str, object]]:
    return [dict(each.labels) for each in live(worker.app.engine)]


def test_a_process_announces_its_labels_and_leaves_when_it_drains(worker: Worker) -> None:
    process = Process(worker, slots=1)
    thread = threading.Thread(target=process.run)
    ref = worker.workflows[0].run(wait_for_result=False)
    thread.start()
    try:
        assert RELABELLED.wait(20)
        assert labels_of(worker) == [{"memory": 8, "zone": "b", "model": "large"}]
        worker.upsert_labels({"memory": 16})
        assert labels_of(worker) == [{"memory": 16, "zone": "b", "model": "large"}]
        assert [each.worker for each in declared(worker.app.engine)] == ["gpu"]
    finally:
        process.stopping.set()
        thread.join()
    assert ref.result() == {"labels": {"memory": 8, "zone": "b", "model": "large"}}
    assert live(worker.app.engine) == []
    worker.upsert_labels({"memory": 32})
    assert live(worker.app.engine) == []


def test_a_process_that_drains_is_not_announced_again(worker: Worker) -> None:
    process = Process(worker, slots=1)
    process.presence.announce()
    assert names(worker.app.engine) == [("gpu", process.id)]
    process.presence.leave()
    process.presence.announce()
    assert names(worker.app.engine) == []


def test_the_workers_client_tells_whether_a_process_is_alive(worker: Worker) -> None:
    app = worker.app

    @app.task(name="by_function")
    def by_function(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("fn", labels={"a": 1}, workflows=[by_function])
    assert [(row.name, row.status) for row in app.workers.list().rows] == [
        ("fn", "ACTIVE"),
        ("gpu", "INACTIVE"),
    ]
    announce(app.engine, "gpu", "p", {"memory": 64})
    found = app.workers.get("gpu")
    assert (found.status, found.labels) == ("ACTIVE", {"memory": 64, "zone": "b"})


def test_its_host_tells_the_labels_of_now(worker: Worker) -> None:
    host = Process(worker)._host(end_process_allowed=False)
    worker.upsert_labels({"model": "small"})
    assert dict(host.labels()) == {"memory": 8, "zone": "b", "model": "small"}
    assert host.visibility_s == VISIBILITY_S
