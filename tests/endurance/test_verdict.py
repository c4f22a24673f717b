"""The verdict on ledgers that were made up: each broken promise is seen, and nothing that is allowed is called wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from endurance.ledger import Execution, Ledger
from endurance.verdict import REPLAYS, Said, wrong

KILLED, ALIVE = 7, 8
TASKS = {"pay": ("take", "send")}


def execution(task: str = "take", **given: Any) -> Execution:
    return Execution(
        **{"run": "r", "task": task, "key": "", "pid": ALIVE, "began": 1.0, "ended": 2.0, **given}
    )


DONE = [execution(), execution("send", began=3.0, ended=4.0)]
COMPLETED = Said(status="COMPLETED", retries={"take": 0, "send": 0})


def judged(executions: list[Execution], said: dict[str, Said], limit: int = 1) -> list[str]:
    return wrong({"r": "pay"}, executions, {KILLED: 5.0}, said, tasks=TASKS, limits={"send": limit})


@pytest.mark.parametrize(
    ("executions", "said"),
    [
        (DONE, COMPLETED),
        ([execution(ended=None, pid=KILLED), *DONE], COMPLETED),
        ([execution(pid=KILLED), *DONE], COMPLETED),
        ([execution(), *DONE], Said(status="COMPLETED", retries={"take": 1})),
        ([execution(key=REPLAYS), execution(key=REPLAYS), *DONE], COMPLETED),
        ([execution("send", began=1.0, ended=None, pid=KILLED), execution(), execution("send", began=5.0, ended=6.0)], COMPLETED),
    ],
    ids=["once", "killed in it", "killed after it", "retried", "durable", "a place of a killed process is free"],
)  # fmt: skip
def test_what_is_allowed_is_not_called_wrong(executions: list[Execution], said: Said) -> None:
    assert judged(executions, {"r": said}) == []


@pytest.mark.parametrize(
    ("executions", "said", "what"),
    [
        (DONE, {}, "lost: run r of pay was started, and there is no record"),
        (DONE, {"r": Said(status="RUNNING")}, "run r of pay is RUNNING"),
        (DONE[:1], {"r": COMPLETED}, "its task send has never ended"),
        ([*DONE, execution("send", ended=None)], {"r": COMPLETED}, "doubled: task send of run r was executed 2 times"),
        ([*DONE, execution("send", run="other", began=3.5, ended=3.6)], {"r": COMPLETED}, "over the limit: 2 executions of send"),
    ],
    ids=["lost", "stuck", "never ran", "doubled", "over the limit"],
)  # fmt: skip
def test_each_broken_promise_is_seen(executions: list[Execution], said: dict[str, Said], what: str) -> None:
    assert any(what in sentence for sentence in judged(executions, said))


def test_the_ledger_keeps_what_began_and_what_ended(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with pytest.raises(ValueError, match="x"), ledger.execution("r", "take", "k"):
        raise ValueError("x")
    held = ledger.execution("r", "send")
    held.__enter__()
    ledger.started([("r", "pay")])
    ledger.killed(KILLED)
    first, second = ledger.executions()
    assert (first.task, first.key, first.ended is not None, second.ended) == ("take", "k", True, None)
    assert ledger.promised() == {"r": "pay"}
    assert list(ledger.kills()) == [KILLED]
