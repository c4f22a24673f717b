"""The local runtime: delivery as the event source mapping does it, virtual time, redrive, a thousand runs."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel

from headrace import (
    Context,
    EmptyModel,
    FailedTaskRunExceptionGroup,
    Headrace,
    NotSupportedError,
    RunStatus,
    Settings,
)
from headrace.aws import local_stack
from headrace.aws.local_stack import NAMED_BY, announced, running_here
from headrace.core.run.derived.progress import run_status
from headrace_infra.cost.meter import Meter
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

app = Headrace()
ran: list[int] = []


class Number(BaseModel):
    n: int


@app.task(input_validator=Number)
def noop(input: Number, ctx: Context) -> dict[str, int]:
    ran.append(input.n)
    return {"n": input.n}


@app.task(retries=2, backoff_factor=3_000.0, backoff_max_seconds=7_200)
def patient(input: EmptyModel, ctx: Context) -> dict[str, int]:
    if ctx.retry_count < 2:
        raise ValueError("later")
    return {"attempt": ctx.attempt_number}


@app.task(schedule_timeout=timedelta(minutes=1))
def hurried(input: EmptyModel, ctx: Context) -> None: ...


class Crash(BaseException):
    """What no engine can catch: the end of a process."""


@app.task()
def deadly(input: EmptyModel, ctx: Context) -> None:
    raise Crash


@app.task()
def quits(input: EmptyModel, ctx: Context) -> None:
    raise SystemExit(3)


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    ran.clear()
    with local(app, background=False) as running:
        yield running


def test_a_headrace_dev_that_runs_in_the_same_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*NAMED_BY, "HEADRACE_DEV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        dev = local_stack.LocalStack(endpoint=endpoint, stack="headrace", region="us-east-1", key="k")
        with announced(tmp_path, dev):
            assert running_here(Settings()) == dev
            with local(app, background=False) as stack:
                assert app.engine.zones is not None, "it is connected to the emulator of another process"
                ref = noop.run(Number(n=1), wait_for_result=False)
                stack.drain()
                assert ref.result() == {"n": 1}


def test_nothing_happens_until_it_is_drained_and_then_in_order(stack: LocalStack) -> None:
    for n in range(5):
        noop.run(Number(n=n), wait_for_result=False)
    assert ran == []
    stack.drain()
    assert ran == [0, 1, 2, 3, 4]
    assert stack.depth("default") == 0


def test_backoff_over_fifteen_minutes_passes_in_virtual_time(stack: LocalStack) -> None:
    began = stack.clock.now_ms()
    ref = patient.run(wait_for_result=False)
    stack.drain()
    assert ref.result() == {"attempt": 3}
    assert 3_000 + 7_200 <= (stack.clock.now_ms() - began) / 1000 < 10_500


def test_a_schedule_timeout_passes_in_virtual_time(stack: LocalStack) -> None:
    ref = hurried.run(wait_for_result=False)
    stack.advance(timedelta(minutes=2))
    stack.drain()
    assert app.runs.get_status(ref.workflow_run_id) is RunStatus.CANCELLED


def test_a_jump_of_a_month_costs_no_look_at_each_minute_and_misses_nothing(stack: LocalStack) -> None:
    at = stack.clock.now_ms() / 1000 + timedelta(days=10).total_seconds()
    hurried.schedule(datetime.fromtimestamp(at, UTC))
    with Meter() as meter:
        stack.advance(timedelta(days=9))
    assert len(meter.calls) < 200, "one query a minute and shard would be 207,360"
    stack.advance(timedelta(days=1, minutes=1))
    stack.drain()
    [run] = app.runs.list(until=datetime.now(UTC) + timedelta(days=30)).rows
    assert run.status is RunStatus.COMPLETED


@pytest.mark.parametrize("background", [True, False])
def test_every_tick_of_a_cron_on_the_way_fires_at_its_time(background: bool) -> None:
    crons = Headrace()
    fired: list[datetime] = []

    @crons.task(on_crons=["0 */6 * * *"])
    def tick(input: EmptyModel, ctx: Context) -> None:
        fired.append(datetime.fromisoformat(ctx.additional_metadata["hatchet__cron_scheduled_at"]))

    with local(crons, backend="memory", background=background) as stack:
        stack.advance(timedelta(days=2))
        until = datetime.fromtimestamp(stack.clock.now_ms() / 1000, UTC)
        runs = crons.runs.list(since=datetime.now(UTC) - timedelta(days=1), until=until).rows
    assert fired == sorted(fired)
    assert len(fired) == len(set(fired)) == 8
    assert {each.hour for each in fired} == {0, 6, 12, 18}
    late = [
        run.created_at - due
        for run, due in zip(sorted(runs, key=lambda run: run.created_at), fired, strict=True)
    ]
    assert max(late) < timedelta(seconds=5)


def test_what_is_no_exception_ends_the_task_once_and_its_worker_lives(stack: LocalStack) -> None:
    ref = deadly.run(wait_for_result=False)
    stack.drain()
    with pytest.raises(FailedTaskRunExceptionGroup, match="Crash"):
        ref.result()
    assert stack.invocations == 1
    assert stack.dead_letters() == stack.depth("default") == 0


def test_a_task_that_exits_fails_and_its_worker_lives(stack: LocalStack) -> None:
    ref = quits.run(wait_for_result=False)
    stack.drain()
    with pytest.raises(FailedTaskRunExceptionGroup, match="SystemExit: 3"):
        ref.result()


def test_hundreds_of_runs_none_lost_none_twice_memory_flat(stack: LocalStack) -> None:
    noop.run_many([noop.create_bulk_run_item(Number(n=n)) for n in range(200)], wait_for_result=False)
    stack.drain(timeout=280)
    half = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    noop.run_many([noop.create_bulk_run_item(Number(n=n)) for n in range(200, 400)], wait_for_result=False)
    stack.drain(timeout=280)
    assert sorted(ran) == list(range(400))
    assert {run_status(record) for record in stack.runs()} == {RunStatus.COMPLETED}
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - half
    assert grown_kb < 15_000, (
        f"{grown_kb} KB more after another 200 runs; their records take about 2 KB each in moto"
    )


def test_it_leaves_the_app_and_the_environment_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    before = dict(os.environ)
    with local(app, background=False):
        assert "AWS_ENDPOINT_URL" not in os.environ
    assert dict(os.environ) == before
    assert not app._is_connected


def test_the_pytest_plugin() -> None:
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "pytest.ini").write_text("[pytest]\nheadrace_app = quickstart:hatchet\n")
        (here / "test_it.py").write_text(
            "from quickstart import SimpleInput, simple\n\n"
            "def test_simple(headrace_local):\n"
            "    assert simple.run(SimpleInput(message='HI')).transformed_message == 'hi'\n"
        )
        path = ":".join(str(root / name) for name in ("sdk", "handlers", "infra", "examples"))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "headrace_infra.pytest_plugin",
            "-p",
            "no:headrace",
        ]
        done = subprocess.run(
            command,
            cwd=here,
            env={"PATH": "", "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.ministack
def test_the_same_on_ministack() -> None:
    """A server of its own, in real time: retries with backoff and the bucket included."""

    @app.task(name="soon", retries=1, backoff_factor=1.0)
    def soon(input: EmptyModel, ctx: Context) -> dict[str, int]:
        if ctx.retry_count == 0:
            raise ValueError("in a second")
        return {"attempt": ctx.attempt_number}

    with local(app, backend="ministack") as stack:
        assert noop.run(Number(n=7)) == {"n": 7}
        ref = soon.run(wait_for_result=False)
        stack.drain()
        assert ref.result() == {"attempt": 2}
        assert noop.run({"n": 1, "text": "x" * 500_000}) == {"n": 1}  # type: ignore[call-overload]  # any object will do
        with pytest.raises(NotSupportedError, match="real time"):
            stack.advance(timedelta(minutes=1))
