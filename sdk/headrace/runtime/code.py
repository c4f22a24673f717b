"""A task's code as the engine runs it: validate, resolve dependencies, call, serialise."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.context.context import Context
from headrace.context.depends import aio_resolve, resolve
from headrace.core.sealed import opened
from headrace.engine.attempts.ports import Outcome, Raised, Succeeded, TaskTimeout, Work
from headrace.triggers.children import Spawner, current
from headrace.values.codec import is_validation_error, output_text
from headrace.values.failures import info_of, is_final

if TYPE_CHECKING:
    from headrace.definitions.task import Task
    from headrace.definitions.worker import Worker
    from headrace.runtime.durable.kept import Suspended
    from headrace.runtime.durable.run import DurableRun


class TaskRunnable:
    """One task of one workflow on one worker."""

    __slots__ = ("task", "worker")

    def __init__(self, task: Task[Any, Any], worker: Worker) -> None:
        self.task = task
        self.worker = worker

    @property
    def is_async(self) -> bool:
        return self.task.is_async_function

    def call(self, work: Work) -> Outcome:
        try:
            value = self.task.input_codec.parse(opened("the input", work.input))
        except TaskTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  # a validator is user code
            return invalid_input(work, error)
        try:
            ctx = self._context(work)
            with running(work, ctx):
                return Succeeded(output_text(invoke(self.task, value, ctx, {})))
        except TaskTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  # user code: whatever it raises ends a task, not its worker
            return raised(error)

    async def acall(self, work: Work) -> Outcome:
        import asyncio

        if self.task.is_durable and (kept := self._kept(work)) is not None:
            return await kept.go_on(work)
        try:
            value = self.task.input_codec.parse(opened("the input", work.input))
        except BaseException as error:  # noqa: BLE001  # a validator is user code
            return invalid_input(work, error)
        try:
            ctx = self._context(work)
            if self.task.is_durable:
                return await self._run_durable(work, value, ctx)
            with running(work, ctx):
                return Succeeded(output_text(await aio_invoke(self.task, value, ctx, {})))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # user code: whatever it raises ends a task, not its worker
            return raised(error)

    def _kept(self, work: Work) -> Suspended | None:
        """The code of the task that was suspended in this process, where it can go on as it stands."""
        from headrace.runtime.durable.kept import taken

        return taken(_where(work), self.task, work.durable_log)

    async def _run_durable(self, work: Work, value: Any, ctx: Context) -> Outcome:
        """The code runs on a task of its own, which is left where it stands when it is suspended; its dependencies are closed then."""
        import asyncio

        from headrace.context.durable import DurableContext
        from headrace.runtime.durable.run import DurableRun

        value = await self.task.middleware.aio_begin(value, ctx)
        async with AsyncExitStack() as stack:
            found = await aio_resolve(self.task.dependencies, {}, value, ctx, stack)
            policy = self.task.options.eviction_policy
            run = DurableRun(
                _where(work), work, self.task, ctx.task_run_id,
                holds=policy is not None and policy.holds, stays=not found and self.task.middleware.is_empty,
            )  # fmt: skip

            async def code() -> Outcome:
                try:
                    output = await self.task.fn(value, ctx, **found)
                    return Succeeded(output_text(await self.task.middleware.aio_end(output, ctx)))
                except asyncio.CancelledError:
                    raise
                except BaseException as error:  # noqa: BLE001  # user code: whatever it raises ends a task, not its worker
                    return raised(error)

            if isinstance(ctx, DurableContext):
                ctx._durable, ctx._namespace = run, self.task.namespace
            with running(work, ctx, operations=run) as spawner:
                run.followed_by(ctx._moves, spawner.moves)
                return await run.run(code)

    def _context(self, work: Work) -> Context:
        lifespan = self.worker.lifespan_value
        kind = Context
        if self.task.is_durable:
            from headrace.context.durable import DurableContext

            kind = DurableContext
        return kind(work, worker=self.worker.name, labels=self.worker.labels, lifespan=lifespan)


def invoke(task: Task[Any, Any], value: Any, ctx: Context, given: Mapping[str, Any]) -> Any:
    """Call a sync task with its dependencies; they are closed when it is done."""
    value = task.middleware.begin(value, ctx)
    with ExitStack() as stack:
        output = task.fn(value, ctx, **resolve(task.dependencies, given, value, ctx, stack))
    return task.middleware.end(output, ctx)


async def aio_invoke(task: Task[Any, Any], value: Any, ctx: Context, given: Mapping[str, Any]) -> Any:
    """As `invoke`, for an async task."""
    value = await task.middleware.aio_begin(value, ctx)
    async with AsyncExitStack() as stack:
        output = await task.fn(value, ctx, **await aio_resolve(task.dependencies, given, value, ctx, stack))
    return await task.middleware.aio_end(output, ctx)


def _where(work: Work) -> str:
    return f"task {work.task} of run {work.record.run_id}"


class running:
    """Within it, what is started is a child of this task."""

    __slots__ = ("_spawner", "_token")

    def __init__(self, work: Work, ctx: Context, *, operations: DurableRun | None = None) -> None:
        self._spawner = Spawner(
            work.record, work.task, ctx, durable=operations is not None, operations=operations
        )

    def __enter__(self) -> Spawner:
        self._token = current.set(self._spawner)
        return self._spawner

    def __exit__(self, *raised: object) -> None:
        current.reset(self._token)


def invalid_input(work: Work, error: BaseException) -> Raised:
    """An input that its validator refuses fails the task at once: another attempt would see the same."""
    plan = work.record.plan
    where = f"task {work.task}" if plan.standalone else f"task {work.task} of workflow {plan.workflow}"
    info = info_of(error)
    if is_validation_error(error):
        info = replace(info, trace="")
        why = info.message
    else:
        why = f"{info.type}: {info.message}"
    return Raised(replace(info, message=f"The input of {where} is not valid: {why}"), retryable=False)


def raised(error: BaseException) -> Raised:
    """What user code raised, with its traceback from the user's own first line on."""
    return Raised(info_of(error), retryable=not is_final(error))
