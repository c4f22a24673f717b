"""What `headrace dev` asks its emulator for while nothing happens: counted, as it is what heats the machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace.core.table import run_key
from headrace.memory.clock import VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.ports import Outgoing
from headrace_infra.cli.project import watching
from headrace_infra.cli.project.watching import View
from headrace_infra.local.dispatcher import Dispatcher, Target
from headrace_infra.local.emulated.emulators import _OneWriteAtATime
from headrace_infra.local.served import IDLE_PAUSE_S, LONGEST_PAUSE_S
from headrace_infra.testing import local


class Rounds:
    """In place of the event that ends a dispatcher: its pauses, and what happens in them. It ends after so many seconds."""

    def __init__(self, ends_s: float, at: dict[float, Any]) -> None:
        self.pauses: list[tuple[float, float]] = []
        self.now = 0.0
        self._ends_s = ends_s
        self._at = at

    def is_set(self) -> bool:
        return self.now >= self._ends_s

    def wait(self, seconds: float) -> None:
        self.pauses.append((self.now, seconds))
        self.now += seconds
        for at in [at for at in self._at if at <= self.now]:
            self._at.pop(at)()

    def set(self) -> None:
        self._ends_s = 0.0


def test_queues_are_looked_at_less_often_while_nothing_comes_and_often_again_after_a_message() -> None:
    queues = MemoryQueues(VirtualClock())
    target = Target(
        queue="w", handler=lambda event, context: {"batchItemFailures": []}, batch_size=1, timeout_s=9
    )
    dispatcher = Dispatcher(
        queues,
        {"w": target},
        region="r",
        concurrency=1,
        idle_pause_s=IDLE_PAUSE_S,
        longest_pause_s=LONGEST_PAUSE_S,
    )
    rounds = Rounds(120.0, {60.0: lambda: queues.send("w", [Outgoing(body="{}")])})
    dispatcher._stop = rounds  # type: ignore[assignment]  # virtual time
    dispatcher._run()
    dispatcher.stop()
    before = [pause for at, pause in rounds.pauses if 30 <= at < 60]
    after = [pause for at, pause in rounds.pauses if 60 <= at < 63]
    assert dispatcher.invocations == 1
    assert set(before) == {LONGEST_PAUSE_S}
    assert len(before) <= 151
    assert max(after[1:4]) < 2 * IDLE_PAUSE_S
    assert len(rounds.pauses) < 2 * (60 / LONGEST_PAUSE_S + 100)


def test_runs_are_read_again_only_where_something_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.0)
    app, looks, writes = Headrace(), 0, 0

    @app.task(name="greet")
    def greet(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("w", workflows=[greet])
    with local(app, backend="memory", background=False) as stack:
        list_runs = app.runs.list

        def counted(**wanted: Any) -> Any:
            nonlocal looks
            looks += 1
            return list_runs(**wanted)

        monkeypatch.setattr(app.runs, "list", counted)
        view, said = View(app, lambda: writes), list[str]()
        monkeypatch.setattr(view, "_print", said.append)
        view.watch()
        for _ in range(5):
            view.refresh()
        assert looks == 1
        run_id = greet.run(wait_for_result=False).workflow_run_id
        stack.drain()
        assert app.engine.store.get(run_key(run_id)) is not None
        writes += 1
        for _ in range(5):
            view.refresh()
    assert looks == 2
    assert [run_id in each for each in said] == [True]


def test_an_emulator_tells_writes_from_reads() -> None:
    def answers(environment: dict[str, Any], start: Any) -> Iterable[bytes]:
        return [b"{}"]

    tables = _OneWriteAtATime(answers)
    for target in (
        "AmazonSQS.ReceiveMessage",
        "DynamoDB_20120810.Query",
        "DynamoDB_20120810.BatchGetItem",
        "",
    ):
        assert list(tables({"HTTP_X_AMZ_TARGET": target}, None)) == [b"{}"]
    assert tables.writes == 0
    for operation in ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"):
        tables({"HTTP_X_AMZ_TARGET": f"DynamoDB_20120810.{operation}"}, None)
    assert tables.writes == 5
