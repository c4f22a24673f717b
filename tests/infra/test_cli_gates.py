"""`headrace gates`, and `headrace runs get` of what waits: on a world in memory whose workers have died while they held their places."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from support.world import Killed, World, run_at_once

from headrace import ConcurrencyExpression, Context, EmptyModel, Headrace
from headrace.core.labels import encode_required
from headrace.core.run.plans.plan import Json
from headrace.core.run.routing import Routing
from headrace.core.waits.rate_limit import Window, put_limit
from headrace.engine.attempts.ports import Done, Work
from headrace.engine.runs.deliver import deliver
from headrace.engine.waits.kinds.pause import Pause, pause
from headrace.memory.clock import SeededIds
from headrace.options.rate_limits import RateLimit
from headrace.ports import Ports
from headrace.settings.settings import Settings
from headrace_infra.cli import console
from headrace_infra.cli.runs.looking import show
from headrace_infra.cli.stack.gating import show_gates

BY_WHO = ConcurrencyExpression("input['who']", 1)


def made() -> Headrace:
    app = Headrace(config=Settings())

    @app.task(name="pay", concurrency=BY_WHO)
    def pay(input: EmptyModel, ctx: Context) -> None: ...

    @app.task(name="one", concurrency=1)
    def one(input: EmptyModel, ctx: Context) -> None: ...

    @app.task(name="ask", rate_limits=[RateLimit(static_key="ai", units=3)])
    def ask(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("default", workflows=[pay, one, ask])
    return app


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "width", 200)


class Shop:
    """The app on ports in memory. The first run dies, and so keeps its place."""

    def __init__(self) -> None:
        self.app = made()
        plans = {name: workflow.plan() for name, workflow in self.app._workflows_by_name.items()}
        self.world = World(plans=plans, code=dict.fromkeys(plans, self._dies))
        w = self.world
        self.app.use(Ports(store=w.store, queues=w.queues, clock=w.clock, ids=SeededIds(1)))

    @staticmethod
    def _dies(work: Work) -> Json:
        raise Killed

    def begin(self, workflow: str, value: Json = None, **options: object) -> str:
        """Start a run and deliver it: it is in, or it waits."""
        run_id = self.world.start(workflow, value or {}, **options)
        while self.world.deliver_next():
            pass
        self.world.clock.advance(1_500)
        return run_id


@pytest.fixture
def shop() -> Shop:
    return Shop()


def told(shop: Shop, capsys: pytest.CaptureFixture[str], name: str | None = None, key: str | None = None, *,
         all_known: bool = False) -> str:  # fmt: skip
    capsys.readouterr()
    show_gates(shop.app, name, key, all_known=all_known, as_json=False)
    return capsys.readouterr().out


def test_a_limit_without_waiters(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(shop, capsys) == "no task waits, and no permit of a known limit is taken\n"
    idle = told(shop, capsys, all_known=True)
    assert re.search(r"one\S* key constant  0 of 1 taken\n", idle), idle
    assert "rate limit ai  no limit is set" in idle
    assert "no gate nope is known: a key that no task waits for is found with --key KEY" in told(
        shop, capsys, "nope"
    )


def test_holders_with_their_age_and_waiters_in_order(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    first = shop.begin("pay", {"who": "ann"})
    low = shop.begin("pay", {"who": "ann"})
    high = shop.begin("pay", {"who": "ann"}, priority=3)
    text = told(shop, capsys)
    head, titles, *rows = text.splitlines()
    assert re.fullmatch(r"pay\S* key ann  1 of 1 taken, 2 waiting", head)
    assert titles.split() == ["run", "task", "priority", "for", "ends", "in"]
    assert [row.split()[:3] for row in rows] == [
        ["in", first, "pay"],
        ["1.", high, "pay"],
        ["2.", low, "pay"],
    ]
    assert rows[0].split()[3:] == ["4.5", "s"]
    assert rows[1].split()[3:6] == ["high", "1.5", "s"]
    assert re.search(r"low +3\.0 s +4 min 57 s", rows[2])
    assert told(shop, capsys, "ann") == told(shop, capsys, "pay") == told(shop, capsys, None, "ann") == text


def test_a_key_without_waiters_is_found_by_name(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = shop.begin("pay", {"who": "bob"})
    assert "no task waits" in told(shop, capsys)
    name = shop.world.plans["pay"].tasks[0].gates[0].name
    assert run_id in told(shop, capsys, name, "bob")
    assert run_id in told(shop, capsys, f"gate#{name}#bob")
    assert "0 of 1 taken" in told(shop, capsys, name, "unused")
    only = shop.begin("one")
    assert only in told(shop, capsys)


def test_a_rate_limit(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.world.store.write(put_limit("ai", 4, 60_000, seen=Window()))
    shop.begin("ask")
    waiting = shop.begin("ask")
    head, _, row = told(shop, capsys, "ai").splitlines()
    assert re.fullmatch(
        r"rate limit ai  1 of 4 units left, full again in [\d.]+ m?s, every 1 min 0 s, 1 waiting", head
    )
    assert row.split()[:6] == ["1.", waiting, "ask", "(wants", "3)", "low"]


def test_paused_workflows_and_lines_for_labels(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    pause(shop.world.engine, "pay", Pause(queue_ttl_ms=60_000))
    assert told(shop, capsys) == "workflow pay  paused\n"
    waiting = shop.begin("pay", {"who": "ann"})
    assert re.match(rf"workflow pay  paused, 1 waiting\n.*\n1\. +{waiting}", told(shop, capsys, "pay"))

    w = shop.world
    run_id = w.start(
        "one",
        {},
        routing=Routing(required_labels={"one": encode_required([("gpu", 3, 2), ("zone", 0, "[b]")])}),
    )
    [message] = w.queues.receive("default", limit=1, wait_s=0)
    host = replace(w.host("default"), labels=lambda: {"gpu": 1})
    assert deliver(w.engine, host, message, runner=run_at_once) == Done()
    text = told(shop, capsys, "labels#default")
    assert text.startswith("worker default  no process with the right labels, 1 waiting")
    assert run_id in text
    assert "gpu >= 2, zone = [b]" in text


def test_json(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shop.begin("pay", {"who": "ann"}), shop.begin("pay", {"who": "ann"})
    show_gates(shop.app, None, None, all_known=False, as_json=True)
    [found] = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["key"], found["limit"], found["taken"]) == ("concurrency", "ann", 1, 1)
    assert [each["run_id"] for each in found["holders"]] == [first]
    assert [(each["run_id"], each["place"], each["priority"]) for each in found["waiters"]] == [
        (second, 1, 1)
    ]


def test_runs_get_tells_what_a_task_waits_for(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.begin("pay", {"who": "[a]"})
    waiting = shop.begin("pay", {"who": "[a]"})
    show(shop.app, waiting, as_json=False)
    text = capsys.readouterr().out
    assert re.search(r"pay waits for a place of pay\S*, key '\[a\]', since 1\.5 s, number 1 in line", text), (
        text
    )
    shop.app.runs.cancel(waiting)
    show(shop.app, waiting, as_json=False)
    text = capsys.readouterr().out
    assert "cancelled: CANCELLED_BY_USER" in text
    assert "waits for" not in text
