"""An app's own tasks under simulated faults: what is found, what survives, and that a seed is the same story again."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from charged_once import Bank, Order, checkout, safe_checkout
from charged_once import hatchet as shop
from headrace import (
    ConcurrencyExpression,
    ConcurrencyLimitStrategy,
    Context,
    DurableContext,
    EmptyModel,
    Headrace,
)
from headrace.errors import NotConfigured
from headrace_infra.cli.commands.root import app
from headrace_infra.testing import chaos, survives
from headrace_infra.testing.simulated.case import Case
from headrace_infra.testing.simulated.drawing import inputs_drawn
from headrace_infra.testing.simulated.seeds import SeedFailed, replay, simulate
from headrace_infra.testing.simulated.world import World

hatchet = Headrace()
ROOT = Path(__file__).parents[2]
ORDER = Order(id="1", cents=990)
DONE: list[str] = []


class Named(BaseModel):
    name: str = Field(min_length=1, max_length=8)
    size: int = Field(ge=0, le=9)


def book(name: str) -> None:
    DONE.append(name)


@hatchet.task(retries=3, execution_timeout=timedelta(minutes=10))
async def two_steps(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    try:
        await asyncio.sleep(1)
        book("first")
        await asyncio.sleep(1)
        book("second")
    finally:
        book("finally")
    return {"ok": True}


@hatchet.task(retries=3)
def tidy(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    book("begun")
    try:
        time.sleep(1)
    finally:
        book("tidied")
    return {"ok": True}


@hatchet.task()
def slept_too_long(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    time.sleep(3_600)
    return {"ok": True}


@hatchet.durable_task(retries=3)
async def approval(input: EmptyModel, ctx: DurableContext) -> dict[str, str]:
    await ctx.aio_sleep_for(timedelta(days=2))
    child = await two_steps.aio_run()
    await ctx.aio_wait_for_event("approved")
    return {"child": str(child["ok"])}


CALLS = [0]


@hatchet.durable_task(retries=3)
async def fickle(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
    CALLS[0] += 1
    if CALLS[0] % 2:
        await ctx.aio_sleep_for(timedelta(hours=1))
    else:
        await two_steps.aio_run()
    return {"calls": CALLS[0]}


@hatchet.task(
    retries=2,
    concurrency=ConcurrencyExpression(
        expression="'all'", max_runs=2, limit_strategy=ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN
    ),
    schedule_timeout=timedelta(hours=5),
)
async def limited(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    await asyncio.sleep(20)
    return {"ok": True}


flow = hatchet.workflow(name="flow", input_validator=Named)


@flow.task(retries=3)
def head(input: Named, ctx: Context) -> dict[str, int]:
    time.sleep(2)
    return {"size": input.size}


@flow.task(parents=[head], retries=3)
async def tail(input: Named, ctx: Context) -> dict[str, int]:
    return {"twice": 2 * (await ctx.aio_task_output(head))["size"]}


hatchet.worker("main", workflows=[two_steps, tidy, slept_too_long, approval, fickle, limited, flow])


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()
    CALLS[0] = 0


def test_a_double_charge_is_found_and_told() -> None:
    with pytest.raises(SeedFailed) as failed:
        survives(shop, checkout, ORDER, once=[Bank.book], seeds=60)
    told = str(failed.value)
    assert "done again: Bank.book was done twice for run 1 of checkout; without faults once" in told
    assert re.search(r"!! payments/\d+ dies after Bank.book, while it runs checkout", told)
    assert "execution 2" in told
    assert told.count("\n  crash: ") == 1, "one fault is all that it takes"


def test_the_mended_task_survives() -> None:
    summary = survives(shop, safe_checkout, ORDER, once=["charged_once:Bank.book"], seeds=200)
    assert (summary.seeds, summary.found, dict(summary.statuses)) == (200, [], {"COMPLETED": 200})
    assert sum(summary.faults.values()) > 100
    assert summary.most["safe-checkout"] >= 2, "it ran again, and that did no harm"


def test_a_seed_is_the_same_story_again() -> None:
    case = Case(app=hatchet, workflow="two_steps", inputs=[{}], once=[f"{__name__}:book"])
    found = simulate(case, range(60)).found[0]
    first, _ = replay(case, found.seed)
    again, words = replay(case, found.seed)
    assert first.story == again.story
    assert words
    cut, same = replay(case, found.seed, frozenset(ordinal for ordinal, _, _ in found.told.faults))
    assert cut.story == found.told.story
    assert tuple(same) == found.findings


def test_time_is_virtual() -> None:
    began = time.monotonic()
    with chaos(hatchet, faults=False) as world:
        late = world.start(slept_too_long)
        run_id = world.start(approval)
        world.run()
        assert world.status(late) == "FAILED"
        assert world.status(run_id) == "WAITING"
        hatchet.event.push("approved", {})
        world.run()
        assert world.status(run_id) == "COMPLETED"
        assert world.executions(run_id, "approval") >= 2
        assert "two_steps" in world.story()
    assert time.monotonic() - began < 30
    assert DONE == ["first", "second", "finally"]


def test_a_caller_can_just_run_tasks() -> None:
    with chaos(hatchet, faults=False):
        assert flow.run(Named(name="x", size=4))["tail"] == {"twice": 8}


def test_what_ran_between_two_lines_that_await_is_not_gone_on_with() -> None:
    """A worker that dies between the two steps leaves the first alone, and no `finally` of its runs."""
    halves = set()
    for seed in range(60):
        DONE.clear()
        with chaos(hatchet, seed=seed) as world:
            world.start(two_steps)
            world.run()
            halves.add(tuple(DONE))
    assert halves >= {("first", "second", "finally"), ("first", "first", "second", "finally")}
    assert all(each.count("finally") <= each.count("second") for each in halves)


def test_a_worker_that_dies_in_its_sleep_tidies_nothing_up() -> None:
    untidy = 0
    for seed in range(150):
        DONE.clear()
        with chaos(hatchet, seed=seed) as world:
            world.start(tidy)
            world.run()
            if " dies in its sleep, while it runs tidy" in world.story():
                untidy += 1
                assert DONE.count("tidied") < DONE.count("begun"), world.story()
    assert untidy > 0


def test_durable_tasks_dags_and_limits_survive() -> None:
    durable = survives(hatchet, approval, events={"approved": {}}, seeds=8)
    dag = survives(hatchet, flow, Named(name="x", size=1), seeds=8)
    limited_runs = survives(hatchet, limited, runs=5, seeds=4)
    assert (durable.seeds, dag.seeds, limited_runs.seeds) == (8, 8, 4)
    assert not durable.calm.broken


def test_a_durable_task_that_is_not_deterministic_is_found() -> None:
    with pytest.raises(
        NotConfigured, match=r"without any fault: non-determinism: Non-determinism in task fickle"
    ):
        survives(hatchet, fickle, seeds=1)


def test_a_limit_that_does_not_hold_is_found() -> None:
    """More at once than the limit, as if admission had let them in."""
    with chaos(hatchet, faults=False) as world:
        for _ in range(3):
            world.start(limited)
        world.run()
        assert world.broken == ()
    from headrace.engine.runs.admission import admission

    def let_in(engine: object, host: object, message: object, claimed: object) -> object:
        return claimed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headrace.engine.runs.deliver.admit", let_in)
        with chaos(hatchet, faults=False) as world:
            for _ in range(3):
                world.start(limited)
            world.run()
            assert any(each.startswith("limit ") and "3 ran at once" in each for each in world.broken)
    assert admission.admit is not let_in


TESTS = """
from charged_once import Bank, Order, checkout, safe_checkout
import pytest

ORDER = Order(id="1", cents=990)

def test_found(headrace_chaos):
    with pytest.raises(AssertionError, match="done again: Bank.book was done twice"):
        headrace_chaos.survives(checkout, ORDER, once=[Bank.book], seeds=range(5, 20))

def test_one(headrace_chaos):
    with headrace_chaos.world(seed=1) as world:
        run_id = world.start(safe_checkout, ORDER)
        world.run()
        assert world.status(run_id) == "COMPLETED"
"""


def test_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nheadrace_app = charged_once:hatchet\n")
    paths = os.pathsep.join(str(ROOT / name) for name in ("sdk", "handlers", "infra", "examples"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "headrace_infra.pytest_plugin",
            "-p",
            "no:headrace",
            "-p",
            "no:cacheprovider",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_check_of_the_user_fails_a_seed() -> None:
    def at_most_one_execution(world: World) -> None:
        if (count := sum(world.watch.executions.values())) > 1:
            raise ValueError(f"{count} executions")

    with pytest.raises(SeedFailed, match="check: ValueError: 2 executions"):
        survives(
            shop, safe_checkout, ORDER, once=[Bank.book], seeds=range(8, 30), check=at_most_one_execution
        )


@pytest.mark.parametrize(
    ("workflow", "given", "sentence"),
    [
        ("chekout", {"id": "1", "cents": 1}, r"the app has no workflow 'chekout': did you mean 'checkout'\?"),
        ("checkout", {"id": "1"}, r"workflow checkout: the input {'id': '1'} is not valid: .*cents"),
    ],
)
def test_what_cannot_be_run_is_said(workflow: str, given: dict[str, str], sentence: str) -> None:
    with pytest.raises(NotConfigured, match=sentence):
        survives(shop, workflow, given, seeds=1)


def test_a_function_that_is_not_there_is_said() -> None:
    with pytest.raises(
        NotConfigured, match=r"'charged_once:Bank.bok': Bank has no 'bok': did you mean 'book'\?"
    ):
        survives(shop, "checkout", ORDER, once=["charged_once:Bank.bok"])


CHECKOUT = (
    "charged_once:hatchet",
    "--input",
    '{"id": "1", "cents": 990}',
    "--once",
    "charged_once:Bank.book",
)


def command(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["simulate", *CHECKOUT, *arguments], env={"COLUMNS": "200"})
    return found.exit_code, found.output + (str(found.exception) if found.exception else "")


def test_the_command_tells_a_failing_seed_and_replays_it() -> None:
    code, told = command("--workflow", "checkout", "--seeds", "5:20")
    assert code == 1
    seed = re.search(r"seed (\d+): done again: Bank\.book was done twice for run 1 of checkout", told)
    numbers = re.search(r"--faults ([\d,]+)", told)
    assert seed is not None
    assert numbers is not None
    assert "faults an hour" in told
    code, again = command("--workflow", "checkout", "--seed", seed[1], "--faults", numbers[1])
    assert code == 1
    assert [line for line in again.splitlines() if " s  " in line] == [
        line for line in told.splitlines() if " s  " in line and "real time" not in line
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--workflow", "checkout", "--seeds", "9:3"), "--seeds '9:3' holds no seed"),
        (("--workflow", "checkout", "--seeds", "many"), "--seeds 'many' is not a range: give FIRST:END"),
        (
            ("--workflow", "checkout", "--faults", "1"),
            "--faults names the faults of one seed: give --seed too",
        ),
        (("--workflow", "checkout", "--event", "={}"), "--event '={}' has no key"),
        (("--workflow", "checkout", "--check", "charged_once"), "'charged_once' names no function"),
        (("--workflow", "chekout"), "did you mean 'checkout'?"),
    ],
)
def test_what_the_command_cannot_do_is_said(arguments: tuple[str, ...], sentence: str) -> None:
    code, told = command(*arguments)
    assert code == 1
    assert sentence in told


def test_inputs_are_drawn_from_the_workflows_type() -> None:
    draw = inputs_drawn(hatchet, "flow", 2)
    assert draw(3) == draw(3)
    drawn = {repr(draw(seed)) for seed in range(5)}
    assert len(drawn) > 1
    summary = simulate(Case(app=hatchet, workflow="flow", draw=draw), range(4))
    assert (summary.seeds, summary.found) == (4, [])


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(named=st.builds(Named, name=st.just("x"), size=st.integers(0, 9)), seed=st.integers(0, 1_000))
def test_hypothesis_drives_inputs_and_seeds(named: Named, seed: int) -> None:
    with chaos(hatchet, seed=seed) as world:
        run_id = world.start(flow, named)
        world.run()
        assert world.status(run_id) == "COMPLETED"


def test_the_world_leaves_no_trace() -> None:
    before = time.sleep, asyncio.get_event_loop_policy(), Bank.book
    with chaos(shop, once=[Bank.book]) as world:
        assert time.sleep is not before[0]
        world.start(checkout, ORDER)
        world.run()
    assert (time.sleep, asyncio.get_event_loop_policy(), Bank.book) == before
    assert not shop._is_connected
