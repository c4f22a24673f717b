"""A chain of steps, or of waits, on the AWS durable execution SDK in its own in-process runner: checkpoints, bytes, CPU a step. Prints JSON."""

import json
import sys
import time
from typing import Any

from aws_durable_execution_sdk_python import DurableContext, StepContext, durable_execution, durable_step
from aws_durable_execution_sdk_python.config import Duration
from aws_durable_execution_sdk_python_testing.runner import DurableFunctionTestRunner

KIND, STEPS = sys.argv[1], int(sys.argv[2])
ROUNDS = 10
POLL_S = 0.2
"""How often the runner is asked whether it is done: seldom, as that is CPU of this process too."""


@durable_step
def step(context: StepContext, number: int) -> dict[str, int]:
    return {"n": number}


@durable_execution
def chain(event: Any, context: DurableContext) -> dict[str, int]:
    last = {"n": 0}
    for number in range(STEPS):
        last = context.step(step(number))
    return last


@durable_execution
def waits(event: Any, context: DurableContext) -> dict[str, int]:
    for _ in range(STEPS):
        context.wait(Duration.from_seconds(1))
    return {"n": STEPS - 1}


HANDLER = {"steps": chain, "waits": waits}[KIND]
calls = {"checkpoints": 0, "bytes": 0}


def count(runner: DurableFunctionTestRunner) -> None:
    """Count what the SDK would send to the service."""
    client = runner._service_client
    original = client.checkpoint

    def checkpoint(*arguments: Any, **options: Any) -> Any:
        calls["checkpoints"] += 1
        updates = options.get("updates") or next((each for each in arguments if isinstance(each, list)), [])
        calls["bytes"] += sum(len(str(getattr(update, "payload", "") or "")) for update in updates)
        return original(*arguments, **options)

    client.checkpoint = checkpoint


cpu = wall = 0.0
for number in range(ROUNDS + 1):
    with DurableFunctionTestRunner(handler=HANDLER, poll_interval=POLL_S) as runner:
        count(runner)
        if number == 0:
            runner.run(input="{}", execution_timeout=30)
            calls.update(checkpoints=0, bytes=0)
            continue
        began, clock = time.process_time(), time.perf_counter()
        result = runner.run(input="{}", execution_timeout=30)
        cpu, wall = cpu + time.process_time() - began, wall + time.perf_counter() - clock
        assert json.loads(result.result) == {"n": STEPS - 1}, result
print(
    json.dumps(
        {
            "checkpoints": calls["checkpoints"] / ROUNDS,
            "bytes": calls["bytes"] / ROUNDS,
            "cpu_ms_a_step": cpu / ROUNDS / STEPS * 1000,
        }
    )
)
