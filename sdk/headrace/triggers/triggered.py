"""Being triggered: what workflows and standalone tasks share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from headrace.core.labels import DesiredWorkerLabel
from headrace.options.debounce import Debounce
from headrace.options.durations import Duration
from headrace.options.labels import desired_labels_of
from headrace.options.priority import Priority
from headrace.triggers.children import current
from headrace.triggers.options import RunArguments, TriggerWorkflowOptions, WorkflowRunTriggerConfig
from headrace.triggers.refs import TaskRunRef, aio_gather, gather
from headrace.triggers.results.waiting import reply_queue
from headrace.values.codec import input_text

if TYPE_CHECKING:
    from typing import Unpack

    from headrace.app import Headrace
    from headrace.core.run.request import StartRun

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"{name} is deprecated: use {instead}", DeprecationWarning, stacklevel=3)


_RUN_OPTIONS = (
    "child_key",
    "additional_metadata",
    "priority",
    "sticky",
    "desired_worker_id",
    "desired_worker_labels",
)
"""The options of `run` after `wait_for_result`, in their order."""


class Triggered(Generic[I, R]):
    """What can be run: `R` is a run's result."""

    app: Headrace
    name: str
    default_additional_metadata: Mapping[str, Any]

    def _parse(self, outputs: Mapping[str, Any]) -> R:
        raise NotImplementedError

    def _ref(self, run_id: str) -> TaskRunRef[I, R]:
        return TaskRunRef(
            self.app,
            run_id,
            self._parse,
            lambda: self.app._check_here(self.name, f"the result of run {run_id}"),
        )

    # ---- items of a bulk run

    def create_bulk_run_item(
        self,
        input: I | None = None,
        key: str | None = None,
        options: TriggerWorkflowOptions | None = None,
        child_key: str | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: Priority | int | None = None,
        desired_worker_id: str | None = None,
        sticky: bool = False,
        desired_worker_labels: Sequence[DesiredWorkerLabel] | None = None,
        *,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        debounce: Debounce | None = None,
    ) -> WorkflowRunTriggerConfig:
        """An item for `run_many`. `key` is a label only: `child_key` is what memoises a child.

        desired_worker_id: the worker (its name) that all tasks of the run go to. desired_worker_labels: labels desired of the worker, in
        place of the definition's. sticky: of a child run: on its parent's worker, if it can be, or, where the workflow is HARD,
        there and nowhere else. A label that no worker can meet is a DefinitionError before anything is sent.

        delay, run_at: the run is there at once, and can be cancelled; its first tasks are queued then (a time that has passed: at once).
        debounce: see Debounce. At most one of the three.
        """
        given = options or TriggerWorkflowOptions()
        desired = desired_labels_of(
            desired_worker_labels or given.desired_worker_label,
            f"workflow {self.name}: desired_worker_labels",
        )
        return WorkflowRunTriggerConfig(
            workflow_name=self.name,
            input=input_text(input),
            key=key if key is not None else given.key,
            options=TriggerWorkflowOptions(
                parent_id=given.parent_id,
                parent_step_run_id=given.parent_step_run_id,
                child_index=given.child_index,
                child_key=child_key if child_key is not None else given.child_key,
                namespace=given.namespace,
                additional_metadata={
                    **self.default_additional_metadata,
                    **given.additional_metadata,
                    **(additional_metadata or {}),
                },
                priority=priority if priority is not None else given.priority,
                desired_worker_id=desired_worker_id or given.desired_worker_id,
                sticky=sticky or given.sticky,
                desired_worker_label=desired or None,
                delay=delay if delay is not None else given.delay,
                run_at=run_at if run_at is not None else given.run_at,
                debounce=debounce or given.debounce,
            ),
        )

    def _requests(
        self, items: Sequence[WorkflowRunTriggerConfig], told_at: str | None = None, *, waited: bool = False
    ) -> list[StartRun]:
        """On the caller's side, before any thread: children get their places here. `told_at`: the reply queue of a caller that waits,
        where it has one."""
        from headrace.triggers.requests import requests

        wanted = requests(self.app.settings, items, lambda: self.app.engine.clock.now_ms())
        return [replace(one, reply_to=told_at, waited=True) for one in wanted] if waited else wanted

    def _start(self, wanted: Sequence[StartRun]) -> list[str]:
        from headrace.triggers.start import start

        return start(self.app, wanted)

    def _reply_queue(
        self, items: Sequence[WorkflowRunTriggerConfig], wait_for_result: bool = True
    ) -> str | None:
        """Where the runs are to tell of their ends; a debounced one is started by another process than this."""
        if not wait_for_result or any(item.options.debounce is not None for item in items):
            return None
        return reply_queue(self.app)

    def _trigger(
        self, items: Sequence[WorkflowRunTriggerConfig], told_at: str | None = None, *, waited: bool = False
    ) -> list[str]:
        return self._start(self._requests(items, told_at, waited=waited))

    async def _aio_trigger(
        self, items: Sequence[WorkflowRunTriggerConfig], told_at: str | None = None, *, waited: bool = False
    ) -> list[str]:
        import asyncio

        wanted, spawner = self._requests(items, told_at, waited=waited), current.get()
        if spawner is not None and spawner.operations is not None:
            from headrace.triggers.durable import start_children

            return await start_children(spawner.operations, wanted, self._start)
        return await asyncio.to_thread(self._start, wanted)

    def _ref_of(self, item: WorkflowRunTriggerConfig, run_id: str) -> TaskRunRef[I, R]:
        """A debounced run does not exist yet: its reference waits for it to start."""
        ref = self._ref(run_id)
        if item.options.debounce is not None:
            from headrace.core.table import debounce_id

            name = self.app.settings.apply_namespace(item.workflow_name, item.options.namespace)
            ref._debounce = debounce_id(name, item.options.debounce.key)
        return ref

    @staticmethod
    def _named(rest: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """What was given to `run` by place, by name: an item's options stand in another order."""
        return {**dict(zip(_RUN_OPTIONS, rest, strict=False)), **named}

    # ---- running

    @overload
    def run(
        self,
        input: I = ...,
        options: TriggerWorkflowOptions | None = None,
        wait_for_result: Literal[True] = True,
        **given: Unpack[RunArguments],
    ) -> R: ...
    @overload
    def run(
        self,
        input: I = ...,
        options: TriggerWorkflowOptions | None = None,
        *,
        wait_for_result: Literal[False],
        **given: Unpack[RunArguments],
    ) -> TaskRunRef[I, R]: ...
    def run(
        self, input: Any = None, options: Any = None, wait_for_result: bool = True, *rest: Any, **named: Any
    ) -> R | TaskRunRef[I, R]:
        """Start a run and, unless `wait_for_result=False`, wait for its result. Inside a task: a child run.

        FailedTaskRunExceptionGroup where the run FAILED, RunCancelled (a ValueError) where it was CANCELLED.
        """
        item = self.create_bulk_run_item(input, None, options, **self._named(rest, named))
        told_at = self._reply_queue([item], wait_for_result)
        ref = self._ref_of(item, self._trigger([item], told_at, waited=wait_for_result)[0])
        return ref.result() if wait_for_result else ref

    @overload
    async def aio_run(
        self,
        input: I = ...,
        options: TriggerWorkflowOptions | None = None,
        wait_for_result: Literal[True] = True,
        **given: Unpack[RunArguments],
    ) -> R: ...
    @overload
    async def aio_run(
        self,
        input: I = ...,
        options: TriggerWorkflowOptions | None = None,
        *,
        wait_for_result: Literal[False],
        **given: Unpack[RunArguments],
    ) -> TaskRunRef[I, R]: ...
    async def aio_run(
        self, input: Any = None, options: Any = None, wait_for_result: bool = True, *rest: Any, **named: Any
    ) -> R | TaskRunRef[I, R]:
        """As `run`, on the event loop."""
        item = self.create_bulk_run_item(input, None, options, **self._named(rest, named))
        told_at = self._reply_queue([item], wait_for_result)
        [run_id] = await self._aio_trigger([item], told_at, waited=wait_for_result)
        ref = self._ref_of(item, run_id)
        return await ref.aio_result() if wait_for_result else ref

    @overload
    def run_many(
        self,
        workflows: Sequence[WorkflowRunTriggerConfig],
        return_exceptions: Literal[False] = False,
        wait_for_result: Literal[True] = True,
    ) -> list[R]: ...
    @overload
    def run_many(
        self,
        workflows: Sequence[WorkflowRunTriggerConfig],
        return_exceptions: Literal[True],
        wait_for_result: Literal[True] = True,
    ) -> list[R | BaseException]: ...
    @overload
    def run_many(
        self,
        workflows: Sequence[WorkflowRunTriggerConfig],
        return_exceptions: bool = False,
        *,
        wait_for_result: Literal[False],
    ) -> list[TaskRunRef[I, R]]: ...
    def run_many(
        self,
        workflows: Sequence[WorkflowRunTriggerConfig],
        return_exceptions: bool = False,
        wait_for_result: bool = True,
    ) -> Any:
        """Start many runs; their results in the order given, or references. Failures are raised, or put in the list."""
        told_at = self._reply_queue(workflows, wait_for_result)
        refs = [self._ref(run_id) for run_id in self._trigger(workflows, told_at, waited=wait_for_result)]
        return gather(self.app, refs, return_exceptions=return_exceptions) if wait_for_result else refs

    @overload
    async def aio_run_many(
        self,
        workflows: Sequence[WorkflowRunTriggerConfig],
        return_exceptions: Literal[False] = False,
        wait_for_result: Literal[True] = True,
    ) -> list[R]: ...
    @overload
    async def aio_run_many(
        self,
        workflows: Sequence[WorkflowRunTriggerConfig],
        return_exceptions: Literal[True],
        wait_for_result: Literal[True] = True,
    ) -> list[R | BaseException]: ...
    @overload
    async def aio_run_many(
        self,
        workflows: Sequence[WorkflowRunTriggerConfig],
        return_exceptions: bool = False,
        *,
        wait_for_result: Literal[False],
    ) -> list[TaskRunRef[I, R]]: ...
    async def aio_run_many(
        self,
        workflows: Sequence[WorkflowRunTriggerConfig],
        return_exceptions: bool = False,
        wait_for_result: bool = True,
    ) -> Any:
        """As `run_many`, on the event loop."""
        told_at = self._reply_queue(workflows, wait_for_result)
        run_ids = await self._aio_trigger(workflows, told_at, waited=wait_for_result)
        refs = [self._ref(run_id) for run_id in run_ids]
        return (
            await aio_gather(self.app, refs, return_exceptions=return_exceptions) if wait_for_result else refs
        )

    def run_no_wait(
        self, input: I | None = None, *rest: Any, **named: Unpack[RunArguments]
    ) -> TaskRunRef[I, R]:
        """Deprecated: `run(..., wait_for_result=False)`."""
        _deprecated("run_no_wait", "run(..., wait_for_result=False)")
        [run_id] = self._trigger(
            [self.create_bulk_run_item(input, None, *rest[:1], **self._named(rest[1:], named))]
        )
        return self._ref(run_id)

    async def aio_run_no_wait(
        self, input: I | None = None, *rest: Any, **named: Unpack[RunArguments]
    ) -> TaskRunRef[I, R]:
        """Deprecated: `aio_run(..., wait_for_result=False)`."""
        _deprecated("aio_run_no_wait", "aio_run(..., wait_for_result=False)")
        [run_id] = await self._aio_trigger(
            [self.create_bulk_run_item(input, None, *rest[:1], **self._named(rest[1:], named))]
        )
        return self._ref(run_id)

    def run_many_no_wait(self, workflows: Sequence[WorkflowRunTriggerConfig]) -> list[TaskRunRef[I, R]]:
        """Deprecated: `run_many(..., wait_for_result=False)`."""
        _deprecated("run_many_no_wait", "run_many(..., wait_for_result=False)")
        return [self._ref(run_id) for run_id in self._trigger(workflows)]

    async def aio_run_many_no_wait(
        self, workflows: Sequence[WorkflowRunTriggerConfig]
    ) -> list[TaskRunRef[I, R]]:
        """Deprecated: `aio_run_many(..., wait_for_result=False)`."""
        _deprecated("aio_run_many_no_wait", "aio_run_many(..., wait_for_result=False)")
        return [self._ref(run_id) for run_id in await self._aio_trigger(workflows)]

    def get_run_ref(self, run_id: str) -> TaskRunRef[I, R]:
        """A reference to a run that was started anywhere."""
        return self._ref(run_id)

    def get_result(self, run_id: str) -> R:
        """Wait for the result of a run that was started anywhere."""
        return self._ref(run_id).result()

    async def aio_get_result(self, run_id: str) -> R:
        return await self._ref(run_id).aio_result()
