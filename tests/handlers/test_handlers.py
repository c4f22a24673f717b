"""The Lambda handlers on real boto3 and moto: partial failures, poison, logs, metrics, dead letters."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.gates import gate, single
from support.probe import hatchet, probe
from support.world import World

from headrace.core.points import AtConcurrency
from headrace.core.run.message import TaskMessage, encode_message
from headrace.engine.attempts.ports import Done, Host, Work
from headrace.engine.clock.tick import tick
from headrace.engine.runs.read import read
from headrace.engine.waits.kinds.pause import Pause, pause
from headrace.errors import NotConfigured
from headrace.ports import Outgoing
from headrace.telemetry.events import AttemptStarted
from headrace_handlers import boot, clock, dead_letters, logs, worker
from headrace_handlers.batches import answer
from headrace_handlers.observing import MOST_GATES, EmfListener, gate_metrics
from headrace_infra.local.dispatcher import LambdaContext, event_of
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local(hatchet, background=False) as running:
        yield running


def batch(stack: LocalStack, size: int = 10) -> dict[str, Any]:
    return event_of(stack.engine.queues.receive("probe", limit=size, wait_s=0), "us-east-1")


def finish(stack: LocalStack, event: dict[str, Any], answer: dict[str, Any]) -> None:
    """What the event source mapping does with an answer."""
    failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
    for record in event["Records"]:
        if record["messageId"] not in failed:
            from headrace_handlers.records import received

            stack.engine.queues.delete(received(record, "probe"))


def test_a_batch_reports_only_what_is_not_done(stack: LocalStack) -> None:
    refs = [probe.run(wait_for_result=False) for _ in range(3)]
    stack.engine.queues.send("probe", [Outgoing(body="no JSON")])
    event = batch(stack)
    bad = [record["messageId"] for record in event["Records"] if record["body"] == "no JSON"]
    answer = worker.make_handler(hatchet, "probe")(event, LambdaContext("probe", 60))
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == bad
    assert [ref.result()["worker"] for ref in refs] == ["probe"] * 3
    finish(stack, event, answer)
    stack.drain()
    assert stack.depth("probe") == stack.dead_letters() == 0


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"key1": "value1", "key2": "value2"}, "the keys key1, key2"),
        ({}, "no keys"),
        ({"Records": [{"eventSource": "aws:s3", "s3": {}}]}, "records of aws:s3"),
    ],
    ids=["the console's test event", "an empty event", "an event of S3"],
)
def test_an_event_that_is_not_of_sqs_is_refused_with_what_to_do(event: dict[str, Any], says: str) -> None:
    with pytest.raises(
        ValueError, match=f"takes messages of its SQS queue, and the event has {says}.*headrace trigger"
    ):
        answer(event, lambda record: Done())


def test_metrics_are_one_line_of_emf(stack: LocalStack) -> None:
    out = io.StringIO()
    probe.run(wait_for_result=False)
    event = batch(stack, 1)
    handler = worker.make_handler(hatchet, "probe", metrics=EmfListener("probe", out))
    finish(stack, event, handler(event, LambdaContext("probe", 60)))
    [line] = out.getvalue().splitlines()
    found = json.loads(line)
    [directive] = found["_aws"]["CloudWatchMetrics"]
    assert (found["Worker"], found["Workflow"]) == ("probe", "probe")
    assert (found["RunsStarted"], found["RunsCompleted"]) == (1, 1)
    assert found["QueueLatency"][0] >= 0
    assert {each["Name"] for each in directive["Metrics"]} == {
        "RunsStarted",
        "RunsCompleted",
        "QueueLatency",
        "TaskDuration",
    }


class Observed(World):
    """A world whose hosts tell what happens."""

    metrics: EmfListener

    def host(self, worker: str) -> Host:
        return replace(World.host(self, worker), listeners=(self.metrics,))


def waited() -> tuple[Observed, io.StringIO]:
    """One run holds the gate while two more line up behind it; then all have run."""
    out = io.StringIO()

    def body(work: Work) -> dict[str, bool]:
        while len(w.ran) == 1 and w.deliver_next():
            pass
        w.clock.advance(1_000)
        return {"ok": True}

    w = Observed(plans={"flow": single(gates=(gate("flow/0"),))}, code={"flow": body})
    w.metrics = EmfListener("default", out)
    for _ in range(3):
        w.start("flow")
    w.drain()
    return w, out


def test_waits_at_gates_are_a_metric_and_the_gates_a_property() -> None:
    w, out = waited()
    w.metrics.flush()
    w.metrics.flush()
    [line] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (line["RunsStarted"], line["RunsParked"]) == (3, 2)
    assert (line["GateWait"], line["Gates"]) == ([1_000, 2_000], ["gate#flow/0#x"])
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert {"Name": "GateWait", "Unit": "Milliseconds"} in directive["Metrics"]
    assert directive["Dimensions"] == [["Worker", "Workflow"], ["Worker"]]
    assert "Gates" not in {each["Name"] for each in directive["Metrics"]}


def test_a_line_names_so_many_gates_and_no_more() -> None:
    w, out = waited()
    w.metrics.flush()
    points = tuple(AtConcurrency("flow/0", str(number)) for number in range(50))
    w.metrics.heard(AttemptStarted(workflow="flow", task="flow", queue_ms=5, lined_up=points))
    w.metrics.flush()
    line = json.loads(out.getvalue().splitlines()[-1])
    assert (len(line["Gates"]), line["GateWait"]) == (MOST_GATES, [5])


def test_the_lines_of_gates_are_metrics_by_name() -> None:
    w = World(plans={"flow": single()}, code={"flow": lambda work: None})
    out = io.StringIO()
    assert gate_metrics(tick(w.engine).lines, w.clock.now_ms(), out) == 0
    assert out.getvalue() == ""
    pause(w.engine, "flow", Pause(queue_ttl_ms=60_000))
    for _ in range(2):
        w.start("flow")
        while w.deliver_next():
            pass
        w.clock.advance(500)
    assert gate_metrics(tick(w.engine).lines, w.clock.now_ms(), out) == 2
    [line] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (line["Gate"], line["GateWaiters"], line["GateOldestWait"]) == ("pause:flow", 2, 1_000)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Gate"]]
    assert {each["Name"]: each["Unit"] for each in directive["Metrics"]} == {
        "GateWaiters": "Count",
        "GateOldestWait": "Milliseconds",
    }


def test_every_line_of_an_attempt_names_run_and_task(stack: LocalStack) -> None:
    out = io.StringIO()
    root = logging.getLogger()
    handler, level = logging.StreamHandler(out), root.level
    root.addHandler(handler)
    try:
        logs.set_up()
        ref = probe.run(wait_for_result=False)
        event = batch(stack, 1)
        finish(stack, event, worker.make_handler(hatchet, "probe")(event, LambdaContext("probe", 60)))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    [mine] = [line for line in lines if line["message"] == "probing probe"]
    assert (mine["run_id"], mine["task"], mine["workflow"]) == (ref.workflow_run_id, "probe", "probe")
    assert mine["attempt"] == 1


COLD = """
import sys
from headrace import Context, Headrace
hatchet = Headrace()
@hatchet.task()
def simple(input: dict, ctx: Context) -> dict:
    return input
sys.modules["cold_app"] = sys.modules["__main__"]
from headrace_handlers.worker import handler
heavy = {"asyncio", "aws_lambda_powertools", "boto3", "botocore", "ctypes", "pydantic"}
print(sorted(heavy & {name.split(".")[0] for name in sys.modules}))
"""


def test_the_start_of_a_worker_without_models_loads_nothing_heavy() -> None:
    environment = {
        "PATH": os.environ["PATH"], "HOME": "/nowhere", "AWS_LAMBDA_FUNCTION_NAME": "cold", "HEADRACE_WORKER": "default", "HEADRACE_APP": "cold_app:hatchet",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", COLD], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]", done.stdout


def test_a_dead_letter_ends_its_task_as_failed(stack: LocalStack) -> None:
    ref = probe.run(wait_for_result=False)
    event = batch(stack, 1)
    gone = TaskMessage(run_id="gone", task="probe", number=0, queued_at_ms=0, start_by_ms=1)
    event["Records"] += event_of([], "us-east-1")["Records"]
    for number, body in enumerate((encode_message(gone), "no JSON")):
        event["Records"].append({**event["Records"][0], "messageId": f"bad {number}", "body": body})
    answer = dead_letters.make_handler(hatchet)(event, LambdaContext("dead-letters", 60))
    assert answer == {"batchItemFailures": []}
    record = read(stack.engine, ref.workflow_run_id)
    assert record is not None
    error = record.tasks["probe"].error
    assert error is not None
    assert (error.type, "delivered too often" in error.message) == ("DeadLetterError", True)
    stack.drain()


def test_the_clock_registers_and_sends(stack: LocalStack) -> None:
    from headrace.engine.catalog.workflows import published

    assert clock.make_handler(hatchet)({}, None) == {"sent": 0}
    assert published(stack.engine, "probe") == probe.published()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("probe", "give module:attribute"),
        ("no.such.module:app", "there is no module 'no.such.module'"),
        ("support.probe:worker", "is Worker, not a Headrace"),
        ("support.probe:nothing", "is NoneType, not a Headrace"),
    ],
)
def test_a_bad_app_path_says_so(path: str, why: str) -> None:
    with pytest.raises(NotConfigured, match=why):
        boot.load_app(path)


def test_an_unknown_worker_says_which_there_are() -> None:
    with pytest.raises(NotConfigured, match="the app has no worker 'x'; it has probe"):
        boot.worker_named(hatchet, "x")
