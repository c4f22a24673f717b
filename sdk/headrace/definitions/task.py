"""A task: a function with a typed input and a context, and how it is to be run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Generic, TypeVar, cast

from headrace.context.depends import dependencies_of
from headrace.context.middleware import NONE, Middleware
from headrace.core.run.plans.plan import GatePlan, TaskKind, TaskPlan
from headrace.definitions.signature import check_name, check_signature, member_output, output_type_of
from headrace.definitions.task_options import TaskOptions
from headrace.errors import DefinitionError
from headrace.options.batch import batch_plan_of
from headrace.options.concurrency import Concurrency, gates_of
from headrace.options.conditions import groups_of
from headrace.options.durations import Duration, to_ms
from headrace.options.labels import DesiredLabels, desired_labels_of
from headrace.options.rate_limits import RateLimit, rates_of
from headrace.values.codec import Codec

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")


class Task(Generic[I, R]):
    """A task of a workflow. Made by the decorators; refer to it as a parent, or for its output."""

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str,
        workflow: str,
        input_type: Any,
        options: TaskOptions,
        parents: Sequence[Task[Any, Any]] = (),
        kind: TaskKind = TaskKind.NORMAL,
        durable: bool = False,
        namespace: str = "",
        middleware: Middleware = NONE,
    ) -> None:
        self.fn = fn
        self.middleware = middleware
        self.namespace = namespace
        self.is_durable = durable
        self.name = check_name(name, f"task {name!r} of workflow {workflow}")
        self.workflow = workflow
        self.options = options
        self.parents = tuple(parents)
        self.kind = kind
        self.is_async_function = inspect.iscoroutinefunction(fn)
        self.input_codec = Codec(input_type)
        self._check_input_type(input_type)
        self.output_codec = Codec(
            output_type_of(fn) if options.batch is None else member_output(fn, options.batch)
        )
        check_signature(fn, self.where)
        if durable and not self.is_async_function:
            raise DefinitionError(f"{self.where}: a durable task must be async: declare it with `async def`")
        self.dependencies = dependencies_of(fn)
        self.desired_labels = desired_labels_of(options.desired_worker_labels)
        self._plan = self._checked_plan()

    def _check_input_type(self, input_type: Any) -> None:
        """DefinitionError for a type that pydantic cannot validate. Models were checked when they were made, and dicts take all."""
        if input_type is dict:
            return  # an app without models does without pydantic
        from pydantic import BaseModel

        if isinstance(input_type, type) and issubclass(input_type, BaseModel):
            return
        try:
            self.input_codec.adapter  # noqa: B018  # made now, used later
        except Exception as error:  # pydantic has several, and calls hooks of the type
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DefinitionError(
                f"{self.where}: input_validator {getattr(input_type, '__name__', input_type)} is not a type that pydantic can "
                f"validate ({reason}): give a pydantic model, a dataclass or a TypedDict (before Python 3.12 that of typing_extensions)"
            ) from error

    @property
    def gates(self) -> tuple[GatePlan, ...]:
        """Its concurrency limits, in the order in which an attempt passes them."""
        return self._plan.gates

    # ---- its options, as they hold: a workflow's defaults are in them

    @property
    def schedule_timeout(self) -> Duration:
        return self.options.schedule_timeout

    @property
    def execution_timeout(self) -> Duration:
        return self.options.execution_timeout

    @property
    def retries(self) -> int:
        return self.options.retries

    @property
    def rate_limits(self) -> Sequence[RateLimit]:
        return tuple(self.options.rate_limits or ())

    @property
    def desired_worker_labels(self) -> DesiredLabels:
        return self.options.desired_worker_labels

    @property
    def backoff_factor(self) -> float | None:
        return self.options.backoff_factor

    @property
    def backoff_max_seconds(self) -> int | None:
        return self.options.backoff_max_seconds

    @property
    def concurrency(self) -> Concurrency:
        return self.options.concurrency

    @property
    def slot_cost(self) -> int | None:
        return self.options.slot_cost

    @property
    def where(self) -> str:
        """The task in an error's words."""
        return f"task {self.name} of workflow {self.workflow}"

    def _checked_plan(self) -> TaskPlan:
        """The task's part of the plan, but for its worker and its conditions; every option is checked here."""
        o, where = self.options, self.where
        if isinstance(o.retries, bool) or not isinstance(o.retries, int) or o.retries < 0:
            raise DefinitionError(f"{where}: retries is {o.retries!r}: give a number of retries, 0 or more")
        if o.slot_cost is not None and (type(o.slot_cost) is not int or o.slot_cost < 1):
            raise DefinitionError("slot_cost must be a positive integer")
        if o.backoff_factor is not None and not 0 < o.backoff_factor < 1e6:
            raise DefinitionError(f"{where}: backoff_factor is {o.backoff_factor!r}: give a number above 0")
        if o.backoff_max_seconds is not None and not 0 < o.backoff_max_seconds <= 31_536_000:
            raise DefinitionError(
                f"{where}: backoff_max_seconds is {o.backoff_max_seconds!r}: give 1 second to a year"
            )
        if o.retry_jitter is not None and not 0 <= o.retry_jitter <= 1:
            raise DefinitionError(
                f"{where}: retry_jitter is {o.retry_jitter!r}: give the share of the backoff that chance may take away, 0 to 1"
            )
        if o.retry_jitter is not None and o.backoff_factor is None:
            raise DefinitionError(
                f"{where}: retry_jitter is given without backoff_factor: retries are tried at once"
            )
        execution_ms = to_ms(o.execution_timeout, f"{where}: execution_timeout")
        schedule_ms = to_ms(o.schedule_timeout, f"{where}: schedule_timeout")
        if execution_ms <= 0 or schedule_ms <= 0:
            which = "execution_timeout" if execution_ms <= 0 else "schedule_timeout"
            raise DefinitionError(f"{where}: {which} is {getattr(o, which)!r}: give a time above 0")
        return TaskPlan(
            name=self.name,
            kind=self.kind,
            parents=tuple(parent.name for parent in self.parents),
            retries=o.retries,
            backoff_factor=float(o.backoff_factor) if o.backoff_factor is not None else None,
            backoff_max_s=int(o.backoff_max_seconds) if o.backoff_max_seconds is not None else None,
            retry_jitter=float(o.retry_jitter) if o.retry_jitter is not None else None,
            execution_timeout_ms=execution_ms,
            schedule_timeout_ms=schedule_ms,
            isolated=o.isolated,
            gates=gates_of(o.concurrency, f"{self.workflow}:{self.name}", where),
            rates=rates_of(o.rate_limits, where, self.namespace),
            slot_cost=o.slot_cost or 1,
            batch=batch_plan_of(o.batch, where, schedule_timeout_ms=schedule_ms)
            if o.batch is not None
            else None,
        )

    def plan(self, worker: str, numbers: count[int]) -> TaskPlan:
        """The task's part of the plan, on that worker; `numbers` numbers the conditions of the whole workflow."""
        o, where = self.options, self.where
        names, space = [parent.name for parent in self.parents], self.namespace
        return replace(
            self._plan,
            worker=worker,
            wait_for=groups_of(o.wait_for, f"{where}: wait_for", names, numbers, space),
            skip_if=groups_of(o.skip_if, f"{where}: skip_if", names, numbers, space),
            cancel_if=groups_of(o.cancel_if, f"{where}: cancel_if", names, numbers, space),
        )

    def parse_output(self, value: Any) -> R:
        """What the task returned, from parsed JSON: in the type that its function declares."""
        if value is None and self.output_codec.type in (None, type(None), Any):
            return cast(R, None)
        if value is None and not isinstance(self.output_codec.type, type):
            return cast(R, None)
        return cast(R, self.output_codec.of(value))

    # ---- unit tests

    def mock_run(
        self,
        input: I | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        parent_outputs: Mapping[str, Mapping[str, Any]] | None = None,
        retry_count: int = 0,
        lifespan: Any = None,
        dependencies: Mapping[str, Any] | None = None,
    ) -> R:
        """Call the function as a worker would, with no backend at all. TypeError if it is async.

        `parent_outputs` stands for what the parents returned, by task name; `dependencies` overrides dependencies by
        parameter name.
        """
        if self.is_async_function:
            raise TypeError(f"{self.where} is async: use aio_mock_run")
        from headrace.runtime.code import invoke
        from headrace.runtime.mocking import mock_context

        ctx = mock_context(self, additional_metadata, parent_outputs, retry_count, lifespan)
        return cast(R, invoke(self, self._mock_input(input), ctx, dependencies or {}))

    async def aio_mock_run(
        self,
        input: I | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        parent_outputs: Mapping[str, Mapping[str, Any]] | None = None,
        retry_count: int = 0,
        lifespan: Any = None,
        dependencies: Mapping[str, Any] | None = None,
    ) -> R:
        """As `mock_run`, for an async task. TypeError if it is sync."""
        if not self.is_async_function:
            raise TypeError(f"{self.where} is not async: use mock_run")
        from headrace.runtime.code import aio_invoke
        from headrace.runtime.mocking import mock_context

        ctx = mock_context(self, additional_metadata, parent_outputs, retry_count, lifespan)
        return cast(R, await aio_invoke(self, self._mock_input(input), ctx, dependencies or {}))

    def _mock_input(self, input: I | None) -> Any:
        from headrace.values.empty import EmptyModel

        return EmptyModel() if input is None and self.input_codec.type is EmptyModel else input

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {self.workflow}>"
