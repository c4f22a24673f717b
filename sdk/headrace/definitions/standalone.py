"""Standalone tasks: workflows of one task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.definitions.base import BaseWorkflow, WorkflowConfig
from headrace.definitions.signature import check_name, input_type_of
from headrace.definitions.task import Task
from headrace.definitions.task_options import TaskOptions

if TYPE_CHECKING:
    from headrace.app import Headrace

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")


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
            middleware=app.middleware,
        )
        self.tasks = [self.task]
        app._registry.add(self)  # last: a task that is refused leaves no name behind
        self.fn = fn
        self.mock_run = self.task.mock_run
        self.aio_mock_run = self.task.aio_mock_run

    @property
    def _task(self) -> Task[I, R]:
        """Hatchet's name of `task`, which code and tests look into."""
        return self.task

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
