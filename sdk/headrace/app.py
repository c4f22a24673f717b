"""The Headrace app: where tasks and workflows are declared, and from where they are run."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from headrace.clients.surface import Clients
from headrace.context.lifespan import LifespanFn
from headrace.context.middleware import Middleware
from headrace.definitions.arguments import (
    DagArguments,
    DurableArguments,
    StandaloneArguments,
    StandaloneBatchArguments,
    TaskArguments,
    WorkflowArguments,
    checked,
    names_of,
    with_batch,
)
from headrace.definitions.base import BaseWorkflow, WorkflowConfig
from headrace.definitions.decorators import (
    AnyTaskDecorator,
    BatchStandaloneDecorator,
    BroadcastStandaloneDecorator,
    DurableStandaloneDecorator,
    TypedTaskDecorator,
)
from headrace.definitions.registry import Registry
from headrace.definitions.task_options import TaskOptions
from headrace.definitions.worker import VpcOptions, Worker, WorkerOptions
from headrace.definitions.workflow import Workflow
from headrace.engine.engine import Engine, Limits
from headrace.errors import DefinitionError, NotSupportedError
from headrace.options.eviction import DEFAULT_DURABLE_TASK_EVICTION_POLICY, EvictionPolicy
from headrace.options.labels import Candidate
from headrace.settings.environment import from_environment
from headrace.settings.settings import Settings
from headrace.settings.version import VERSION
from headrace.triggers.children import current
from headrace.values.expressions import LazyExpressions

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Unpack

    from headrace.context.context import Context
    from headrace.ports import Ports
    from headrace.values.empty import EmptyModel
    from headrace.values.sealing import PayloadCodec

I = TypeVar("I")  # noqa: E741  # the input

ENGINE_VERSION = "v0.88.1"
"""The version of Hatchet's engine whose behaviour is matched."""

BACKEND = "headrace.aws.wiring"


class _Connection:
    """The engine of an app, and of those that share its registry."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.lock = threading.RLock()


class Headrace(Clients):
    """An app: tasks, workflows, workers, and the clients to run and watch them.

    Made at import time by every module that defines tasks: it does no I/O and needs no token. AWS is reached when the first run
    is started or read, by the settings (HEADRACE_… in the environment) and boto3's own configuration.

    Apps of one stack and namespace whose workflows are registered on one worker become one: a project may make one in each module.
    `debug` logs at DEBUG what Headrace logs (deprecated, as in Hatchet: `ClientConfig(debug=True)`); `client` is refused.
    `codec` seals inputs, outputs, errors, logs, events and streams before they leave the process: see `headrace.crypto.AesGcmCodec`.
    """

    def __init__(
        self,
        debug: bool | None = None,
        client: Any = None,
        config: Settings | None = None,
        codec: PayloadCodec | None = None,
    ) -> None:
        if client is not None:
            raise NotSupportedError("Headrace has no client object to be given: leave client out")
        self._config = config
        self._codec = codec
        self._settings: Settings | None = None
        self._debug = debug
        self._registry = Registry(self)
        self._connection = _Connection()
        self.middleware = Middleware()
        """Code around every task of this app: see Middleware."""
        self._bulk_progress: Callable[[int], None] | None = None
        """Called with the number of runs started so far while a large `run_many` is sent."""

    @property
    def _app(self) -> Headrace:
        return self

    # ---- settings and engine

    @property
    def settings(self) -> Settings:
        """Where the stack is, and how this process talks to it: as given, else read from the environment once."""
        if self._settings is None:
            self._settings = self._config if self._config is not None else from_environment()
            if self._debug or self._settings.debug:
                logging.getLogger("headrace").setLevel(logging.DEBUG)
        return self._settings

    @property
    def codec(self) -> PayloadCodec | None:
        """What seals the payloads; None: they are stored in the clear."""
        return self._codec

    @property
    def config(self) -> Settings:
        return self.settings

    @property
    def debug(self) -> bool:
        return bool(self._debug) or self.settings.debug

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
        with self._connection.lock:
            if self._connection.engine is None:
                ports: Ports = importlib.import_module(BACKEND).connect(self.settings)
                self._connection.engine = self._engine_on(ports)
            return self._connection.engine

    @property
    def _is_connected(self) -> bool:
        """Whether the engine is there: something was run or read, or `use` installed ports."""
        return self._connection.engine is not None

    def use(self, ports: Ports | None, *, limits: Limits | None = None) -> None:
        """Run on other ports (None: on AWS again): for tests and local runtimes."""
        with self._connection.lock:
            self._connection.engine = self._engine_on(ports, limits) if ports is not None else None

    def _engine_on(self, ports: Ports, limits: Limits | None = None) -> Engine:
        limits = limits or Limits(
            retention_s=self.settings.retention_days * 86_400, max_crashes=self.settings.max_crashes
        )
        opened: dict[str, Any] = {}
        if self._codec is not None:
            from headrace.values.sealed import SealedQueues, sealed_limits, sealed_ports

            ports, limits = sealed_ports(ports, self._codec), sealed_limits(limits)
            if isinstance(ports.queues, SealedQueues):
                opened["opened"] = ports.queues.opened
        return Engine.on(
            ports,
            expressions=LazyExpressions(),
            limits=limits,
            gate_limits=lambda: self._registry.gate_limits,
            next_queues=lambda: self._registry.next_queues,
            own_plans=lambda: [workflow.plan() for workflow in self._registry.served()],
            **opened,
        )

    # ---- what is declared: for the library's other parts

    @property
    def _workflows_by_name(self) -> Mapping[str, BaseWorkflow[Any, Any]]:
        return self._registry.workflows

    @property
    def _workers_declared(self) -> Sequence[Worker]:
        return self._registry.workers

    @property
    def _declared_rate_limits(self) -> dict[str, tuple[int, int]]:
        return self._registry.rate_limits

    def _fleet(self) -> list[Worker]:
        return self._registry.fleet()

    def _served(self) -> list[BaseWorkflow[Any, Any]]:
        return self._registry.served()

    def _knows_workers(self, workflow: str) -> bool:
        return self._registry.knows_workers(workflow)

    def _candidates(self, workflow: str) -> list[Candidate]:
        return self._registry.candidates(workflow)

    def _may_start(self, worker: str) -> frozenset[str] | None:
        return self._registry.may_start(worker)

    def _zone_of(self, workflow: str) -> str | None:
        return self._registry.zone_of(workflow)

    def _check_here(self, workflow: str, what: str) -> None:
        """ZoneError where the workflow is known to be in another zone than the code that asks."""
        if self._registry.has_zones and self._registry.zone_of(workflow) is not None:
            from headrace.triggers.definition import found_here

            found_here(self, workflow, what)

    def _take_in(self, other: Headrace) -> None:
        """Become one with another app: a workflow of its is registered on a worker of this one's. DefinitionError where the two
        are not of one stack and namespace."""
        if other._registry is self._registry:
            return
        for name in ("stack", "namespace", "table"):
            ours, theirs = getattr(self.settings, name), getattr(other.settings, name)
            if ours != theirs:
                raise DefinitionError(
                    f"a worker of {name} {ours!r} cannot run workflows of {name} {theirs!r}: give both apps the same settings"
                )
        if self._codec is not other._codec:
            raise DefinitionError(
                "a worker cannot run workflows of an app with another payload codec: give both apps the same object as codec="
            )
        if not self._is_connected:
            self._connection.engine = other._connection.engine
        self._registry.merge(other._registry)
        for app in self._registry.apps:
            app._registry, app._connection = self._registry, self._connection

    def _publish(self, *, every_zone: bool = False) -> None:
        """Store what is declared, where it has changed: workflows, workers, rate limits. For code that has the whole app: the clock,
        and local runtimes. A few reads, and no write where nothing has changed.

        Of other zones' workflows it is stored where they are and how they start, and not what starts them: that is theirs.
        `every_zone`: this stack has all zones in one table.
        """
        from headrace.clients.admission.rate_limits import register_limits
        from headrace.engine.catalog.deployed import publish_version
        from headrace.engine.catalog.workers import publish_workers
        from headrace.engine.catalog.workflows import elsewhere, publish_workflows
        from headrace.engine.clock.crons import declare_crons
        from headrace.engine.clock.tick import begin

        space = self.settings.prefix
        zone = None if every_zone else self.settings.zone
        published = [
            each if zone in (None, each.zone) else elsewhere(each)
            for each in (workflow.publishable() for workflow in self._served())
        ]
        publish_workflows(self.engine, published, whole_of=space)
        workers = [worker.declared() for worker in self._fleet() if zone in (None, worker.zone)]
        publish_workers(self.engine, workers, whole_of=space)
        register_limits(self.engine, self._declared_rate_limits)
        begin(self.engine)
        declare_crons(self.engine, published, whole_of=space)
        publish_version(self.engine, VERSION)

    # ---- declaring

    @overload
    def task(
        self, *, name: str | None = None, input_validator: type[I], **options: Unpack[StandaloneArguments]
    ) -> TypedTaskDecorator[I]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        input_validator: None = None,
        **options: Unpack[StandaloneArguments],
    ) -> AnyTaskDecorator: ...
    def task(self, *, name: str | None = None, input_validator: Any = None, **options: Any) -> Any:
        """Declare a standalone task: `@hatchet.task(input_validator=In) def f(input: In, ctx: Context) -> Out`.

        Defaults: no retries, 60 s of execution_timeout, 5 minutes of schedule_timeout, priority LOW; see TaskArguments and
        WorkflowArguments for the options. A name defaults to the function's. Without `input_validator` the input's type is what the
        function's first parameter says.
        """
        return self._standalone(name, input_validator, options, _STANDALONE)

    def _standalone(
        self, name: str | None, input_validator: Any, options: Mapping[str, Any], known: Sequence[str]
    ) -> AnyTaskDecorator:
        checked(f"task {name or ''}".strip(), options, known)
        config = {key: value for key, value in options.items() if key in _WORKFLOW}
        config["default_additional_metadata"] = dict(config.get("default_additional_metadata") or {})
        own = {key: value for key, value in options.items() if key not in _WORKFLOW}
        return AnyTaskDecorator(
            self, name, {**config, "input_validator": input_validator}, TaskOptions(**own)
        )

    def durable_task(
        self,
        *,
        name: str | None = None,
        input_validator: Any = None,
        eviction_policy: EvictionPolicy | None = DEFAULT_DURABLE_TASK_EVICTION_POLICY,
        **options: Unpack[DurableArguments],
    ) -> DurableStandaloneDecorator:
        """As `task`, for an async function with a DurableContext: while it sleeps, or waits for events or children, it holds no invocation.

        It starts again from its first line when it goes on, and what it has waited for is there at once: see DurableContext.
        """
        if "slot_cost" in options:
            raise DefinitionError("a durable task has no slot_cost")
        return DurableStandaloneDecorator(
            self._standalone(name, input_validator, options, _DURABLE), eviction_policy
        )

    @overload
    def batch_task(
        self,
        *,
        name: str | None = None,
        input_validator: type[I] | None = None,
        broadcast_output: Literal[False] = False,
        **options: Unpack[StandaloneBatchArguments],
    ) -> BatchStandaloneDecorator[I]: ...
    @overload
    def batch_task(
        self,
        *,
        name: str | None = None,
        input_validator: type[I] | None = None,
        broadcast_output: Literal[True],
        **options: Unpack[StandaloneBatchArguments],
    ) -> BroadcastStandaloneDecorator[I]: ...
    def batch_task(
        self,
        *,
        name: str | None = None,
        input_validator: Any = None,
        broadcast_output: bool = False,
        **options: Any,
    ) -> Any:
        """Declare a batch task: several runs of it are one call of its function, which takes their inputs by id and returns their outputs:

            @hatchet.batch_task(batch_max_size=100, batch_max_interval=timedelta(seconds=1))
            def embed(inputs: dict[BatchMemberId, Text], ctx: Context) -> dict[BatchMemberId, Vector]: ...

        Each run is started, waited for and cancelled like any other. See BatchArguments for the options. A batch has no retries:
        what the function raises fails every member. Its context, with logs and child runs, is the first member's.
        """
        checked(f"batch task {name or ''}".strip(), options, names_of(StandaloneBatchArguments))
        config = {key: value for key, value in options.items() if key in _WORKFLOW}
        config["default_additional_metadata"] = dict(config.get("default_additional_metadata") or {})
        config["input_validator"] = input_validator
        own = {key: value for key, value in options.items() if key not in _WORKFLOW}
        made = TaskOptions(**with_batch(own, broadcast_output=broadcast_output))
        kind = BroadcastStandaloneDecorator if broadcast_output else BatchStandaloneDecorator
        return kind(self, name, config, made)

    @overload
    def workflow(
        self, *, name: str, input_validator: type[I], **options: Unpack[DagArguments]
    ) -> Workflow[I]: ...
    @overload
    def workflow(
        self, *, name: str, input_validator: None = None, **options: Unpack[DagArguments]
    ) -> Workflow[EmptyModel]: ...
    def workflow(self, *, name: str, input_validator: Any = None, **options: Any) -> Any:
        """Declare a workflow; add tasks with `@workflow.task(parents=[...])`. See DagArguments for the options."""
        checked(f"workflow {name}", options, _DAG)
        options["default_additional_metadata"] = dict(options.get("default_additional_metadata") or {})
        if options.get("task_defaults", ...) is None:
            del options["task_defaults"]
        return Workflow(self, WorkflowConfig(name=name, input_validator=input_validator, **options))

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
        visibility_timeout: timedelta | None = None,
        architecture: Literal["x86_64", "arm64"] = "x86_64",
        runtime: str | None = None,
        environment: Mapping[str, str] | None = None,
        policies: Sequence[Any] = (),
        vpc: VpcOptions | None = None,
        batch_size: int = 1,
        maximum_concurrency: int | None = None,
        reserved_concurrency: int | None = None,
        snap_start: bool = False,
        process: bool = False,
        event_patterns: Sequence[Mapping[str, Any]] | None = None,
        webhooks: bool = False,
        starts: Sequence[BaseWorkflow[Any, Any] | str] | None = None,
        zone: str = "",
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
        starts: the workflows (or their names) that its tasks start, [] for none: its role can send to no other worker's queue, and a
        task that starts another is refused. Default: any workflow of its zone, so its role can send to every worker there.
        zone: for code of other trust: workers of one zone have a table, a bucket, queues and roles of their own, and the runs of their
        workflows are there. Runs of another zone's workflow are started with wait_for_result=False, by a worker that names the
        workflow in `starts`; nothing else crosses. Lower-case letters and digits, up to 20. Default: the stack's own zone.
        """
        options = WorkerOptions(
            memory=memory,
            timeout=timeout,
            visibility_timeout=visibility_timeout,
            architecture=architecture,
            runtime=runtime,
            environment=dict(environment or {}),
            policies=tuple(policies),
            vpc=vpc,
            batch_size=batch_size,
            maximum_concurrency=maximum_concurrency,
            reserved_concurrency=reserved_concurrency,
            starts=starts,
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
            zone=zone,
        )
        worker.register_workflows(workflows or ())
        self._registry.add_worker(worker)
        return worker

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
            if name in ("dispatcher", "listener"):
                raise NotSupportedError(f"hatchet.{name} is not available in this version of Headrace")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


_WORKFLOW = names_of(WorkflowArguments)
_TASK = names_of(TaskArguments)
_DAG = (*_WORKFLOW, "concurrency", "task_defaults")
_DURABLE = (*_TASK, *_WORKFLOW)
_STANDALONE = (*_DURABLE, "slot_cost")

Hatchet = Headrace
