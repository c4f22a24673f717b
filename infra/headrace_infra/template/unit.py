"""A worker as the template sees it: names, times and options, all checked."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

from headrace.core.plan import TaskPlan
from headrace.errors import CompileError
from headrace.worker import WorkerOptions

LAMBDA_TIMEOUT_S = 900
"""The longest a Lambda function runs (Lambda quotas)."""

RESERVE_S = 10
"""What an attempt needs beside the task: its claim, the grace of a deadline, its commit, and calls tried again."""

MARGIN_S = 30
"""What the function's timeout leaves beside its longest task, where Lambda's own limit allows it."""


class WorkerLike(Protocol):
    """What the compiler reads of a worker."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int | None: ...

    @property
    def options(self) -> WorkerOptions: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One worker: one queue, one function."""

    name: str
    id: str
    timeout_s: int
    runtime: str
    options: WorkerOptions

    @property
    def queue(self) -> str:
        return f"{self.id}Queue"

    @property
    def function(self) -> str:
        return f"{self.id}Function"

    @property
    def visibility_s(self) -> int:
        """As long as the function may run, which is the least that SQS's mapping accepts.

        AWS recommends six times that, so that a message outlives invocations that were throttled. Here a delivery that
        ends early costs nothing (a ticket is claimed once), while a worker that dies before its first heartbeat is
        missed for as long as its message is hidden; from then on, heartbeats hold it for half a minute at a time.
        """
        return self.timeout_s


def logical_id(name: str) -> str:
    """`gpu-large` -> `GpuLarge`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def unit_of(worker: WorkerLike, tasks: list[tuple[str, TaskPlan]], runtime: str | None) -> Unit:
    """The worker's unit. `tasks` are those planned onto it, each with its workflow's name."""
    options = worker.options
    if worker.slots is not None:
        raise CompileError(
            f"worker {worker.name} has slots={worker.slots}, which caps a worker process; a Lambda worker scales as its queue "
            "asks. Leave slots out, or give maximum_concurrency, which caps its invocations, not exactly"
        )
    chosen = options.runtime or runtime or f"python{sys.version_info.major}.{sys.version_info.minor}"
    _check_runtime(worker.name, options, chosen)
    return Unit(
        name=worker.name,
        id=logical_id(worker.name),
        timeout_s=_timeout_s(worker, tasks),
        runtime=chosen,
        options=options,
    )


def _timeout_s(worker: WorkerLike, tasks: list[tuple[str, TaskPlan]]) -> int:
    longest_s = 0
    for workflow, task in tasks:
        seconds = ceil(task.execution_timeout_ms / 1000)
        if seconds > LAMBDA_TIMEOUT_S - RESERVE_S:
            raise CompileError(
                f"task {task.name} of workflow {workflow} has an execution_timeout of {seconds:,} s; worker "
                f"{worker.name} is a Lambda function, which ends after {LAMBDA_TIMEOUT_S} s and needs {RESERVE_S} of "
                f"them to store the outcome. Give at most {LAMBDA_TIMEOUT_S - RESERVE_S} s, or split the task"
            )
        longest_s = max(longest_s, seconds)
    if worker.options.timeout is None:
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


def _check_runtime(worker: str, options: WorkerOptions, runtime: str) -> None:
    found = re.fullmatch(r"python3\.(\d+)", runtime)
    if not found or int(found[1]) < 11:
        raise CompileError(f"worker {worker}: runtime is {runtime!r}: give python3.11 or newer")
    if options.snap_start and int(found[1]) < 12:
        raise CompileError(
            f"worker {worker}: snap_start needs a runtime of python3.12 or newer, and it has {runtime}. "
            "Give the worker runtime='python3.12' or compile with a newer Python"
        )


def queue_urls(units: list[Unit]) -> dict[str, Any]:
    """HEADRACE_QUEUES: each worker's queue, so that nobody has to ask SQS for a URL."""
    pairs = ", ".join(f'"{unit.name}": "${{{unit.queue}}}"' for unit in units)
    return {"Fn::Sub": f"{{{pairs}}}"}
