"""What `@hatchet.task(...)` and `@workflow.task(...)` make of a function."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from headrace.core.run.plans.plan import TaskKind
from headrace.definitions.base import BaseWorkflow, WorkflowConfig
from headrace.definitions.signature import input_type_of, member_input_type_of
from headrace.definitions.standalone import Standalone
from headrace.definitions.task import Task
from headrace.definitions.task_options import TaskOptions
from headrace.options.batch import BatchMemberId
from headrace.options.eviction import EvictionPolicy

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.context.context import Context
    from headrace.context.durable import DurableContext

I = TypeVar("I")  # noqa: E741  # the input
J = TypeVar("J")
"""The input that a function's annotation names."""
R = TypeVar("R")
P = ParamSpec("P")


# ---- of an app: standalone tasks


class AnyTaskDecorator:
    """Makes a standalone task of a function; the input's type is what its first parameter says."""

    def __init__(
        self, app: Headrace, name: str | None, config: Mapping[str, Any], options: TaskOptions
    ) -> None:
        self._app = app
        self._name = name
        self._config = config
        self._options = options
        self.durable = False

    def be_durable(self, eviction_policy: EvictionPolicy | None) -> None:
        """The task is durable, and gives up its invocation as the policy says."""
        self.durable = True
        self._options = replace(self._options, eviction_policy=eviction_policy)

    @overload
    def __call__(
        self, fn: Callable[Concatenate[I, Context, P], Coroutine[Any, Any, R]]
    ) -> Standalone[I, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[I, Context, P], R]) -> Standalone[I, R]: ...
    def __call__(self, fn: Callable[..., Any]) -> Standalone[Any, Any]:
        config = WorkflowConfig(name=self._name if self._name is not None else fn.__name__, **self._config)
        return Standalone(self._app, config, fn, self._options, durable=self.durable)


class TypedTaskDecorator(AnyTaskDecorator, Generic[I]):
    """The same, where the input's type was declared."""

    @overload  # type: ignore[override]  # the input is fixed here
    def __call__(
        self, fn: Callable[Concatenate[I, Context, P], Coroutine[Any, Any, R]]
    ) -> Standalone[I, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[I, Context, P], R]) -> Standalone[I, R]: ...
    def __call__(self, fn: Callable[..., Any]) -> Standalone[Any, Any]:
        return super().__call__(fn)


class DurableStandaloneDecorator:
    """Makes a durable standalone task of an async function with a DurableContext."""

    def __init__(self, made: AnyTaskDecorator, eviction_policy: EvictionPolicy | None) -> None:
        self._made = made
        made.be_durable(eviction_policy)

    def __call__(
        self, fn: Callable[Concatenate[I, DurableContext, P], Coroutine[Any, Any, R]]
    ) -> Standalone[I, R]:
        make: Any = self._made
        made: Standalone[I, R] = make(fn)
        return made


class _BatchDecorator(Generic[I]):
    """Makes a standalone batch task of a function."""

    def __init__(
        self, app: Headrace, name: str | None, config: Mapping[str, Any], options: TaskOptions
    ) -> None:
        self._app, self._name, self._config, self._options = app, name, config, options

    def _made(self, fn: Callable[..., Any]) -> Standalone[Any, Any]:
        config = WorkflowConfig(name=self._name if self._name is not None else fn.__name__, **self._config)
        config = replace(config, input_validator=member_input_type_of(fn, config.input_validator))
        return Standalone(self._app, config, fn, self._options)


class BatchStandaloneDecorator(_BatchDecorator[I]):
    """Makes a batch task of a function of `dict[BatchMemberId, In]` that returns a `dict[BatchMemberId, Out]`, whose annotation says what an input is."""

    @overload
    def __call__(
        self,
        fn: Callable[
            Concatenate[dict[BatchMemberId, J], Context, P], Coroutine[Any, Any, dict[BatchMemberId, R]]
        ],
    ) -> Standalone[J, R]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[dict[BatchMemberId, J], Context, P], dict[BatchMemberId, R]]
    ) -> Standalone[J, R]: ...
    def __call__(self, fn: Callable[..., Any]) -> Standalone[Any, Any]:
        return self._made(fn)


class BroadcastStandaloneDecorator(_BatchDecorator[I]):
    """Makes a batch task of a function of `dict[BatchMemberId, In]` whose output is every member's; the annotation says what an input is."""

    @overload
    def __call__(
        self, fn: Callable[Concatenate[dict[BatchMemberId, J], Context, P], Coroutine[Any, Any, R]]
    ) -> Standalone[J, R]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[dict[BatchMemberId, J], Context, P], R]
    ) -> Standalone[J, R]: ...
    def __call__(self, fn: Callable[..., Any]) -> Standalone[Any, Any]:
        return self._made(fn)


# ---- of a workflow: its tasks


class TaskDecorator(Generic[I]):
    """Makes a task of a function and adds it to its workflow."""

    def __init__(
        self,
        workflow: BaseWorkflow[I, Any],
        add: Callable[[Task[Any, Any]], None],
        name: str | None,
        options: TaskOptions,
        parents: tuple[Task[Any, Any], ...],
        *,
        kind: TaskKind = TaskKind.NORMAL,
        suffix: str = "",
    ) -> None:
        self._workflow = workflow
        self._add = add
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
            input_type=self._input_type(fn),
            options=self._options,
            parents=self._parents,
            kind=self._kind,
            durable=self.durable,
            namespace=self._workflow.app.settings.prefix,
            middleware=self._workflow.app.middleware,
        )
        self._add(task)
        return task

    def _input_type(self, fn: Callable[..., Any]) -> Any:
        return input_type_of(fn, self._workflow.config.input_validator)


class BatchTaskDecorator(TaskDecorator[I]):
    """Makes a batch task of a function of `dict[BatchMemberId, In]` and adds it to its workflow."""

    def __call__(  # type: ignore[override]  # the inputs of several runs
        self, fn: Callable[Concatenate[dict[BatchMemberId, I], Context, P], Any]
    ) -> Task[I, Any]:
        make: Any = super().__call__
        made: Task[I, Any] = make(fn)
        return made

    def _input_type(self, fn: Callable[..., Any]) -> Any:
        return member_input_type_of(fn, self._workflow.config.input_validator)


class DurableTaskDecorator(Generic[I]):
    """Makes a durable task of an async function with a DurableContext and adds it to its workflow."""

    def __init__(self, made: TaskDecorator[I], eviction_policy: EvictionPolicy | None) -> None:
        self._made = made
        made.be_durable(eviction_policy)

    def __call__(self, fn: Callable[Concatenate[I, DurableContext, P], Coroutine[Any, Any, R]]) -> Task[I, R]:
        make: Any = self._made
        made: Task[I, R] = make(fn)
        return made
