"""What workflows and standalone tasks share: a configuration, tasks, and the plan that their runs carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field as dataclass_field
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from headrace.core.labels import encode_required
from headrace.core.run.ids import workflow_id
from headrace.core.run.plans.encoding import plan_version
from headrace.core.run.plans.plan import GatePlan, RunPlan
from headrace.core.values import dataclass
from headrace.definitions.managing import Managed
from headrace.definitions.signature import check_name
from headrace.definitions.task import Task
from headrace.definitions.task_options import TaskDefaults
from headrace.errors import DefinitionError
from headrace.options.concurrency import Concurrency, gates_of
from headrace.options.crons import check_crons
from headrace.options.events import DefaultFilter, check_filters, check_on_events
from headrace.options.idempotency import Idempotency, check_idempotency, rule_of
from headrace.options.labels import StickyStrategy
from headrace.options.priority import Priority, check_priority
from headrace.values.codec import input_text, metadata_of

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.definitions.tools import MCPProvider
    from headrace.engine.catalog.workflows import Published

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")
I = TypeVar("I")  # noqa: E741  # the input


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


class BaseWorkflow(Managed[I, R]):
    """What workflows and standalone tasks share: a name, tasks, a plan, and being triggered."""

    if not TYPE_CHECKING:  # type checkers know the default of R

        def __class_getitem__(cls, types: Any) -> Any:
            """`BaseWorkflow[In]`, as in Hatchet: the result's type may be left out."""
            given = types if isinstance(types, tuple) else (types,)
            return super().__class_getitem__(
                (*given, Any) if cls is BaseWorkflow and len(given) == 1 else types
            )

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
        return self.app._registry.published_of(self)

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

        choices = self.app._registry.choices_for(self)
        plan = self.build_plan(lambda task: choices[task.name].worker)
        return Published(
            plan=plan,
            namespace=self.app.settings.prefix,
            zone=self.app._registry.zone_of(self.name) or "",
            description=self.config.description or "",
            default_priority=int(self.config.default_priority),
            default_metadata=metadata_of(self.config.default_additional_metadata),
            idempotency=rule_of(self.config.idempotency),
            crons=tuple(str(cron) for cron in self.crons),
            cron_input=input_text(self.config.cron_input),
            on_events=self.on_events,
            filters=self.default_filters,
            waits={
                task: encode_required(choice.waits_for)
                for task, choice in choices.items()
                if choice.waits_for
            },
        )

    def build_plan(self, worker_of: Callable[[Task[Any, Any]], str]) -> RunPlan:
        """The plan, with each task on the worker that `worker_of` says."""
        if not self.tasks:
            raise DefinitionError(
                f"workflow {self.name} has no task: add one with @{self.config.name}.task()"
            )
        numbers = count()
        tasks = tuple(task.plan(worker_of(task), numbers) for task in self.tasks)
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

    def mcp_tool(self, provider: MCPProvider, **options: Any) -> Any:
        """The workflow as a tool of an agent: of the Claude Agent SDK, or of the OpenAI Agents SDK, by `provider`.

        The agent's call is a run, and the tool's answer its result. `options` go to the SDK's own decorator. ValueError without a
        `description` or `input_validator`, which tell the agent what the tool does and takes; ImportError without the SDK.
        """
        from headrace.definitions.tools import tool_of

        return tool_of(self, provider, options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
