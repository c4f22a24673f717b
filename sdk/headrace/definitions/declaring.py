"""Declaring tasks, workflows and workers: what `@hatchet.task`, `hatchet.workflow` and `hatchet.worker` are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

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
from headrace.definitions.task_options import TaskOptions
from headrace.definitions.worker import VpcOptions, Worker, WorkerOptions
from headrace.definitions.workflow import Workflow
from headrace.errors import DefinitionError
from headrace.options.eviction import DEFAULT_DURABLE_TASK_EVICTION_POLICY, EvictionPolicy

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Unpack

    from headrace.app import Headrace
    from headrace.context.lifespan import LifespanFn
    from headrace.values.empty import EmptyModel

I = TypeVar("I")  # noqa: E741  # the input


class Declaring:
    """What an app declares with."""

    @property
    def _app(self) -> Headrace:
        raise NotImplementedError

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
            self._app, name, {**config, "input_validator": input_validator}, TaskOptions(**own)
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
            which = f"durable task {name}" if name else "a durable task"
            raise DefinitionError(
                f"{which} has a slot_cost, but takes one slot while it runs and none while it waits: leave slot_cost out"
            )
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
        return kind(self._app, name, config, made)

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
        return Workflow(self._app, WorkflowConfig(name=name, input_validator=input_validator, **options))

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
            self._app,
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
        self._app._registry.add_worker(worker)
        return worker


_WORKFLOW = names_of(WorkflowArguments)
_TASK = names_of(TaskArguments)
_DAG = (*_WORKFLOW, "concurrency", "task_defaults")
_DURABLE = (*_TASK, *_WORKFLOW)
_STANDALONE = (*_DURABLE, "slot_cost")
