"""What `@hatchet.task(...)` and its like make of a function."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from headrace.definitions.task import TaskOptions
from headrace.definitions.workflow import Standalone, WorkflowConfig
from headrace.options.eviction import EvictionPolicy

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.context.context import Context
    from headrace.context.durable import DurableContext

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")
P = ParamSpec("P")


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


class DurableTaskDecorator:
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
