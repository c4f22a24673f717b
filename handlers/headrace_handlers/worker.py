"""The Lambda of a worker: messages of its queue."""

from __future__ import annotations

import gc
import os

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    gc.disable()  # until the handler is made: what a cold start makes stays, so collections in it only cost time

from collections.abc import Callable
from typing import Any

from headrace.app import Headrace
from headrace.core.values import replace
from headrace.engine.attempts.ports import Host, Running
from headrace.engine.engine import Engine
from headrace.engine.runs.deliver import deliver
from headrace.errors import HeadraceError, NotConfigured
from headrace.runtime.deadline import end_process
from headrace.runtime.side_by_side import side_by_side
from headrace.telemetry import tracing
from headrace_handlers import boot, logs
from headrace_handlers.batches import answer
from headrace_handlers.observing import EmfListener, Metrics
from headrace_handlers.records import queue_of, received

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def make_handler(
    app: Headrace,
    worker_name: str,
    *,
    stop_process: Callable[[str], None] | None = None,
    visibility_s: int | None = None,
    metrics: Metrics | None = None,
    keeps_code: bool = False,
) -> Handler:
    """The handler of one worker of an app. `stop_process` ends code that cannot be interrupted; None leaves it behind. `keeps_code`: see `Host`."""
    listener = metrics or EmfListener(worker_name)
    engine = app.engine
    boot.worker_named(app, worker_name)
    hosts: list[Host] = []  # made at the first invocation: a SnapStart snapshot holds no lifespan

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if not hosts:
            made = boot.host_for(
                app,
                worker_name,
                visibility_s=visibility_s,
                listeners=(listener,),
                stop_process=stop_process,
                keeps_code=keeps_code,
            )
            hosts.append(replace(made, together=side_by_side))
        time_left_ms = getattr(context, "get_remaining_time_in_millis", None)
        host = boot.ready(app, hosts[0])
        if time_left_ms is not None:
            host = replace(host, time_left_ms=time_left_ms)
        left: list[Running] = []
        host = replace(host, left_behind=left.append)
        try:
            answered = answer(
                event,
                lambda record: deliver(
                    engine, host, engine.opened(received(record, queue_of(record, worker_name)))
                ),
            )
        finally:
            listener.flush()
            tracing.flush()
        if stop_process is not None and any(code.lives for code in left):
            _end(engine, event, answered, worker_name, stop_process)
        return answered

    return handler


def _end(
    engine: Engine,
    event: dict[str, Any],
    answered: dict[str, Any],
    worker_name: str,
    stop_process: Callable[[str], None],
) -> None:
    """Code that could not be stopped ends with this process: in a frozen one it would wait, and go on beside what comes next. The
    messages that are done with are deleted first, since Lambda deletes none of an invocation that ends so."""
    failed = {each["itemIdentifier"] for each in answered["batchItemFailures"]}
    records = (record for record in event["Records"] if record["messageId"] not in failed)
    done = [received(record, queue_of(record, worker_name)) for record in records]
    try:
        engine.queues.delete_many(done)
    except HeadraceError as error:
        logs.error("messages are not deleted and will be delivered again", error=str(error))
    stop_process("code goes on although its attempt has ended")


def _from_environment() -> Handler:
    name = boot.settings().worker
    if not name:
        raise NotConfigured("HEADRACE_WORKER is not set: it names the worker that this function is")
    logs.set_up()
    try:
        return make_handler(boot.app_from_environment(), name, stop_process=end_process, keeps_code=True)
    finally:
        gc.freeze()
        gc.enable()


def __getattr__(name: str) -> Any:
    """`handler`, made when the Lambda runtime asks for it: importing this module in a test needs no environment."""
    if name == "handler":
        found = globals()["handler"] = _from_environment()
        return found
    raise AttributeError(name)
