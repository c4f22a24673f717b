"""The Headrace app: where tasks and workflows are declared, and from where they are run."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, TypeVar, overload

from headrace.context.lifespan import LifespanFn
from headrace.core.waits.points import WORKER_GATE
from headrace.definitions.decorators import AnyTaskDecorator, DurableTaskDecorator, TypedTaskDecorator
from headrace.definitions.task import EXECUTION_TIMEOUT, SCHEDULE_TIMEOUT, Task, TaskDefaults, options_of
from headrace.definitions.worker import VpcOptions, Worker, WorkerOptions
from headrace.definitions.workflow import BaseWorkflow, Workflow, WorkflowConfig
from headrace.engine.engine import Engine, Limits
from headrace.errors import DefinitionError, NotSupportedError
from headrace.options.concurrency import Concurrency
from headrace.options.durations import Duration, to_ms
from headrace.options.events import DefaultFilter
from headrace.options.eviction import DEFAULT_DURABLE_TASK_EVICTION_POLICY, EvictionPolicy
from headrace.options.idempotency import Idempotency
from headrace.options.labels import Candidate, Choice, DesiredLabels, Seeker, StickyStrategy, assign
from headrace.options.priority import Priority
from headrace.options.rate_limits import RateLimit
from headrace.settings.environment import from_environment
from headrace.settings.settings import Settings
from headrace.triggers.children import current
from headrace.values.expressions import LazyExpressions

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.clients.crons import CronClient
    from headrace.clients.events import EventClient
    from headrace.clients.filters import FiltersClient
    from headrace.clients.gates import GatesClient
    from headrace.clients.logs import LogsClient
    from headrace.clients.metrics import MetricsClient
    from headrace.clients.rate_limits import RateLimitsClient
    from headrace.clients.runs.client import RunsClient
    from headrace.clients.scheduled import ScheduledClient
    from headrace.clients.stubs import StubsClient
    from headrace.clients.webhooks import WebhooksClient
    from headrace.clients.workers import WorkersClient
    from headrace.clients.workflows import WorkflowsClient
    from headrace.context.context import Context
    from headrace.engine.catalog.workflows import Published
    from headrace.ports import Ports
    from headrace.values.empty import EmptyModel

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")
P = ParamSpec("P")

ENGINE_VERSION = "v0.88.1"
"""The version of Hatchet's engine whose behaviour is matched."""

BACKEND = "headrace.aws.wiring"


class Headrace:
    """An app: tasks, workflows, workers, and the clients to run and watch them.

    Made at import time by every module that defines tasks: it does no I/O and needs no token. AWS is reached when the first run
    is started or read, by the settings (HEADRACE_… in the environment) and boto3's own configuration.
    """

    def __init__(self, debug: bool | None = None, client: Any = None, config: Settings | None = None) -> None:
        self._config = config
        self.debug = bool(debug)
        self.workflows_by_name: dict[str, BaseWorkflow[Any, Any]] = {}
        self.workers_declared: list[Worker] = []
        self.declared_rate_limits: dict[str, tuple[int, int]] = {}
        """Static key of a rate limit -> its limit and its window in seconds: what the code says of it."""
        self.bulk_progress: Callable[[int], None] | None = None
        """Called with the number of runs started so far while a large `run_many` is sent."""
        self._published: dict[str, Published] = {}
        self._choices: dict[str, dict[str, Choice]] = {}
        self._default_worker: Worker | None = None
        self._gate_limits: dict[str, int] | None = None
        self._engine: Engine | None = None
        self._lock = threading.RLock()

    # ---- settings and engine

    @cached_property
    def settings(self) -> Settings:
        return self._config if self._config is not None else from_environment()

    @property
    def config(self) -> Settings:
        return self.settings

    @property
    def namespace(self) -> str:
        return self.settings.prefix

    @property
    def tenant_id(self) -> str:
        """The stack's name."""
        return self.settings.stack

    @property
    def logger(self) -> logging.Logger:
        return self.settings.logger or logging.getLogger("headrace")

    @property
    def engine(self) -> Engine:
        """The engine on this app's ports; connected to AWS when first asked for, unless `use` installed others."""
        with self._lock:
            if self._engine is None:
                ports: Ports = importlib.import_module(BACKEND).connect(self.settings)
                self._engine = self._engine_on(ports)
            return self._engine

    @property
    def is_connected(self) -> bool:
        """Whether the engine is there: something was run or read, or `use` installed ports."""
        return self._engine is not None

    def use(self, ports: Ports | None, *, limits: Limits | None = None) -> None:
        """Run on other ports (None: on AWS again): for tests and local runtimes."""
        with self._lock:
            self._engine = self._engine_on(ports, limits) if ports is not None else None

    def _engine_on(self, ports: Ports, limits: Limits | None = None) -> Engine:
        limits = limits or Limits(retention_s=self.settings.retention_days * 86_400)
        return Engine.on(
            ports,
            expressions=LazyExpressions(),
            limits=limits,
            gate_limits=lambda: self.gate_limits,
            own_plans=lambda: [workflow.plan() for workflow in self.workflows_by_name.values()],
        )

    # ---- what is declared

    def register(self, workflow: BaseWorkflow[Any, Any]) -> None:
        """Take a workflow in; DefinitionError where its name is taken."""
        if workflow.name in self.workflows_by_name:
            raise DefinitionError(f"two workflows are named {workflow.name!r}: give one of them name=...")
        self.workflows_by_name[workflow.name] = workflow
        self.definitions_changed()

    def definitions_changed(self) -> None:
        """Forget plans that were made before a task, workflow or worker was added."""
        with self._lock:
            self._published.clear()
            self._choices.clear()
            self._default_worker = None
            self._gate_limits = None

    @property
    def gate_limits(self) -> Mapping[str, int]:
        """How many places the gates have, by name: those of the workflows and tasks declared here, and the workers' slots.

        They count above what runs carry, so a deployment changes them for the runs that are under way. Of what is not declared
        here, a run's own plan says it. Made once after each change: every admission asks.
        """
        found = self._gate_limits
        if found is None:
            with self._lock:
                found = self._gate_limits = dict(self._all_gates())
        return found

    def _all_gates(self) -> Iterator[tuple[str, int]]:
        for workflow in self.workflows_by_name.values():
            for gate in (*workflow.gates, *(gate for task in workflow.tasks for gate in task.gates)):
                yield gate.name, gate.max_runs
        for worker in self.workers_declared:
            if worker.slots is not None:
                yield WORKER_GATE + worker.name, worker.slots

    def publish(self) -> None:
        """Store what is declared, where it has changed: workflows, workers, rate limits. For whoever has the whole app: the clock,
        and local runtimes. A few reads, and no write where nothing has changed."""
        from headrace.clients.rate_limits import register_limits
        from headrace.engine.catalog.workers import publish_workers
        from headrace.engine.catalog.workflows import publish_workflows
        from headrace.engine.clock.crons import declare_crons

        space = self.settings.prefix
        published = [workflow.publishable() for workflow in self.workflows_by_name.values()]
        publish_workflows(self.engine, published, whole_of=space)
        publish_workers(self.engine, [worker.declared() for worker in self.fleet()], whole_of=space)
        register_limits(self.engine, self.declared_rate_limits)
        declare_crons(self.engine, published, whole_of=space)

    def fleet(self) -> list[Worker]:
        """The declared workers; where none was declared, one named `default` with every workflow."""
        if self.workers_declared:
            return list(self.workers_declared)
        with self._lock:
            if self._default_worker is None:
                worker = Worker(self, "default")
                worker.workflows = list(self.workflows_by_name.values())
                self._default_worker = worker
            return [self._default_worker]

    def knows_workers(self, workflow: str) -> bool:
        """Whether this process knows which worker runs the workflow of that name."""
        known = self.workflows_by_name.get(workflow)
        return known is not None and any(known in worker.workflows for worker in self.workers_declared)

    def published_of(self, workflow: BaseWorkflow[Any, Any]) -> Published:
        """The workflow as it is published, made once after each change of the definitions."""
        with self._lock:
            found = self._published.get(workflow.name)
            if found is None:
                found = self._published[workflow.name] = workflow.build_published()
            return found

    def candidates(self, workflow: str) -> list[Candidate]:
        """The workers that register the workflow of that name, as far as this process knows."""
        known = self.workflows_by_name.get(workflow)
        return [worker.candidate for worker in self.fleet() if known in worker.workflows]

    def choices_for(self, workflow: BaseWorkflow[Any, Any]) -> Mapping[str, Choice]:
        """The worker of each task, by what is declared; made once after each change. DefinitionError where there is none."""
        with self._lock:
            found = self._choices.get(workflow.name)
            if found is None:
                found = self._choices[workflow.name] = self._choose(workflow)
            return found

    def _choose(self, workflow: BaseWorkflow[Any, Any]) -> dict[str, Choice]:
        candidates = self.candidates(workflow.name)
        if not candidates:
            return {task.name: Choice(self.settings.apply_namespace("default")) for task in workflow.tasks}
        seekers = [
            Seeker(
                workflow=workflow.name,
                name=task.name,
                wishes=task.wishes,
                execution_timeout_ms=to_ms(task.options.execution_timeout, task.where),
            )
            for task in workflow.tasks
        ]
        return assign(seekers, candidates, sticky=str(workflow.config.sticky or ""))

    def worker_for(self, workflow: BaseWorkflow[Any, Any], task: Task[Any, Any]) -> str:
        """The worker that a task is planned onto: whose labels suit it best, of those that registered its workflow."""
        return self.choices_for(workflow)[task.name].worker

    # ---- declaring

    @overload
    def task(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        input_validator: type[I],
        on_events: Sequence[str] | None = None,
        on_crons: Sequence[str] | None = None,
        cron_input: Any = None,
        version: str | None = None,
        sticky: StickyStrategy | None = None,
        default_priority: Priority | int = Priority.LOW,
        concurrency: Concurrency = None,
        schedule_timeout: Duration = SCHEDULE_TIMEOUT,
        execution_timeout: Duration = EXECUTION_TIMEOUT,
        retries: int = 0,
        rate_limits: Sequence[RateLimit] | None = None,
        desired_worker_labels: DesiredLabels = None,
        backoff_factor: float | None = None,
        backoff_max_seconds: int | None = None,
        retry_jitter: float | None = None,
        default_filters: Sequence[DefaultFilter] | None = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
        slot_cost: int | None = None,
        idempotency: Idempotency | None = None,
    ) -> TypedTaskDecorator[I]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        input_validator: None = None,
        on_events: Sequence[str] | None = None,
        on_crons: Sequence[str] | None = None,
        cron_input: Any = None,
        version: str | None = None,
        sticky: StickyStrategy | None = None,
        default_priority: Priority | int = Priority.LOW,
        concurrency: Concurrency = None,
        schedule_timeout: Duration = SCHEDULE_TIMEOUT,
        execution_timeout: Duration = EXECUTION_TIMEOUT,
        retries: int = 0,
        rate_limits: Sequence[RateLimit] | None = None,
        desired_worker_labels: DesiredLabels = None,
        backoff_factor: float | None = None,
        backoff_max_seconds: int | None = None,
        retry_jitter: float | None = None,
        default_filters: Sequence[DefaultFilter] | None = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
        slot_cost: int | None = None,
        idempotency: Idempotency | None = None,
    ) -> AnyTaskDecorator: ...
    def task(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        input_validator: Any = None,
        on_events: Sequence[str] | None = None,
        on_crons: Sequence[str] | None = None,
        cron_input: Any = None,
        version: str | None = None,
        sticky: StickyStrategy | None = None,
        default_priority: Priority | int = Priority.LOW,
        default_filters: Sequence[DefaultFilter] | None = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
        concurrency: Concurrency = None,
        idempotency: Idempotency | None = None,
        **options: Any,
    ) -> Any:
        """Declare a standalone task: `@hatchet.task(input_validator=In) def f(input: In, ctx: Context) -> Out`.

        Defaults: no retries, 60 s of execution_timeout, 5 minutes of schedule_timeout, priority LOW. A name defaults to the
        function's. Without `input_validator` the input's type is what the function's first parameter says.
        """
        return AnyTaskDecorator(
            self,
            name,
            {
                "description": description,
                "version": version,
                "sticky": sticky,
                "default_priority": default_priority,
                "input_validator": input_validator,
                "default_additional_metadata": dict(default_additional_metadata or {}),
                "idempotency": idempotency,
                "on_crons": on_crons,
                "cron_input": cron_input,
                "on_events": on_events,
                "default_filters": default_filters,
            },
            options_of(f"task {name or ''}".strip(), {"concurrency": concurrency, **options}),
        )

    @overload
    def workflow(
        self,
        *,
        name: str,
        description: str | None = None,
        input_validator: type[I],
        on_events: Sequence[str] | None = None,
        on_crons: Sequence[str] | None = None,
        cron_input: Any = None,
        version: str | None = None,
        sticky: StickyStrategy | None = None,
        default_priority: Priority | int = Priority.LOW,
        concurrency: Concurrency = None,
        task_defaults: TaskDefaults = ...,
        default_filters: Sequence[DefaultFilter] | None = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
        idempotency: Idempotency | None = None,
    ) -> Workflow[I]: ...
    @overload
    def workflow(
        self,
        *,
        name: str,
        description: str | None = None,
        input_validator: None = None,
        on_events: Sequence[str] | None = None,
        on_crons: Sequence[str] | None = None,
        cron_input: Any = None,
        version: str | None = None,
        sticky: StickyStrategy | None = None,
        default_priority: Priority | int = Priority.LOW,
        concurrency: Concurrency = None,
        task_defaults: TaskDefaults = ...,
        default_filters: Sequence[DefaultFilter] | None = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
        idempotency: Idempotency | None = None,
    ) -> Workflow[EmptyModel]: ...
    def workflow(
        self,
        *,
        name: str,
        description: str | None = None,
        input_validator: Any = None,
        on_events: Sequence[str] | None = None,
        on_crons: Sequence[str] | None = None,
        cron_input: Any = None,
        version: str | None = None,
        sticky: StickyStrategy | None = None,
        default_priority: Priority | int = Priority.LOW,
        concurrency: Concurrency = None,
        task_defaults: TaskDefaults | None = None,
        default_filters: Sequence[DefaultFilter] | None = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
        idempotency: Idempotency | None = None,
    ) -> Any:
        """Declare a workflow; add tasks with `@workflow.task(parents=[...])`."""
        config = WorkflowConfig(
            name=name,
            description=description,
            version=version,
            sticky=sticky,
            default_priority=default_priority,
            concurrency=concurrency,
            input_validator=input_validator,
            task_defaults=task_defaults or TaskDefaults(),
            default_additional_metadata=dict(default_additional_metadata or {}),
            idempotency=idempotency,
            on_crons=on_crons,
            cron_input=cron_input,
            on_events=on_events,
            default_filters=default_filters,
        )
        return Workflow(self, config)

    def durable_task(
        self,
        *,
        eviction_policy: EvictionPolicy | None = DEFAULT_DURABLE_TASK_EVICTION_POLICY,
        **options: Any,
    ) -> DurableTaskDecorator:
        """As `task`, for an async function with a DurableContext: while it sleeps, or waits for events or children, it holds no invocation.

        It starts again from its first line when it goes on, and what it has waited for is there at once: see DurableContext.
        """
        if "slot_cost" in options:
            raise DefinitionError("a durable task has no slot_cost")
        return DurableTaskDecorator(self.task(**options), eviction_policy)

    def batch_task(self, *arguments: Any, **options: Any) -> NoReturn:
        raise NotSupportedError("batch tasks are not available in this version of Headrace")

    def worker(
        self,
        name: str,
        slots: int | None = None,
        durable_slots: int | None = None,
        labels: Mapping[str, str | int] | None = None,
        workflows: Sequence[BaseWorkflow[Any, Any]] | None = None,
        lifespan: LifespanFn | None = None,
        *,
        memory: int = 512,
        timeout: timedelta | None = None,
        architecture: Literal["x86_64", "arm64"] = "x86_64",
        runtime: str | None = None,
        environment: Mapping[str, str] | None = None,
        policies: Sequence[Any] = (),
        vpc: VpcOptions | None = None,
        batch_size: int = 1,
        maximum_concurrency: int | None = None,
        snap_start: bool = False,
        process: bool = False,
        event_patterns: Sequence[Mapping[str, Any]] | None = None,
        webhooks: bool = False,
    ) -> Worker:
        """Declare a worker: one queue and one Lambda function that run these workflows. See WorkerOptions for the options.

        slots: at most so many of its tasks at once, each counted with its `slot_cost`, over all its invocations and processes: those
        that wait are admitted by priority. Default: as far as Lambda scales. A process also runs at most so many at once.
        `maximum_concurrency` is the cheaper cap, not exact and without an order. durable_slots: accepted and ignored: a durable
        task that waits for its children holds no slot.
        process: compile a queue and no function: processes that `worker.start()` runs take its tasks, which may run for longer than
        15 minutes. Their labels can change while they run.
        event_patterns: EventBridge patterns, such as {"source": ["aws.s3"], "detail-type": ["Object Created"]}: each is compiled to a
        rule, and what it lets in is an event of the stack with key "aws.s3:Object Created" and the detail as its payload.
        webhooks: compile a function at a public URL that takes the requests of `hatchet.webhooks` as events.
        """
        full = self.settings.apply_namespace(name) if isinstance(name, str) else name
        if any(worker.name == full for worker in self.workers_declared):
            raise DefinitionError(f"two workers are named {name!r}")
        options = WorkerOptions(
            memory=memory,
            timeout=timeout,
            architecture=architecture,
            runtime=runtime,
            environment=dict(environment or {}),
            policies=tuple(policies),
            vpc=vpc,
            batch_size=batch_size,
            maximum_concurrency=maximum_concurrency,
            snap_start=snap_start,
        )
        worker = Worker(
            self,
            name,
            slots=slots,
            labels=labels,
            lifespan=lifespan,
            options=options,
            process=process,
            event_patterns=event_patterns,
            webhooks=webhooks,
        )
        worker.register_workflows(workflows or ())
        self.workers_declared.append(worker)
        self.definitions_changed()
        return worker

    # ---- clients

    @cached_property
    def runs(self) -> RunsClient:
        """Runs: get, list, cancel, results, streams."""
        from headrace.clients.runs.client import RunsClient

        return RunsClient(self)

    @cached_property
    def logs(self) -> LogsClient:
        from headrace.clients.logs import LogsClient

        return LogsClient(self)

    @cached_property
    def stubs(self) -> StubsClient:
        """Workflows and tasks by name, without their code."""
        from headrace.clients.stubs import StubsClient

        return StubsClient(self)

    @cached_property
    def cron(self) -> CronClient:
        """Crons: create, list, get, delete."""
        from headrace.clients.crons import CronClient

        return CronClient(self)

    @cached_property
    def scheduled(self) -> ScheduledClient:
        """Runs that start once, at a time: create, list, get, update, delete."""
        from headrace.clients.scheduled import ScheduledClient

        return ScheduledClient(self)

    @cached_property
    def workflows(self) -> WorkflowsClient:
        from headrace.clients.workflows import WorkflowsClient

        return WorkflowsClient(self)

    @cached_property
    def metrics(self) -> MetricsClient:
        from headrace.clients.metrics import MetricsClient

        return MetricsClient(self)

    @cached_property
    def rate_limits(self) -> RateLimitsClient:
        """The limits of static rate limit keys: put, list."""
        from headrace.clients.rate_limits import RateLimitsClient

        return RateLimitsClient(self)

    @cached_property
    def gates(self) -> GatesClient:
        """Who is in, who waits, and what is left of rate limits: list, get, find."""
        from headrace.clients.gates import GatesClient

        return GatesClient(self)

    @cached_property
    def event(self) -> EventClient:
        """Events: push, list, get."""
        from headrace.clients.events import EventClient

        return EventClient(self)

    @cached_property
    def filters(self) -> FiltersClient:
        """Which events start which workflows: create, list, get, update, delete."""
        from headrace.clients.filters import FiltersClient

        return FiltersClient(self)

    @cached_property
    def webhooks(self) -> WebhooksClient:
        """Requests of other services that become events: create, list, get, update, delete."""
        from headrace.clients.webhooks import WebhooksClient

        return WebhooksClient(self)

    @cached_property
    def workers(self) -> WorkersClient:
        from headrace.clients.workers import WorkersClient

        return WorkersClient(self)

    @property
    def current_context(self) -> Context | None:
        """The context of the task that runs here; None outside of tasks."""
        spawner = current.get()
        return spawner.context if spawner is not None else None

    def get_current_context(self) -> Context | None:
        """Deprecated: use `current_context`."""
        return self.current_context

    async def aio_get_engine_version(self) -> str | None:
        """The version of Hatchet's engine whose behaviour is matched."""
        return ENGINE_VERSION

    if not TYPE_CHECKING:  # a type checker refuses a misspelt name

        def __getattr__(self, name: str) -> Any:
            if name in ("cel", "dispatcher", "listener"):
                raise NotSupportedError(f"hatchet.{name} is not available in this version of Headrace")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


Hatchet = Headrace
