"""A worker as the template sees it: names, times and options, all checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

from headrace.core.run.plans.plan import TaskPlan
from headrace.core.waits.passes import items_of
from headrace.definitions.worker import LAMBDA_TIMEOUT_S, RESERVE_S, WorkerOptions
from headrace.errors import CompileError
from headrace.ports import NEXT
from headrace.runtime.slots.polls import VISIBILITY_S
from headrace_infra.template.roles import check_policies

MARGIN_S = 30
"""What the function's timeout leaves beside its longest task, where Lambda's own limit allows it."""


LONGEST_HIDDEN_S = 360
"""How long a worker that died before its first heartbeat is missed, at most, where its function runs for less."""


class WorkerLike(Protocol):
    """What the compiler reads of a worker."""

    @property
    def name(self) -> str: ...

    @property
    def process(self) -> bool: ...

    @property
    def slots(self) -> int | None: ...

    @property
    def options(self) -> WorkerOptions: ...

    @property
    def zone(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One worker: one queue, and one function unless it is a `process`. `timeout_s`: what its longest task takes, and a margin.
    `sends`: the workers whose queues it may send to, itself among them."""

    name: str
    id: str
    timeout_s: int
    runtime: str
    options: WorkerOptions
    process: bool = False
    sends: frozenset[str] = frozenset()
    zone: str = ""
    crosses: frozenset[str] = frozenset()
    """The workers of other zones whose runs it may start."""
    next: bool = False
    """Whether it has a second queue, for what goes on with runs that have started."""

    @property
    def next_queue(self) -> str:
        return f"{self.id}NextQueue"

    @property
    def queues(self) -> tuple[str, ...]:
        return (self.queue, self.next_queue) if self.next else (self.queue,)

    @property
    def queue(self) -> str:
        return f"{self.id}Queue"

    @property
    def function(self) -> str:
        return f"{self.id}Function"

    @property
    def visibility_s(self) -> int:
        """Six times as long as the function may run, as AWS recommends, so that throttled invocations use up no deliveries; but at
        most six minutes where the function itself runs no longer. A process has no mapping.

        A worker that dies before its first heartbeat is missed for as long as its message is hidden, hence the most; from then on,
        heartbeats hold the message for half a minute at a time. A delivery that comes early costs nothing: a ticket is claimed once.
        """
        if self.process:
            return VISIBILITY_S
        if self.options.visibility_timeout is not None:
            return int(self.options.visibility_timeout.total_seconds())
        return max(self.timeout_s, min(6 * self.timeout_s, LONGEST_HIDDEN_S))


def logical_id(name: str) -> str:
    """`gpu-large` -> `GpuLarge`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def unit_of(
    worker: WorkerLike,
    tasks: list[tuple[str, TaskPlan]],
    runtime: str | None,
    others: Sequence[TaskPlan] = (),
    sends: frozenset[str] = frozenset(),
    crosses: frozenset[str] = frozenset(),
    *,
    has_next: bool = False,
) -> Unit:
    """The worker's unit. `tasks` are those planned onto it, each with its workflow's name; `others` those that a run may send to
    it (`desired_worker_id`, labels, sticky): its function outlasts them too, where it can. `sends`: the workers it sends to; `crosses`: those of
    other zones whose runs it starts."""
    options = worker.options
    chosen = options.runtime or runtime or f"python{sys.version_info.major}.{sys.version_info.minor}"
    _check_runtime(worker.name, options, chosen)
    _check_slots(worker, tasks)
    check_policies(worker.name, options.policies)
    timeout_s = _process_timeout_s(tasks) if worker.process else _timeout_s(worker, tasks, others)
    given = options.visibility_timeout
    if given is not None and given.total_seconds() < timeout_s:
        raise CompileError(
            f"worker {worker.name} has a visibility_timeout of {given.total_seconds():g} s, and its function may run {timeout_s} s: "
            f"SQS's mapping takes no less than that. Give at least {timeout_s} s, or none to have it chosen"
        )
    return Unit(
        name=worker.name,
        id=logical_id(worker.name),
        timeout_s=timeout_s,
        runtime=chosen,
        options=options,
        process=worker.process,
        sends=sends,
        zone=worker.zone,
        crosses=crosses,
        next=has_next,
    )


def _process_timeout_s(tasks: list[tuple[str, TaskPlan]]) -> int:
    """No limit of Lambda holds for a process."""
    return max((ceil(task.execution_timeout_ms / 1000) for _, task in tasks), default=0) + MARGIN_S


def _timeout_s(worker: WorkerLike, tasks: list[tuple[str, TaskPlan]], others: Sequence[TaskPlan]) -> int:
    longest_s = 0
    for workflow, task in tasks:
        seconds = ceil(task.execution_timeout_ms / 1000)
        if seconds > LAMBDA_TIMEOUT_S - RESERVE_S:
            raise CompileError(
                f"task {task.name} of workflow {workflow} has an execution_timeout of {seconds:,} s; worker "
                f"{worker.name} is a Lambda function, which ends after {LAMBDA_TIMEOUT_S} s and needs {RESERVE_S} of "
                f"them to store the outcome. Give at most {LAMBDA_TIMEOUT_S - RESERVE_S} s, split the task, or put its workflow on a "
                "worker with process=True, which runs where you start it"
            )
        longest_s = max(longest_s, seconds)
    if worker.options.timeout is None:
        also_s = [ceil(task.execution_timeout_ms / 1000) for task in others]
        longest_s = max(longest_s, *(each for each in also_s if each <= LAMBDA_TIMEOUT_S - RESERVE_S), 0)
        return min(LAMBDA_TIMEOUT_S, longest_s + MARGIN_S)
    given_s = int(worker.options.timeout.total_seconds())
    if given_s < longest_s + RESERVE_S:
        workflow, task = max(tasks, key=lambda pair: pair[1].execution_timeout_ms)
        raise CompileError(
            f"worker {worker.name} has a timeout of {given_s} s, but task {task.name} of workflow {workflow} may run "
            f"{longest_s} s and {RESERVE_S} more are needed to store its outcome. Give a timeout of at least "
            f"{longest_s + RESERVE_S} s, or none to have it chosen"
        )
    return given_s


def _check_slots(worker: WorkerLike, tasks: list[tuple[str, TaskPlan]]) -> None:
    """No task needs more slots than there are in one place."""
    if worker.slots is None:
        return
    items = items_of(worker.slots)
    most = worker.slots // items
    for workflow, task in tasks:
        if task.slot_cost > most:
            parts = "" if items == 1 else f", in {items} parts of {most} or more, of which a task takes one"
            raise CompileError(
                f"task {task.name} of workflow {workflow} has a slot_cost of {task.slot_cost}, and its worker {worker.name} has "
                f"{worker.slots} slots{parts}: it would never run. Give the task a slot_cost of at most {most}, or the worker more "
                "slots"
            )


def _check_runtime(worker: str, options: WorkerOptions, runtime: str) -> None:
    found = re.fullmatch(r"python3\.(\d+)", runtime)
    if not found or int(found[1]) < 11:
        raise CompileError(f"worker {worker}: runtime is {runtime!r}: give python3.11 or newer")
    if options.snap_start and int(found[1]) < 12:
        raise CompileError(
            f"worker {worker}: snap_start needs a runtime of python3.12 or newer, and it has {runtime}. "
            "Give the worker runtime='python3.12' or compile with a newer Python"
        )


EVENTS = "EventsQueue"
"""The queue of events, in apps that use any."""


def queue_urls(units: list[Unit], *, events: bool = False) -> dict[str, Any]:
    """HEADRACE_QUEUES: each worker's queue and that of events, so that no function asks SQS for a URL."""
    queues = [(unit.name, unit.queue) for unit in units]
    queues += [(unit.name + NEXT, unit.next_queue) for unit in units if unit.next]
    queues += [("events", EVENTS)] if events else []
    pairs = ", ".join(f'"{name}": "${{{queue}}}"' for name, queue in queues)
    return {"Fn::Sub": f"{{{pairs}}}"}
