"""Code that goes on after its attempt has ended: a process keeps its slot, and a Lambda ends, so that the code is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from headrace import Context, EmptyModel, Headrace, RunStatus, Settings
from headrace.engine.engine import Limits
from headrace.memory.wiring import connect
from headrace.runtime.process import Process
from headrace.runtime.slots import polls
from headrace_handlers.worker import make_handler
from headrace_infra.local.dispatcher import LambdaContext, event_of

SOON = Limits(grace_s=0.02)


class Deaf:
    """An app whose one task does not end at its limit, but when it is let go."""

    def __init__(self) -> None:
        self.let_go, self.calls = threading.Event(), 0
        self.app = app = Headrace(config=Settings())

        @app.task(name="deaf", execution_timeout=timedelta(milliseconds=100))
        def deaf(input: EmptyModel, ctx: Context) -> None:
            self.calls += 1
            self.let_go.wait(20)

        @app.task(name="well")
        def well(input: EmptyModel, ctx: Context) -> None: ...

        self.deaf, self.well = deaf, well
        self.worker = app.worker("w", workflows=[deaf, well], process=True)
        app.use(connect(), limits=SOON)

    def status(self, run_id: str) -> RunStatus:
        return self.app.runs.get_status(run_id)


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    found = Deaf()
    yield found
    found.let_go.set()


def test_a_lambda_ends_once_its_other_messages_are_done_with(deaf: Deaf) -> None:
    late = deaf.deaf.run(wait_for_result=False).workflow_run_id
    well = deaf.well.run(wait_for_result=False).workflow_run_id
    queues = deaf.app.engine.queues
    event = event_of(queues.receive("w", limit=10, wait_s=0, visibility_s=1), "us-east-1")
    ended: list[str] = []
    handler = make_handler(deaf.app, "w", stop_process=ended.append)
    handler(event, LambdaContext("w", 60))
    assert ended == ["code goes on although its attempt has ended"]
    assert [deaf.status(late), deaf.status(well)] == [RunStatus.FAILED, RunStatus.COMPLETED]
    time.sleep(1.1)
    assert queues.receive("w", limit=10, wait_s=0) == []  # deleted: no delivery is spent on what is done with


def test_a_lambda_whose_code_ends_goes_on(deaf: Deaf) -> None:
    deaf.let_go.set()
    deaf.deaf.run(wait_for_result=False), deaf.well.run(wait_for_result=False)
    event = event_of(deaf.app.engine.queues.receive("w", limit=10, wait_s=0), "us-east-1")
    ended: list[str] = []
    handler = make_handler(deaf.app, "w", stop_process=ended.append)
    assert handler(event, LambdaContext("w", 60)) == {"batchItemFailures": []}
    assert ended == []


class NoAnswer:
    """A queue whose receives get no answer before they are let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()

    def before(self, port: str, call: str) -> None:
        if call == "receive":
            self.asked.set()
            self.let_go.wait(30)

    def after(self, port: str, call: str) -> None: ...


def test_a_drain_does_not_wait_for_a_receive_without_an_answer(
    deaf: Deaf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(polls, "POLL_ENDS_WITHIN_S", 0.1)
    faults = NoAnswer()
    deaf.app.use(connect(faults=faults), limits=SOON)
    process = Process(deaf.worker, slots=2)
    running = threading.Thread(target=process.run)
    running.start()
    try:
        assert faults.asked.wait(10)
        process.stopping.set()
        running.join(20)
        assert not running.is_alive()
        assert "a receive has not ended" in caplog.text
    finally:
        faults.let_go.set()
