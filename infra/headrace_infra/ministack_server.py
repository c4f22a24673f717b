"""MiniStack as Headrace runs it: closer to AWS where the stock server drops or delays what we rely on.

It runs by its path in MiniStack's own virtual environment, so it imports nothing of Headrace. It ends with the process that started it. Nine changes, each for
version 1.5.33, and none to what SQS, Lambda or DynamoDB answer:

- schedules are looked at every half second, not every ten: the clock ticks in its minute;
- a Lambda that logs nothing is not waited for: the stock server looks 50 ms for lines after every invocation;
- the TTL of a table in a template is kept: the stock CloudFormation drops it;
- an alarm on metric math is kept as one on its first metric: the stock CloudFormation refuses the whole stack;
- a batch call of SQS needs the permission of its single call, as on AWS, which knows no `sqs:SendMessageBatch`;
- a long poll looks for messages every MINISTACK_SQS_LOOK_S seconds, where that is set (stock: 0.1): for measurements of delays;
- where MINISTACK_QUICK is set, it is served by uvicorn with httptools and uvloop in place of Hypercorn, DynamoDB's items are copied by marshal,
  an expression is parsed once, and a receive completes no message again: half the CPU a request, for measurements of what talks to it;
- the right to talk to it is checked before anything else, where a key is given (`local/emulated/guard.py`);
- a request counts as made over TLS, which there is none of on loopback: else a bucket that insists on it is closed.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import marshal
import os
import runpy
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

TICK_S = 0.5
LOG_WAIT_S = 0.002


def quick_schedules() -> None:
    from ministack.services import eventbridge, scheduler  # type: ignore[import-not-found]  # is not in this environment

    eventbridge._SCHEDULER_TICK_INTERVAL = TICK_S
    scheduler._SCHEDULE_TICK_INTERVAL = TICK_S


def quick_answers() -> None:
    from ministack.core.lambda_runtime import Worker  # type: ignore[import-not-found]  # is not in this environment

    drain = Worker._drain_stderr_bounded

    def drain_soon(worker: Any) -> str:
        return str(drain(worker, first_line_wait=LOG_WAIT_S, idle_confirm=LOG_WAIT_S))

    Worker._drain_stderr_bounded = drain_soon


def tables_with_ttl() -> None:
    from ministack.services import dynamodb
    from ministack.services.cloudformation import provisioners  # type: ignore[import-not-found]  # is not in this environment

    handlers: dict[str, Callable[..., Any]] = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    create = handlers["create"]

    def create_with_ttl(logical_id: str, properties: dict[str, Any], *rest: Any, **named: Any) -> Any:
        made = create(logical_id, properties, *rest, **named)
        wanted = properties.get("TimeToLiveSpecification")
        if wanted:
            on = str(wanted.get("Enabled")).lower() == "true"
            dynamodb._ttl_settings[made[0]] = {
                "TimeToLiveStatus": "ENABLED" if on else "DISABLED",
                "AttributeName": wanted.get("AttributeName"),
            }
        return made

    handlers["create"] = create_with_ttl


def alarms_on_metric_math() -> None:
    from ministack.services.cloudformation import provisioners

    handlers: dict[str, Callable[..., Any]] = provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::Alarm"]
    create = handlers["create"]

    def create_any(logical_id: str, properties: dict[str, Any], *rest: Any, **named: Any) -> Any:
        first = next(
            (each["MetricStat"] for each in properties.get("Metrics", ()) if "MetricStat" in each), None
        )
        if first is not None:
            kept = {name: value for name, value in properties.items() if name != "Metrics"}
            properties = {**kept, **first["Metric"], "Period": first["Period"], "Statistic": first["Stat"]}
        return create(logical_id, properties, *rest, **named)

    handlers["create"] = create_any


def batches_by_single_permission() -> None:
    from ministack.core import iam_actions  # type: ignore[import-not-found]  # is not in this environment

    extract = iam_actions.extract_iam_action

    def extract_single(service: str, *rest: Any, **named: Any) -> Any:
        action = extract(service, *rest, **named)
        return action.removesuffix("Batch") if service == "sqs" and action else action

    iam_actions.extract_iam_action = extract_single


def all_over_tls() -> None:
    from ministack.core import iam_evaluator

    resolve = iam_evaluator._resolve_condition_key

    def resolve_as_secure(key: str, *rest: Any) -> Any:
        return "true" if key.lower() == "aws:securetransport" else resolve(key, *rest)

    iam_evaluator._resolve_condition_key = resolve_as_secure


def quick_long_polls() -> None:
    look_s = float(os.environ.get("MINISTACK_SQS_LOOK_S", "0"))
    if not look_s:
        return
    from ministack.services import sqs

    class Sooner:
        """asyncio, whose sleeps within SQS are short."""

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

        @staticmethod
        async def sleep(seconds: float) -> None:
            await asyncio.sleep(min(seconds, look_s))

    sqs.asyncio = Sooner()


def quick_dynamodb() -> None:
    """Items are JSON, which marshal copies in a fifth of the time of `copy.deepcopy`; and what a text parses to depends on nothing else."""
    if not os.environ.get("MINISTACK_QUICK"):
        return
    from ministack.services import dynamodb

    class Quick:
        """copy, whose deep copies are quick."""

        def __getattr__(self, name: str) -> Any:
            return getattr(copy, name)

        @staticmethod
        def deepcopy(value: Any) -> Any:
            try:
                return marshal.loads(marshal.dumps(value))
            except ValueError:  # not JSON
                return copy.deepcopy(value)

    dynamodb.copy = Quick()
    tokens = functools.lru_cache(maxsize=1_000)(dynamodb._tokenize)
    dynamodb._tokenize = lambda text: list(tokens(text))
    dynamodb._condition_syntax_error = functools.lru_cache(maxsize=1_000)(dynamodb._condition_syntax_error)


def quick_receives() -> None:
    """The stock server goes through the fields of all messages of a queue at each receive, so one of a long queue takes milliseconds."""
    if not os.environ.get("MINISTACK_QUICK"):
        return
    from ministack.services import sqs

    complete = sqs._ensure_msg_fields
    whole: dict[str, Any] = {}
    complete(whole)

    def complete_once(message: dict[str, Any]) -> None:
        if not whole.keys() <= message.keys():
            complete(message)

    sqs._ensure_msg_fields = complete_once


def serve() -> None:
    from ministack import app as server  # type: ignore[import-not-found]  # is not in this environment

    if not os.environ.get("MINISTACK_QUICK"):
        server.main()
        return
    import uvicorn

    port = int(os.environ["GATEWAY_PORT"])
    uvicorn.run(
        server.app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="warning",
        access_log=False, timeout_keep_alive=75, proxy_headers=False, server_header=False, date_header=False,
    )  # fmt: skip


def for_those_with_the_key() -> None:
    key = os.environ.get("HEADRACE_GUARD_KEY")
    if key is None:
        return
    from ministack import app as server

    guard = runpy.run_path(str(Path(__file__).with_name("local") / "emulated" / "guard.py"))
    server.app = guard["guarded_asgi"](server.app, key=key, port=int(os.environ["GATEWAY_PORT"]))


def end_with_the_parent() -> None:
    """stdin is a pipe that the process which started this one holds open: its end is the sign to stop, as SIGTERM is."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def main() -> None:
    end_with_the_parent()
    quick_schedules()
    quick_answers()
    tables_with_ttl()
    alarms_on_metric_math()
    batches_by_single_permission()
    all_over_tls()
    quick_long_polls()
    quick_dynamodb()
    quick_receives()
    for_those_with_the_key()
    serve()


if __name__ == "__main__":
    main()
