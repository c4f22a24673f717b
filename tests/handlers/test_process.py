"""A worker as a real process against an AWS of its own: work, health, drain, and code that cannot be interrupted."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from support.probe import hatchet as probe

from headrace import Headrace, RunStatus, Settings
from headrace.engine.catalog.workflows import published
from headrace_infra.compile import compile_app, units_of
from headrace_infra.local.resources import deploy
from headrace_infra.ministack import free_port

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.timeout(90), pytest.mark.filterwarnings("ignore:When using MotoServer")]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "HEADRACE_STACK": f"probe-{port}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    deploy(
        compile_app(probe, app_path="probe:hatchet"),
        units_of(probe),
        stack=environment["HEADRACE_STACK"],
        account="123456789012",
        region="us-east-1",
    )
    yield environment
    server.stop()


def start(environment: dict[str, str], **more: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(str(ROOT / name) for name in ("sdk", "handlers", "infra", "tests"))
    return subprocess.Popen(
        [sys.executable, "-m", "support.probe"],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": path, **more},
    )


def ended(process: subprocess.Popen[bytes], within_s: float) -> int:
    try:
        return process.wait(within_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def eventually_healthy(port: int) -> dict[str, object]:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                found: dict[str, object] = json.loads(answer.read())
                return found
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the worker did not become healthy")


def test_it_works_tells_its_health_and_drains(aws: dict[str, str]) -> None:
    port = free_port()
    process = start(
        aws,
        HEADRACE_HEALTHCHECK__ENABLED="true",
        HEADRACE_HEALTHCHECK__PORT=str(port),
        HEADRACE_HEALTHCHECK__BIND_ADDRESS="127.0.0.1",
    )
    try:
        assert eventually_healthy(port) == {"status": "healthy", "worker": "probe", "slots": 10}
        app = Headrace(config=Settings(stack=aws["HEADRACE_STACK"]))
        found = app.stubs.task(name="probe").run()
        assert (found["pid"], found["worker"]) == (process.pid, "probe")
        napping = app.stubs.task(name="nap").run(wait_for_result=False)
        while app.runs.get_status(napping.workflow_run_id) is RunStatus.QUEUED:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert (
            ended(process, 60) == 0
        )  # a receive is waited for 15 s at most, whatever the client library does
        assert napping.result() == {"rested": True}
    finally:
        if process.poll() is None:
            process.kill()


def test_code_that_cannot_be_interrupted_ends_the_process_and_the_run_is_failed(aws: dict[str, str]) -> None:
    process = start(aws, PROBE_ONE_SLOT="1")
    app = Headrace(config=Settings(stack=aws["HEADRACE_STACK"]))
    while published(app.engine, "hangs") is None and process.poll() is None:
        time.sleep(0.05)
    ref = app.stubs.task(name="hangs").run(wait_for_result=False)
    assert ended(process, 30) == 70
    with pytest.raises(ValueError, match="Task exceeded timeout of 1s"):
        ref.result()
