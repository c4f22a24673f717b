"""A worker process that starts while AWS throttles waits for it."""

from __future__ import annotations

import logging
import threading

import pytest

from headrace import Context, EmptyModel, Headrace, Settings
from headrace.engine.catalog.workflows import published
from headrace.errors import StoreUnavailable
from headrace.memory.wiring import connect
from headrace.runtime import process as module
from headrace.runtime.process import Process


class Throttled:
    """The table refuses its first calls; the first receive tells the process to stop."""

    def __init__(self, refused: int) -> None:
        self.left = refused
        self.process: Process | None = None

    def before(self, port: str, call: str) -> None:
        if self.process is None:
            return
        if port == "store" and self.left:
            self.left -= 1
            raise StoreUnavailable("throttled")
        if call == "receive":
            self.process.stopping.set()

    def after(self, port: str, call: str) -> None: ...


def a_process(faults: Throttled) -> Process:
    app = Headrace(config=Settings())

    @app.task(name="task")
    def task(input: EmptyModel, ctx: Context) -> None: ...

    worker = app.worker("w", workflows=[task], process=True, slots=1)
    app.use(connect(faults=faults))
    faults.process = Process(worker)
    return faults.process


def test_it_tries_again_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    faults = Throttled(4)
    process = a_process(faults)
    with caplog.at_level(logging.WARNING, "headrace.worker"):
        process.run()
    assert published(process.engine, "task") is not None
    assert caplog.text.count("the worker cannot start yet, and tries again in") >= 2
    assert "throttled" in caplog.text


def test_it_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "START_PATIENCE_S", 0.05)
    with pytest.raises(StoreUnavailable, match="throttled"):
        a_process(Throttled(10_000)).run()


class NextBroken:
    """The second queue answers with what no port raises."""

    def before(self, port: str, call: str) -> None:
        if call == "receive" and threading.current_thread().name == "headrace-next":
            raise ValueError("an answer that makes no sense")

    def after(self, port: str, call: str) -> None: ...


def test_a_poll_of_the_second_queue_that_breaks_ends_the_worker_and_says_why() -> None:
    app = Headrace(config=Settings())

    @app.task(name="task")
    def task(input: EmptyModel, ctx: Context) -> None: ...

    worker = app.worker("w", workflows=[task], process=True, slots=2)
    app.use(connect(faults=NextBroken()))
    process = Process(worker)
    assert process.next_queue is not None
    stop = threading.Timer(20, process.stopping.set)
    stop.start()
    try:
        with pytest.raises(ValueError, match="an answer that makes no sense"):
            process.run()
    finally:
        stop.cancel()
