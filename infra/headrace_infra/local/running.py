"""Run an app on an emulated AWS: deploy its template, connect it, deliver to it."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from headrace.app import Headrace
from headrace.engine.events.handle import Handled
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.ports import NEXT
from headrace_handlers import dead_letters, worker
from headrace_handlers import events as events_handler
from headrace_infra.compile import compile_app, units_of
from headrace_infra.compile_checks import left_out
from headrace_infra.local.backends import Backend, started
from headrace_infra.local.clock import OffsetClock
from headrace_infra.local.dispatcher import IDLE_PAUSE_S, Dispatcher, Target
from headrace_infra.local.resources import DEAD_LETTERS_QUEUE, Deployed
from headrace_infra.local.stack import LONGEST_POLL_S, MINISTACK_PAUSE_S, POLL_S, EventCounter, LocalStack
from headrace_infra.template.functions.workers import SUPPORT_TIMEOUT_S


def unreported(handled: Sequence[Handled]) -> None:
    """Metrics are for CloudWatch."""


def targets_of(app: Headrace, deployed: Deployed, events: EventCounter) -> dict[str, Target]:
    """Each worker's queue with the handler that Lambda would run, and the dead letters'."""
    targets = {
        name: Target(
            queue=name,
            handler=worker.make_handler(app, name, visibility_s=deployed.visibility_s[name], metrics=events),
            batch_size=deployed.batch_size[name],
            timeout_s=deployed.timeout_s[name],
            visibility_s=deployed.visibility_s[name],
        )
        for name in deployed.timeout_s
    }
    targets = {
        **{
            name + NEXT: replace(targets[name], queue=name + NEXT)
            for name in targets
            if name in deployed.next
        },
        **targets,
    }
    buried = dead_letters.make_handler(app)
    targets[DEAD_LETTERS_QUEUE] = Target(
        queue=DEAD_LETTERS_QUEUE, handler=buried, batch_size=10, timeout_s=SUPPORT_TIMEOUT_S
    )
    if deployed.events:
        targets[EVENTS_QUEUE] = Target(
            queue=EVENTS_QUEUE,
            handler=events_handler.make_handler(app, report=unreported),
            batch_size=10,
            timeout_s=SUPPORT_TIMEOUT_S,
        )
    return targets


@contextmanager
def run_local(
    app: Headrace,
    *,
    backend: str,
    concurrency: int,
    background: bool,
    stack_name: str,
    on_invocation: Callable[[str, float], None] | None,
) -> Iterator[LocalStack]:
    """See `headrace_infra.testing.local`."""
    clock = OffsetClock()
    with ExitStack() as stack:
        aws = stack.enter_context(started(backend, clock))
        stack.enter_context(_quiet())
        for sentence in left_out(app):
            warnings.warn(sentence, stacklevel=3)
        template = compile_app(app, app_path="local:app", one_table=True)
        deployed = aws.deploy(template, units_of(app), stack_name)
        stack.enter_context(_connected(app, deployed, aws))
        app._publish(every_zone=True)
        events = EventCounter()
        dispatcher = Dispatcher(
            app.engine.queues,
            targets_of(app, deployed, events),
            region=aws.region,
            concurrency=concurrency,
            on_invocation=on_invocation,
            has_messages=(lambda queue: aws.queued(queue) > 0) if aws.looks_are_free else _perhaps,
            idle_pause_s=IDLE_PAUSE_S if aws.moves_time else MINISTACK_PAUSE_S,
        )
        for each in app._fleet():
            stack.callback(each.lifespan.stop)
        running = LocalStack(app, deployed, clock, dispatcher, events, aws)
        if background:
            dispatcher.start()
            stack.enter_context(_ticking(running))
        stack.callback(dispatcher.stop)
        yield running


@contextmanager
def _ticking(running: LocalStack) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=running.keep_ticking, args=(stop,), name="headrace-clock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _perhaps(queue: str) -> bool:
    """Asking MiniStack whether a queue holds anything costs as much as receiving."""
    return True


@contextmanager
def _connected(app: Headrace, deployed: Deployed, backend: Backend) -> Iterator[None]:
    """The app on the deployed resources, with quick polls; as it was afterwards."""
    settings = app.settings
    before = (settings.poll_s, settings.longest_poll_s)
    changes: dict[str, Any] = {
        "stack": deployed.stack,
        "zone": "",
        "table": deployed.table,
        "bucket": deployed.bucket,
        "queues": dict(deployed.urls),
    }
    ports = backend.ports(settings.changed(**changes))
    settings.poll_s, settings.longest_poll_s = POLL_S, LONGEST_POLL_S
    app.use(ports)
    try:
        yield
    finally:
        app.use(None)
        settings.poll_s, settings.longest_poll_s = before


@contextmanager
def _quiet() -> Iterator[None]:
    """The handlers' own lines are for CloudWatch; warnings stay."""
    logger = logging.getLogger("headrace")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
