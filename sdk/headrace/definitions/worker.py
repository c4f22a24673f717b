"""A worker: one queue, and one Lambda function or processes on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from headrace.context.lifespan import Lifespan, LifespanFn
from headrace.core.labels import encode_required
from headrace.core.run.replies import PREFIX as REPLY_PREFIX
from headrace.core.values import dataclass
from headrace.errors import DefinitionError, LoopAlreadyRunningError, NotSupportedError
from headrace.options.events import check_event_patterns
from headrace.options.labels import Candidate, WorkerLabels, worker_name
from headrace.options.zones import check_zone
from headrace.ports import NEXT
from headrace.runtime.code import TaskRunnable

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.definitions.base import BaseWorkflow
    from headrace.definitions.task import Task
    from headrace.engine.attempts.ports import Runnable
    from headrace.engine.catalog.workers import DeclaredWorker
    from headrace.settings.settings import Settings

LONGEST_WORKER_NAME = 72
"""Characters: with its stack's it is a queue's name, of which SQS takes 80. `headrace compile` knows the stack, and Lambda's 64."""

RESERVED_NAMES = frozenset({"dead-letters", "clock", "events", "webhooks"})

LAMBDA_TIMEOUT_S = 900
"""The longest a Lambda function runs (Lambda quotas)."""

RESERVE_S = 10
"""What an attempt needs beside the task: its claim, the grace of a deadline, its commit, and calls tried again."""


class WorkerStatus(StrEnum):
    INITIALIZED = "INITIALIZED"
    STARTING = "STARTING"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


@dataclass(frozen=True, slots=True)
class WorkerStartOptions:
    """What `worker.start(options)` takes. `loop`: refused, as async tasks run on a loop of the worker's own."""

    loop: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcOptions:
    """The subnets and security groups of a worker's function."""

    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker is deployed as a Lambda function.

    memory: MB. timeout: of the function; default: the longest execution timeout of its tasks and a margin.
    visibility_timeout: for how long a message that was received is hidden, at least the function's timeout and at most 12 hours:
    so long a worker that dies in its first seconds is missed. Default: six times the timeout, up to six minutes. runtime: such as
    "python3.13"; default: the Python that compiles. policies: SAM policies beside those that Headrace needs. batch_size:
    messages an invocation, 1 to 10. maximum_concurrency: at most so many invocations at once, at least 2, not exact.
    reserved_concurrency: so many of the account's concurrent invocations are this worker's, and no more; 0 stops it. starts: the
    workflows that its tasks start; its role can send to the workers of those alone. Default: any.
    """

    memory: int = 512
    timeout: timedelta | None = None
    visibility_timeout: timedelta | None = None
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    runtime: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    policies: Sequence[Any] = ()
    vpc: VpcOptions | None = None
    batch_size: int = 1
    maximum_concurrency: int | None = None
    reserved_concurrency: int | None = None
    snap_start: bool = False
    starts: Sequence[BaseWorkflow[Any, Any] | str] | None = None

    def check(self, worker: str) -> None:
        """DefinitionError, which names worker, option and value, where AWS would refuse."""
        where = f"worker {worker}"
        if not 128 <= self.memory <= 10_240:
            raise DefinitionError(f"{where}: memory is {self.memory} MB: Lambda takes 128 to 10,240")
        if self.timeout is not None and not timedelta(seconds=1) <= self.timeout <= timedelta(minutes=15):
            raise DefinitionError(f"{where}: timeout is {self.timeout}: Lambda takes 1 second to 15 minutes")
        if self.visibility_timeout is not None and not (
            timedelta(seconds=1) <= self.visibility_timeout <= timedelta(hours=12)
        ):
            raise DefinitionError(
                f"{where}: visibility_timeout is {self.visibility_timeout}: SQS takes at most 12 hours"
            )
        if self.architecture not in ("x86_64", "arm64"):
            raise DefinitionError(f"{where}: architecture is {self.architecture!r}: give 'x86_64' or 'arm64'")
        if not 1 <= self.batch_size <= 10:
            raise DefinitionError(
                f"{where}: batch_size is {self.batch_size}: give 1 to 10 messages an invocation"
            )
        if self.maximum_concurrency is not None and not 2 <= self.maximum_concurrency <= 1_000:
            raise DefinitionError(
                f"{where}: maximum_concurrency is {self.maximum_concurrency}: SQS takes 2 to 1,000"
            )

        if self.reserved_concurrency is not None and not (
            isinstance(self.reserved_concurrency, int) and self.reserved_concurrency >= 0
        ):
            raise DefinitionError(
                f"{where}: reserved_concurrency is {self.reserved_concurrency!r}: give a number of invocations, 0 to stop the worker"
            )

    def check_none(self, worker: str) -> None:
        """DefinitionError where an option is given to a worker that has no function."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in ("starts", "policies") and value != getattr(_NO_OPTIONS, each.name):
                raise DefinitionError(
                    f"worker {worker}: {each.name} is {value!r}, but with process=True it has no Lambda function: leave it out"
                )


_NO_OPTIONS = WorkerOptions()


def _names_of(starts: object, settings: Settings, where: str) -> frozenset[str] | None:
    """The workflows' names in full; None for any. DefinitionError for what is not a list of workflows and names."""
    if starts is None:
        return None
    if isinstance(starts, str) or not isinstance(starts, Iterable):
        raise DefinitionError(f"{where}: starts is {starts!r}: give a list of workflows or of their names")
    names: set[str] = set()
    for each in starts:
        name = each if isinstance(each, str) else getattr(each, "name", None)
        if not isinstance(name, str):
            raise DefinitionError(
                f"{where}: starts has {each!r}, which is not a workflow: give workflows or their names"
            )
        names.add(settings.apply_namespace(name))
    return frozenset(names)


class Worker:
    """The workflows that one queue serves. Made by `hatchet.worker(...)`.

    slots: how many of its tasks run at once over its whole fleet; None: as many as there is room for.
    labels: as declared, with the settings' `worker_preset_labels` over them, and what its process changed. Placement goes by
    those declared. event_patterns: of the AWS events that come in as events of the stack. webhooks: whether its stack answers
    webhooks. zone: of other trust, with a table, a bucket and queues of its own. process: it is compiled to a queue without a
    function, for processes that `start()` runs.
    """

    def __init__(
        self,
        app: Headrace,
        name: str,
        *,
        slots: int | None = None,
        labels: Mapping[str, str | int] | None = None,
        lifespan: LifespanFn | None = None,
        options: WorkerOptions | None = None,
        process: bool = False,
        event_patterns: Sequence[Mapping[str, Any]] | None = None,
        webhooks: bool = False,
        zone: str = "",
    ) -> None:
        full = worker_name(app.settings.apply_namespace(name)) if isinstance(name, str) else ""
        if (
            not re.search("[A-Za-z0-9]", full)
            or len(full) > LONGEST_WORKER_NAME
            or full in RESERVED_NAMES
            or full.startswith(REPLY_PREFIX)
            or full.endswith(NEXT)
        ):
            raise DefinitionError(
                f"worker {name!r}: a worker's name is part of a queue's: give 1 to {LONGEST_WORKER_NAME} characters with letters or "
                f"digits among them, not {' or '.join(sorted(RESERVED_NAMES))}, and not one that begins with {REPLY_PREFIX} or "
                f"ends in {NEXT}"
            )
        if slots is not None and (isinstance(slots, bool) or not isinstance(slots, int) or slots < 1):
            raise DefinitionError(f"worker {name}: slots is {slots!r}: give a number, at least 1")
        self.app = app
        self.name = name = full
        self.zone = check_zone(zone, f"worker {name}")
        self.slots = slots
        self.process = process
        self.labels = WorkerLabels(name, labels)
        self.labels.add(app.settings.worker_preset_labels, f"worker {name}: worker_preset_labels")
        if process:
            self.labels.changed = lambda: None  # its process announces them once it runs
        self.options = options or _NO_OPTIONS
        self.options.check_none(name) if process else self.options.check(name)
        self.may_start = _names_of(self.options.starts, app.settings, f"worker {name}")
        """The names of the workflows that its tasks may start; None: any."""
        self.webhooks = webhooks
        self.event_patterns = check_event_patterns(event_patterns, f"worker {name}")
        self.workflows: list[BaseWorkflow[Any, Any]] = []
        self.lifespan = Lifespan(lifespan)
        self.lifespan_fn = lifespan
        self.status = WorkerStatus.INITIALIZED

    @property
    def id(self) -> str:
        return self.name

    def register_workflow(self, workflow: BaseWorkflow[Any, Any]) -> None:
        """Have this worker run the workflow's tasks. TypeError where it is none."""
        from headrace.definitions.base import BaseWorkflow

        if not isinstance(workflow, BaseWorkflow):
            raise TypeError(
                f"worker {self.name}: {workflow!r} is not a workflow: pass the object that @hatchet.task or hatchet.workflow() returned"
            )
        try:
            self.app._take_in(workflow.app)
            self.app._registry.claim(workflow, self)
        except DefinitionError as error:
            raise DefinitionError(f"worker {self.name}, workflow {workflow.name}: {error}") from None

    def register_workflows(self, workflows: Sequence[BaseWorkflow[Any, Any]]) -> None:
        for workflow in workflows:
            self.register_workflow(workflow)

    # ---- labels

    def upsert_labels(self, labels: Mapping[str, str | int]) -> None:
        """Add or replace labels; a running process announces them at once, and what waits for them comes.

        NotSupportedError on a Lambda worker, which has no long-lived process.
        """
        self.labels.upsert(labels)

    async def aio_upsert_labels(self, labels: Mapping[str, str | int]) -> None:
        import asyncio

        await asyncio.to_thread(self.upsert_labels, labels)

    @property
    def candidate(self) -> Candidate:
        """This worker, as far as choosing one for a task goes."""
        return Candidate(
            name=self.name, labels=self.labels.declared, process=self.process, longest_ms=self.longest_ms
        )

    @property
    def longest_ms(self) -> int | None:
        """The longest execution timeout that its function has time for, in milliseconds; None: any."""
        if self.process:
            return None
        given = self.options.timeout
        return int(((given.total_seconds() if given is not None else LAMBDA_TIMEOUT_S) - RESERVE_S) * 1000)

    def declared(self) -> DeclaredWorker:
        """This worker, for clients that have not got its code. DefinitionError where a task can run nowhere."""
        from headrace.engine.catalog.workers import DeclaredWorker

        return DeclaredWorker(
            worker=self.name,
            namespace=self.app.settings.prefix,
            labels=self.labels.declared,
            process=self.process,
            longest_ms=self.longest_ms,
            workflows={
                workflow.name: {
                    task: encode_required(choice.waits_for)
                    for task, choice in self.app._registry.choices_for(workflow).items()
                    if choice.waits_for
                }
                for workflow in self.workflows
            },
        )

    @property
    def lifespan_value(self) -> Any:
        """What the lifespan yielded; it is started on first use."""
        return self.lifespan.start()

    def runnables(self) -> dict[tuple[str, str], Runnable]:
        """(workflow name, task name) -> code, for every task of this worker's workflows."""
        return {
            (workflow.name, task.name): self._runnable(task)
            for workflow in self.workflows
            for task in workflow.tasks
        }

    def _runnable(self, task: Task[Any, Any]) -> Runnable:
        if task.options.batch is None:
            return TaskRunnable(task, self)
        from headrace.runtime.batch_code import BatchRunnable

        return BatchRunnable(task, self, broadcast=task.options.batch.broadcast_output)

    def start(self, options: WorkerStartOptions | None = None) -> None:
        """Run as a process: poll the queue until SIGTERM or SIGINT, then drain. LoopAlreadyRunningError in a running loop."""
        import asyncio

        if options is not None and options.loop is not None:
            raise NotSupportedError(
                "worker.start runs async tasks on an event loop of its own: leave loop out"
            )

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise LoopAlreadyRunningError("worker.start() blocks: call it outside of a running event loop")
        from headrace.runtime.process import serve

        serve(self)

    def __repr__(self) -> str:
        return f"<Worker {self.name}: {', '.join(workflow.name for workflow in self.workflows)}>"
