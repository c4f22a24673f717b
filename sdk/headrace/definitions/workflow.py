"""Workflows: what can be triggered. A standalone task is a workflow of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from itertools import count
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from headrace.core.run.ids import workflow_id
from headrace.core.run.plan import GatePlan, RunPlan, TaskKind, plan_version
from headrace.core.waits.labels import encode_wishes
from headrace.definitions.task import (
    EXECUTION_TIMEOUT,
    SCHEDULE_TIMEOUT,
    Task,
    TaskDefaults,
    TaskOptions,
    check_name,
    input_type_of,
)
from headrace.errors import DefinitionError, NotSupportedError
from headrace.options.concurrency import Concurrency, gates_of
from headrace.options.crons import check_crons
from headrace.options.durations import Duration
from headrace.options.events import DefaultFilter, check_filters, check_on_events
from headrace.options.eviction import DEFAULT_DURABLE_TASK_EVICTION_POLICY, EvictionPolicy
from headrace.options.idempotency import Idempotency, check_idempotency, rule_of
from headrace.options.labels import DesiredLabels, StickyStrategy
from headrace.options.priority import Priority, check_priority
from headrace.options.rate_limits import RateLimit
from headrace.triggers.children import current, handed_down
from headrace.triggers.options import ScheduleTriggerWorkflowOptions
from headrace.triggers.refs import WorkflowRunRef
from headrace.triggers.triggered import Triggered
from headrace.values.codec import input_text, metadata_of

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from headrace.app import Headrace
    from headrace.clients.event_models import V1Filter
    from headrace.clients.models import CronWorkflows, WorkflowVersion
    from headrace.context.context import Context
    from headrace.context.durable import DurableContext
    from headrace.engine.catalog.workflows import Published
    from headrace.options.conditions import Conditions

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T")

PausedQueueBehavior = Literal["QUEUE", "DROP"]
"""What becomes of the runs that crons and schedules would start in a paused workflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowConfig:
    """What a workflow was declared with."""

    name: str
    description: str | None = None
    version: str | None = None
    sticky: StickyStrategy | None = None
    default_priority: int = Priority.LOW
    concurrency: Concurrency = None
    input_validator: Any = None
    task_defaults: TaskDefaults = dataclass_field(default_factory=TaskDefaults)
    default_additional_metadata: Mapping[str, Any] = dataclass_field(default_factory=dict)
    idempotency: Idempotency | None = None
    on_crons: Sequence[str] | None = None
    cron_input: Any = None
    on_events: Sequence[str] | None = None
    default_filters: Sequence[DefaultFilter] | None = None


class BaseWorkflow(Triggered[I, R]):
    """What workflows and standalone tasks share: a name, tasks, a plan, and being triggered."""

    def __init__(self, app: Headrace, config: WorkflowConfig) -> None:
        self.app = app
        self.name = check_name(app.settings.apply_namespace(config.name), f"workflow {config.name!r}")
        self.config = config
        self.tasks: list[Task[Any, Any]] = []
        self.default_additional_metadata: Mapping[str, Any] = config.default_additional_metadata
        if config.sticky is not None and config.sticky not in tuple(StickyStrategy):
            raise DefinitionError(
                f"workflow {self.name}: sticky is {config.sticky!r}: give StickyStrategy.SOFT or StickyStrategy.HARD"
            )
        check_priority(config.default_priority, f"workflow {self.name}: default_priority")
        check_idempotency(config.idempotency, f"workflow {self.name}")
        self.crons = check_crons(config.on_crons, config.cron_input, f"workflow {self.name}")
        where = f"workflow {self.name}"
        self.on_events = tuple(
            app.settings.apply_namespace(each) for each in check_on_events(config.on_events, where)
        )
        """The keys of the events that start it, with the namespace."""
        self.default_filters = check_filters(config.default_filters, where)
        self.gates: tuple[GatePlan, ...] = gates_of(config.concurrency, self.name, f"workflow {self.name}")
        """The concurrency limits that a run holds as a whole, until all of its tasks are done."""

    # ---- introspection

    @property
    def id(self) -> str:
        """A UUID that follows from the name."""
        return workflow_id(self.name)

    @property
    def service_name(self) -> str:
        return self.name.lower()

    @property
    def client(self) -> Headrace:
        return self.app

    @property
    def input_validator(self) -> Any:
        """pydantic's adapter for the input type."""
        return self.tasks[0].input_codec.adapter if self.tasks else None

    @property
    def input_validator_type(self) -> Any:
        from headrace.values.empty import EmptyModel

        return self.config.input_validator or EmptyModel

    @property
    def is_standalone(self) -> bool:
        return False

    def plan(self) -> RunPlan:
        """The plan that a run of this workflow carries: tasks in an order in which parents come first."""
        return self.published().plan

    def published(self) -> Published:
        """What is published of this workflow: all that starting a run of it needs."""
        return self.app.published_of(self)

    def publishable(self) -> Published:
        """`published`, with the schema of its input: what is stored in the catalog. Imports pydantic where the input is a model."""
        return replace(self.published(), input_schema=self.input_schema())

    def input_schema(self) -> str | None:
        """The JSON schema of its input as JSON text; None where the input has no fields."""
        from headrace.values.codec import PLAIN, Codec
        from headrace.values.schema import schema_text

        codec = self.tasks[0].input_codec if self.tasks else Codec(self.input_validator_type)
        return None if codec.type in PLAIN else schema_text(codec)

    def build_published(self) -> Published:
        from headrace.engine.catalog.workflows import Published

        plan = self.build_plan(self.app.worker_for)
        return Published(
            plan=plan,
            namespace=self.app.settings.prefix,
            description=self.config.description or "",
            default_priority=int(self.config.default_priority),
            default_metadata=metadata_of(self.config.default_additional_metadata),
            idempotency=rule_of(self.config.idempotency),
            crons=tuple(str(cron) for cron in self.crons),
            cron_input=input_text(self.config.cron_input),
            on_events=self.on_events,
            filters=self.default_filters,
            waits={
                task: encode_wishes(choice.waits_for)
                for task, choice in self.app.choices_for(self).items()
                if choice.waits_for
            },
        )

    def build_plan(self, worker_of: Callable[[BaseWorkflow[Any, Any], Task[Any, Any]], str]) -> RunPlan:
        """The plan, with each task on the worker that `worker_of` says."""
        if not self.tasks:
            raise DefinitionError(
                f"workflow {self.name} has no task: add one with @{self.config.name}.task()"
            )
        numbers = count()
        tasks = tuple(task.plan(worker_of(self, task), numbers) for task in self.tasks)
        bare = RunPlan(
            workflow=self.name,
            tasks=tasks,
            gates=self.gates,
            standalone=self.is_standalone,
            sticky=str(self.config.sticky or ""),
        )
        version = self.config.version or plan_version(bare)
        return RunPlan(
            workflow=self.name,
            tasks=tasks,
            version=version,
            gates=self.gates,
            standalone=self.is_standalone,
            sticky=bare.sticky,
        )

    # ---- pausing

    def pause(
        self,
        queue_ttl: timedelta,
        paused_workflow_cron_run_queue_behavior: PausedQueueBehavior = "QUEUE",
        paused_workflow_scheduled_run_queue_behavior: PausedQueueBehavior = "QUEUE",
    ) -> None:
        """Keep new runs QUEUED until `unpause`; each is cancelled after `queue_ttl`. "DROP": crons, schedules start none."""
        self.app.workflows.pause(
            self.id,
            queue_ttl=queue_ttl,
            paused_workflow_cron_run_queue_behavior=paused_workflow_cron_run_queue_behavior,
            paused_workflow_scheduled_run_queue_behavior=paused_workflow_scheduled_run_queue_behavior,
        )

    async def aio_pause(
        self,
        queue_ttl: timedelta,
        paused_workflow_cron_run_queue_behavior: PausedQueueBehavior = "QUEUE",
        paused_workflow_scheduled_run_queue_behavior: PausedQueueBehavior = "QUEUE",
    ) -> None:
        import asyncio

        await asyncio.to_thread(
            self.pause,
            queue_ttl,
            paused_workflow_cron_run_queue_behavior,
            paused_workflow_scheduled_run_queue_behavior,
        )

    def unpause(self) -> None:
        """Let runs start again, those that were kept too."""
        self.app.workflows.unpause(self.id)

    async def aio_unpause(self) -> None:
        import asyncio

        await asyncio.to_thread(self.unpause)

    # ---- at a time

    def schedule(
        self,
        run_at: datetime,
        input: I | None = None,
        options: ScheduleTriggerWorkflowOptions | None = None,
        child_key: str | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: Priority | int | None = None,
    ) -> WorkflowVersion:
        """Start one run at `run_at` (naive: UTC, with a warning), by the definition that is deployed then. What was scheduled is in
        `scheduled_workflows` of what is returned. Inside a task the run is no child, but its metadata names the task's run."""
        given = options or ScheduleTriggerWorkflowOptions()
        spawner = current.get()
        text = input_text(input)
        metadata = {
            **self.default_additional_metadata,
            **(handed_down(spawner) if spawner is not None else {}),
            **given.additional_metadata,
            **(additional_metadata or {}),
        }
        return self.app.scheduled.schedule(
            self.app.settings.apply_namespace(self.name, given.namespace),
            run_at,
            json.loads(text) if text is not None else {},
            metadata,
            priority if priority is not None else given.priority,
        )

    async def aio_schedule(
        self,
        run_at: datetime,
        input: I | None = None,
        options: ScheduleTriggerWorkflowOptions | None = None,
        child_key: str | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: Priority | int | None = None,
    ) -> WorkflowVersion:
        import asyncio

        return await asyncio.to_thread(
            self.schedule, run_at, input, options, child_key, additional_metadata, priority
        )

    def create_cron(
        self,
        cron_name: str,
        expression: str,
        input: I | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: Priority | int | None = None,
        timezone: str | None = None,
    ) -> CronWorkflows:
        """Start a run whenever the expression is due: see `hatchet.cron.create`."""
        text = input_text(input)
        return self.app.cron.create(
            self.name,
            cron_name,
            expression,
            json.loads(text) if text is not None else {},
            {**self.default_additional_metadata, **(additional_metadata or {})},
            priority,
            timezone,
        )

    async def aio_create_cron(
        self,
        cron_name: str,
        expression: str,
        input: I | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: Priority | int | None = None,
        timezone: str | None = None,
    ) -> CronWorkflows:
        import asyncio

        return await asyncio.to_thread(
            self.create_cron, cron_name, expression, input, additional_metadata, priority, timezone
        )

    # ---- not yet

    def create_filter(
        self, expression: str, scope: str, payload: Mapping[str, Any] | None = None
    ) -> V1Filter:
        """Let events of `scope` for which the CEL `expression` is true start this workflow: see `hatchet.filters.create`."""
        return self.app.filters.create(self.name, expression, scope, payload)

    async def aio_create_filter(
        self, expression: str, scope: str, payload: Mapping[str, Any] | None = None
    ) -> V1Filter:
        import asyncio

        return await asyncio.to_thread(self.create_filter, expression, scope, payload)

    def mcp_tool(self, *arguments: Any, **options: Any) -> Any:
        raise NotSupportedError("mcp_tool is not available in this version of Headrace")

    def list_runs(self, limit: int | None = 100, **options: Any) -> Any:
        """This workflow's runs, newest first."""
        return self.app.runs.list(workflow_ids=[self.id], limit=limit, **options).rows

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Workflow(BaseWorkflow[I, dict[str, Any]]):
    """A DAG of tasks. A run's result is `{task name: output}`."""

    def __init__(self, app: Headrace, config: WorkflowConfig) -> None:
        super().__init__(app, config)
        app.register(self)

    def _parse(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return dict(outputs)

    def _ref(self, run_id: str) -> WorkflowRunRef:
        return WorkflowRunRef(self.app, run_id)

    # ---- tasks

    def task(
        self,
        name: str | None = None,
        schedule_timeout: Duration = SCHEDULE_TIMEOUT,
        execution_timeout: Duration = EXECUTION_TIMEOUT,
        parents: Sequence[Task[Any, Any]] | None = None,
        retries: int = 0,
        rate_limits: Sequence[RateLimit] | None = None,
        desired_worker_labels: DesiredLabels = None,
        backoff_factor: float | None = None,
        backoff_max_seconds: int | None = None,
        concurrency: Concurrency = None,
        wait_for: Conditions = None,
        skip_if: Conditions = None,
        cancel_if: Conditions = None,
        slot_cost: int | None = None,
        isolated: bool = False,
        retry_jitter: float | None = None,
    ) -> TaskDecorator[I]:
        """Add a task. It runs once all `parents` are done; any that FAILED or was CANCELLED cancels it, all SKIPPED skip it.

        `isolated`: give it an invocation of its own in place of going on in its parent's.
        """
        options = TaskOptions(
            schedule_timeout=schedule_timeout,
            execution_timeout=execution_timeout,
            retries=retries,
            rate_limits=rate_limits,
            desired_worker_labels=desired_worker_labels,
            backoff_factor=backoff_factor,
            backoff_max_seconds=backoff_max_seconds,
            retry_jitter=retry_jitter,
            concurrency=concurrency,
            wait_for=wait_for,
            skip_if=skip_if,
            cancel_if=cancel_if,
            slot_cost=slot_cost,
            isolated=isolated,
        )
        return TaskDecorator(self, name, options, tuple(parents or ()))

    def on_failure_task(
        self,
        name: str | None = None,
        schedule_timeout: Duration = SCHEDULE_TIMEOUT,
        execution_timeout: Duration = EXECUTION_TIMEOUT,
        retries: int = 0,
        rate_limits: Sequence[RateLimit] | None = None,
        backoff_factor: float | None = None,
        backoff_max_seconds: int | None = None,
        concurrency: Concurrency = None,
        retry_jitter: float | None = None,
    ) -> TaskDecorator[I]:
        """A task that runs once, after all others are settled, if any of them FAILED. The run stays FAILED."""
        options = TaskOptions(
            schedule_timeout=schedule_timeout,
            execution_timeout=execution_timeout,
            retries=retries,
            rate_limits=rate_limits,
            backoff_factor=backoff_factor,
            backoff_max_seconds=backoff_max_seconds,
            retry_jitter=retry_jitter,
            concurrency=concurrency,
        )
        return TaskDecorator(self, name, options, (), kind=TaskKind.ON_FAILURE, suffix="-on-failure")

    def on_success_task(
        self,
        name: str | None = None,
        schedule_timeout: Duration = SCHEDULE_TIMEOUT,
        execution_timeout: Duration = EXECUTION_TIMEOUT,
        retries: int = 0,
        rate_limits: Sequence[RateLimit] | None = None,
        backoff_factor: float | None = None,
        backoff_max_seconds: int | None = None,
        concurrency: Concurrency = None,
        retry_jitter: float | None = None,
    ) -> TaskDecorator[I]:
        """A task whose parents are all tasks that nobody else depends on: define it last."""
        options = TaskOptions(
            schedule_timeout=schedule_timeout,
            execution_timeout=execution_timeout,
            retries=retries,
            rate_limits=rate_limits,
            backoff_factor=backoff_factor,
            backoff_max_seconds=backoff_max_seconds,
            retry_jitter=retry_jitter,
            concurrency=concurrency,
        )
        return TaskDecorator(self, name, options, self._leaves(), suffix="-on-success")

    def _leaves(self) -> tuple[Task[Any, Any], ...]:
        normal = [task for task in self.tasks if task.kind is TaskKind.NORMAL]
        inner = {parent.name for task in normal for parent in task.parents}
        return tuple(task for task in normal if task.name not in inner)

    def add_task(self, task: Standalone[Any, Any]) -> None:
        """Copy a standalone task into this workflow, as a task without parents."""
        if not isinstance(task, Standalone):
            raise TypeError(
                f"workflow {self.name}: {task!r} is no standalone task: give what @hatchet.task made"
            )
        source = task.task
        self.add(
            Task(
                source.fn,
                name=source.name,
                workflow=self.name,
                input_type=source.input_codec.type,
                options=source.options,
                namespace=self.app.settings.prefix,
            )
        )

    def durable_task(
        self,
        *arguments: Any,
        eviction_policy: EvictionPolicy | None = DEFAULT_DURABLE_TASK_EVICTION_POLICY,
        **options: Any,
    ) -> DurableTaskDecorator[I]:
        """As `task`, for an async function with a DurableContext: while it sleeps, or waits for events or children, it holds no invocation."""
        return DurableTaskDecorator(self.task(*arguments, **options), eviction_policy)

    def batch_task(self, *arguments: Any, **options: Any) -> Any:
        raise NotSupportedError("batch tasks are not available in this version of Headrace")

    def add(self, task: Task[Any, Any]) -> None:
        """Take a task in; DefinitionError where its name is taken or a parent is not of this workflow."""
        if any(each.name == task.name for each in self.tasks):
            raise DefinitionError(
                f"workflow {self.name} has two tasks named {task.name!r}: give one of them name=..."
            )
        if task.kind is TaskKind.ON_FAILURE and any(each.kind is TaskKind.ON_FAILURE for each in self.tasks):
            raise DefinitionError("Only one on-failure task is allowed")
        for parent in task.parents:
            if parent not in self.tasks:
                raise DefinitionError(
                    f"{task.where}: its parent {getattr(parent, 'name', parent)!r} is not a task of workflow {self.name}: "
                    "parents are tasks of the same workflow, defined before"
                )
        task.plan("check", count())
        self.tasks.append(task)
        self.app.definitions_changed()


class TaskDecorator(Generic[I]):
    """Makes a task of a function and adds it to its workflow."""

    def __init__(
        self,
        workflow: Workflow[I],
        name: str | None,
        options: TaskOptions,
        parents: tuple[Task[Any, Any], ...],
        *,
        kind: TaskKind = TaskKind.NORMAL,
        suffix: str = "",
    ) -> None:
        self._workflow = workflow
        self._name = name
        self._options = options.with_defaults(workflow.config.task_defaults)
        self._parents = parents
        self._kind = kind
        self._suffix = suffix
        self.durable = False

    def be_durable(self, eviction_policy: EvictionPolicy | None) -> None:
        """The task is durable, and gives up its invocation as the policy says."""
        self.durable = True
        self._options = replace(self._options, eviction_policy=eviction_policy)

    @overload
    def __call__(self, fn: Callable[Concatenate[I, Context, P], Coroutine[Any, Any, R]]) -> Task[I, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[I, Context, P], R]) -> Task[I, R]: ...
    def __call__(self, fn: Callable[..., Any]) -> Task[Any, Any]:
        task: Task[Any, Any] = Task(
            fn,
            name=(self._name if self._name is not None else fn.__name__) + self._suffix,
            workflow=self._workflow.name,
            input_type=input_type_of(fn, self._workflow.config.input_validator),
            options=self._options,
            parents=self._parents,
            kind=self._kind,
            durable=self.durable,
            namespace=self._workflow.app.settings.prefix,
        )
        self._workflow.add(task)
        return task


class DurableTaskDecorator(Generic[I]):
    """Makes a durable task of an async function with a DurableContext and adds it to its workflow."""

    def __init__(self, made: TaskDecorator[I], eviction_policy: EvictionPolicy | None) -> None:
        self._made = made
        made.be_durable(eviction_policy)

    def __call__(self, fn: Callable[Concatenate[I, DurableContext, P], Coroutine[Any, Any, R]]) -> Task[I, R]:
        make: Any = self._made
        made: Task[I, R] = make(fn)
        return made


class Standalone(BaseWorkflow[I, R]):
    """A task that is a workflow of its own. A run's result is what the task returns."""

    def __init__(
        self,
        app: Headrace,
        config: WorkflowConfig,
        fn: Callable[..., Any],
        options: TaskOptions,
        *,
        durable: bool = False,
    ) -> None:
        super().__init__(app, config)
        self.task: Task[I, R] = Task(
            fn,
            name=check_name(config.name, f"task {config.name!r}"),
            workflow=self.name,
            input_type=input_type_of(fn, config.input_validator),
            options=options,
            durable=durable,
            namespace=app.settings.prefix,
        )
        self.tasks = [self.task]
        app.register(self)  # last: a task that is refused leaves no name behind
        self.fn = fn
        self.mock_run = self.task.mock_run
        self.aio_mock_run = self.task.aio_mock_run

    @property
    def is_standalone(self) -> bool:
        return True

    @property
    def is_async_function(self) -> bool:
        return self.task.is_async_function

    @property
    def output_validator(self) -> Any:
        """pydantic's adapter for the output type."""
        return self.task.output_codec.adapter

    @property
    def output_validator_type(self) -> Any:
        return self.task.output_codec.type

    def _parse(self, outputs: Mapping[str, Any]) -> R:
        return self.task.parse_output(outputs.get(self.task.name))
