"""Waiting for results on MiniStack: told soon after the end, by few requests, with and without the permission to make a queue."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace import Context, Headrace
from headrace.engine.engine import Engine
from headrace.errors import AccessDenied, StackNotFound
from headrace.triggers.results.mailbox import Mailbox, mailbox_of
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

pytestmark = pytest.mark.ministack

SDK = Path(__file__).parents[2] / "sdk"

app = Headrace()
ended_at: dict[str, float] = {}


@app.task()
def lasts(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
    time.sleep(input["s"])
    ended_at[ctx.workflow_run_id] = time.monotonic()
    return {"run": ctx.workflow_run_id}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local(app, backend="ministack") as running:
        app.settings.longest_poll_s = 1.0  # as a deployed client: the local runtime polls each 20 ms
        yield running


def queues_of(engine: Engine) -> list[str]:
    return [str(item["sk"]) for item in engine.store.query("replyqueues")]


@contextmanager
def engine_of(engine: Engine) -> Iterator[Mailbox]:
    """The app on another engine than the stack's own, with a mailbox of its own."""
    before, app._connection.engine = app.engine, engine
    mailbox = mailbox_of(engine)
    try:
        yield mailbox
    finally:
        mailbox.close()
        app._connection.engine = before


def late_s(result: dict[str, Any], now: float) -> float:
    return now - ended_at[result["run"]]


def warm(mailbox: Mailbox) -> None:
    """The queue is made by the first wait that lasts."""
    assert mailbox.address is None
    lasts.run({"s": 2.5})
    assert mailbox.address is not None


@pytest.mark.usefixtures("stack")
def test_a_wait_that_lasts_makes_a_queue_and_the_next_runs_name_it() -> None:
    with engine_of(replace(app.engine)) as mailbox:
        lasts.run({"s": 0.1})
        assert (mailbox.address, queues_of(app.engine)) == (None, [])
        warm(mailbox)
        queue = mailbox.address
        assert queues_of(app.engine) == [queue]
        late = []
        for _ in range(5):
            result = lasts.run({"s": 0.9})
            late.append(late_s(result, time.monotonic()))
            record = app.runs.get(result["run"])
            assert record is not None
        assert sorted(late)[2] < 0.15, (
            late
        )  # polls of that pace would be late by 0.2 s in the mean, up to 0.3
    assert queues_of(app.engine) == []
    with pytest.raises(StackNotFound):
        app.engine.queues.receive(str(queue), limit=1, wait_s=0)


@pytest.mark.usefixtures("stack")
def test_a_reference_to_a_run_of_another_asks_to_be_told() -> None:
    with engine_of(replace(app.engine)) as mailbox:
        warm(mailbox)
        ref = lasts.run({"s": 1.5}, wait_for_result=False)
        result = ref.result()
        late = late_s(result, time.monotonic())
        item = next(
            each for each in app.engine.store.query(f"run#{ref.workflow_run_id}") if each["sk"] == "run"
        )
        assert item[f"rq#{mailbox.address}"] == 1
        assert late < 0.5


@pytest.mark.usefixtures("stack")
def test_coroutines_are_told() -> None:
    async def several() -> list[float]:
        async def one() -> float:
            result = await lasts.aio_run({"s": 1.0})
            return late_s(result, time.monotonic())

        return list(await asyncio.gather(*(one() for _ in range(4))))

    with engine_of(replace(app.engine)) as mailbox:
        warm(mailbox)
        late = asyncio.run(several())
        assert sorted(late)[1] < 0.3, late


@pytest.mark.usefixtures("stack")
def test_a_queue_that_was_removed_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "headrace.triggers.results.mailbox.LONG_POLL_S", 1
    )  # MiniStack polls on at a queue that is gone
    with engine_of(replace(app.engine)) as mailbox:
        warm(mailbox)
        before = mailbox.address
        assert before is not None
        assert app.engine.replies is not None
        app.engine.replies.remove(before)
        mailbox.watch("another", lambda: None)
        until = time.monotonic() + 60
        while mailbox.address in (None, before) and time.monotonic() < until:
            time.sleep(0.1)
        assert mailbox.address not in (None, before)
        result = lasts.run({"s": 1.0})
        assert late_s(result, time.monotonic()) < 0.5


class Forbids:
    """A policy that lets a client make no queue."""

    def make(self, queue: str) -> None:
        raise AccessDenied(f"Allow sqs:CreateQueue on queue {queue}")

    def remove(self, queue: str) -> None:
        raise AccessDenied(f"Allow sqs:DeleteQueue on queue {queue}")


@pytest.mark.usefixtures("stack")
def test_without_the_permission_it_polls_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with engine_of(replace(app.engine, replies=Forbids())) as mailbox, caplog.at_level(logging.WARNING):
        for _ in range(2):
            result = lasts.run({"s": 0.8})
            assert late_s(result, time.monotonic()) < 1.5
        assert (mailbox.address, mailbox.may_open) == (None, False)
    said = [record.getMessage() for record in caplog.records if record.name == "headrace.waiting"]
    assert len(said) == 1
    assert "Allow sqs:CreateQueue" in said[0]


PROGRAM = """
from headrace import Headrace, Context
app = Headrace()
app.settings.stack, app.settings.table = {stack!r}, {stack!r}
from headrace.triggers.results.mailbox import mailbox_of
import time
mailbox = mailbox_of(app.engine)
mailbox.watch("a-run", lambda: None)
mailbox.open()
while mailbox.address is None:
    time.sleep(0.05)
print(mailbox.address, flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("end", "left"), [("", 0), ("import os; os._exit(1)", 1)], ids=["exits", "is killed"]
)
def test_a_process_that_exits_removes_its_queue(stack: LocalStack, end: str, left: int) -> None:
    code = PROGRAM.format(stack=stack.deployed.stack, end=end)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(SDK)},
    )
    queue = done.stdout.strip()
    assert queue.startswith("reply-"), done.stderr
    assert queues_of(app.engine).count(queue) == left
    if left:
        assert app.engine.replies is not None
        app.engine.replies.remove(queue)
