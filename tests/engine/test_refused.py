"""What the store never takes: errors that would fill a record, and messages of which nothing can be made."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import pytest
from support.records import plan, task
from support.world import World, run_at_once

from headrace.core.run.attempts.error_text import bytes_for, cut
from headrace.core.run.derived.progress import run_status
from headrace.core.run.plans.plan import TaskKind
from headrace.core.run.record import ErrorInfo, RunStatus
from headrace.core.sizes import item_bytes
from headrace.core.table import run_key
from headrace.engine.attempts.ports import Outcome, Poison, Raised, Work
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.read import read
from headrace.ports import MAX_ITEM_BYTES, Outgoing, Received

TRACE = "".join(chr(Random(n).randrange(0x4E00, 0x9FFF)) for n in range(8_000))
"""No two lines of it are alike: compressed, it is hardly smaller."""


class Fails:
    """Code whose every attempt fails with a long error in three-byte letters."""

    is_async = False

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()

    def call(self, work: Work) -> Outcome:
        self.ran[work.task] += 1
        return Raised(ErrorInfo(type="DatabaseError", message="接続できません" * 300, trace=TRACE))

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


@pytest.mark.parametrize("count", [24, 150, 400])
def test_all_of_many_tasks_fail_once_and_the_run_ends(count: int) -> None:
    names = [f"t{n}" for n in range(count)]
    flow = plan(*(task(name) for name in names), task("oops", kind=TaskKind.ON_FAILURE), workflow="all")
    fails = Fails()
    w = World(
        plans={"all": flow},
        code={"oops": lambda work: {"seen": True}},
        more={("all", name): fails for name in names},
    )
    run_id = w.start("all")
    w.drain()
    item = w.store.get(run_key(run_id))
    assert item is not None
    assert item_bytes(item) < MAX_ITEM_BYTES / 2
    assert run_status(w.record(run_id)) is RunStatus.FAILED
    assert fails.ran == Counter(names), "each ran once"
    assert w.ran == ["oops"]
    found = read(w.engine, run_id)
    assert found is not None
    error = found.tasks["t0"].error
    assert error is not None
    assert error.type == "DatabaseError"
    assert error.message.startswith("接続")


@pytest.mark.parametrize("tasks", [1, 2, 24, 500, 5_000])
@pytest.mark.parametrize("letter", ["a", "é", "線", "𐍈"])
def test_an_error_is_cut_by_bytes(tasks: int, letter: str) -> None:
    most = bytes_for(tasks)
    for error in (
        ErrorInfo(type=letter * 900, message=letter * 9_000, trace=letter * 9_000),
        ErrorInfo(type="E", message="", trace=letter * 90_000),
        ErrorInfo(type="E", message=letter * 90_000),
    ):
        kept = cut(error, most)
        assert sum(len(text.encode()) for text in (kept.type, kept.message, kept.trace)) <= most


def test_a_short_error_stays_as_it_is() -> None:
    error = ErrorInfo(type="ValueError", message="no such order", trace="line 1\nline 2")
    assert cut(error, bytes_for(3)) == error


MALFORMED = {
    "a number without end": '{"run": "r", "task": "t", "ticket": 1e400, "queued": 0, "by": 1}',
    "deeper than a parser goes": "[" * 200_000,
    "a refill without end": '{"refill": "gate#g#x", "at": 1e400, "worker": "w"}',
    "a start that is no object": '{"run": "r", "task": "t", "ticket": 1, "queued": 0, "by": 1, "start": [1]}',
    "a key over DynamoDB's": json.dumps({"run": "r" * 5_000, "task": "t", "ticket": 1, "queued": 0, "by": 1}),
    "a lone surrogate": '{"run": "\\udce9", "task": "t", "ticket": 1, "queued": 0, "by": 99999999999999}',
    "a reason of megabytes": json.dumps({"refill": "x", "at": "9" * 300_000, "worker": "w"}),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_message_is_let_go_with_a_short_reason(body: str) -> None:
    w = World(plans={}, code={})
    w.queues.send("default", [Outgoing(body=body)])
    received: Received = w.queues.receive("default", limit=1, wait_s=0)[0]
    for verdict in (
        deliver(w.engine, w.host("default"), received, runner=run_at_once),
        fail_dead_letter(w.engine, received, reason="delivered too often"),
    ):
        assert isinstance(verdict, Poison), verdict
        assert len(verdict.reason) < 1_000
