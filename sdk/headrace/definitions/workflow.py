"""Workflows: DAGs of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.core.run.plans.plan import TaskKind
from headrace.definitions.arguments import DagBatchArguments, checked, names_of, with_batch
from headrace.definitions.base import BaseWorkflow, WorkflowConfig
from headrace.definitions.decorators import BatchTaskDecorator, DurableTaskDecorator, TaskDecorator
from headrace.definitions.standalone import Standalone
from headrace.definitions.task import Task
from headrace.definitions.task_options import TaskOptions
from headrace.errors import DefinitionError
from headrace.options.eviction import DEFAULT_DURABLE_TASK_EVICTION_POLICY, EvictionPolicy
from headrace.triggers.refs import WorkflowRunRef

if TYPE_CHECKING:
    from typing import Unpack

    from headrace.app import Headrace
    from headrace.definitions.arguments import DagTaskArguments, TaskArguments

I = TypeVar("I")  # noqa: E741  # the input


_ENDING = (
    "schedule_timeout",
    "execution_timeout",
    "retries",
    "rate_limits",
    "backoff_factor",
    "backoff_max_seconds",
    "concurrency",
    "retry_jitter",
    "desired_worker_labels",
    "isolated",
)
_TASK = (
    "schedule_timeout",
    "execution_timeout",
    "parents",
    "retries",
    "rate_limits",
    "desired_worker_labels",
    "backoff_factor",
    "backoff_max_seconds",
    "concurrency",
    "wait_for",
    "skip_if",
    "cancel_if",
    "slot_cost",
    "isolated",
    "retry_jitter",
)
"""The options after the name in Hatchet's order, ours behind them: a test holds them against their types."""


class Workflow(BaseWorkflow[I, dict[str, Any]]):
    """A DAG of tasks. A run's result is `{task name: output}`."""

    def __init__(self, app: Headrace, config: WorkflowConfig) -> None:
        super().__init__(app, config)
        app._registry.add(self)

    def _parse(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return dict(outputs)

    def _ref(self, run_id: str) -> WorkflowRunRef:
        return WorkflowRunRef(self.app, run_id)

    # ---- tasks

    def task(
        self, name: str | None = None, *rest: Any, **options: Unpack[DagTaskArguments]
    ) -> TaskDecorator[I]:
        """Add a task: see DagTaskArguments for its options. Its name defaults to the function's."""
        return self._decorator(name, rest, dict(options))

    def durable_task(
        self,
        name: str | None = None,
        *rest: Any,
        eviction_policy: EvictionPolicy | None = DEFAULT_DURABLE_TASK_EVICTION_POLICY,
        **options: Unpack[DagTaskArguments],
    ) -> DurableTaskDecorator[I]:
        """As `task`, for an async function with a DurableContext: while it sleeps, or waits for events or children, it holds no invocation."""
        return DurableTaskDecorator(self._decorator(name, rest, dict(options)), eviction_policy)

    def on_failure_task(
        self, name: str | None = None, *rest: Any, **options: Unpack[TaskArguments]
    ) -> TaskDecorator[I]:
        """A task that runs once, after all others are settled, if any of them FAILED. The run stays FAILED."""
        given = self._given("its on-failure task", _ENDING, rest, dict(options))
        return TaskDecorator(
            self, self.add, name, TaskOptions(**given), (), kind=TaskKind.ON_FAILURE, suffix="-on-failure"
        )

    def on_success_task(
        self, name: str | None = None, *rest: Any, **options: Unpack[TaskArguments]
    ) -> TaskDecorator[I]:
        """A task whose parents are all tasks that no other depends on: define it last."""
        given = self._given("its on-success task", _ENDING, rest, dict(options))
        return TaskDecorator(self, self.add, name, TaskOptions(**given), self._leaves(), suffix="-on-success")

    def batch_task(
        self,
        name: str | None = None,
        *,
        broadcast_output: bool = False,
        **options: Unpack[DagBatchArguments],
    ) -> BatchTaskDecorator[I]:
        """Add a batch task: runs of the workflow that come to it are one call of its function. See BatchArguments for its options."""
        where = f"batch task {name or ''}".strip() + f" of workflow {self.name}"
        checked(where, options, names_of(DagBatchArguments))
        given: dict[str, Any] = dict(options)
        parents = tuple(given.pop("parents", None) or ())
        made = with_batch(given, broadcast_output=broadcast_output)
        return BatchTaskDecorator(self, self.add, name, TaskOptions(**made), parents)

    def _decorator(self, name: str | None, rest: Sequence[Any], options: dict[str, Any]) -> TaskDecorator[I]:
        if callable(name):
            raise DefinitionError(f"workflow {self.name}: write @{self.config.name}.task(), with parentheses")
        given = self._given(f"task {name or ''}".strip(), _TASK, rest, options)
        parents = tuple(given.pop("parents", None) or ())
        return TaskDecorator(self, self.add, name, TaskOptions(**given), parents)

    def _given(
        self, what: str, order: Sequence[str], rest: Sequence[Any], options: dict[str, Any]
    ) -> dict[str, Any]:
        """Options by name; those given by place stand in Hatchet's order. TypeError for one that there is not."""
        where = f"{what} of workflow {self.name}"
        if len(rest) > len(order):
            raise TypeError(f"{where}: {len(rest) + 1} arguments are given by place: give options by name")
        checked(where, options, order)
        return {**dict(zip(order, rest, strict=False)), **options}

    def _leaves(self) -> tuple[Task[Any, Any], ...]:
        normal = [task for task in self.tasks if task.kind is TaskKind.NORMAL]
        inner = {parent.name for task in normal for parent in task.parents}
        return tuple(task for task in normal if task.name not in inner)

    def add_task(self, task: Standalone[Any, Any]) -> None:
        """Copy a standalone task into this workflow, as a task without parents."""
        if not isinstance(task, Standalone):
            raise TypeError(
                f"workflow {self.name}: {task!r} is not a standalone task: pass the object that @hatchet.task returned"
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
                middleware=source.middleware,
            )
        )

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
        self.app._registry.changed()
