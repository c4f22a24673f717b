"""A task's code as the engine runs it: validate, resolve dependencies, call, serialise."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.context.context import Context, DurableContext
from headrace.context.depends import aio_resolve, resolve
from headrace.core.waits.points import AtChildren
from headrace.engine.runs.ports import Outcome, Raised, Succeeded, Suspended, TaskTimeout, Work
from headrace.triggers.children import Spawner, current
from headrace.triggers.waiting import Suspend
from headrace.values.codec import is_validation_error, output_text
from headrace.values.failures import info_of, is_final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.definitions.task import Task
    from headrace.definitions.worker import Worker


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
            value = self.task.input_codec.parse(work.input)
        except TaskTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  # a validator is user code
            return invalid_input(work, error)
        try:
            ctx = self._context(work)
            with _running(work, ctx):
                return Succeeded(output_text(invoke(self.task, value, ctx, {})))
        except TaskTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  # user code: whatever it raises ends a task, not its worker
            return raised(error)

    async def acall(self, work: Work) -> Outcome:
        import asyncio

        try:
            value = self.task.input_codec.parse(work.input)
        except BaseException as error:  # noqa: BLE001  # a validator is user code
            return invalid_input(work, error)
        try:
            ctx = self._context(work)
            with _running(work, ctx, durable=self.task.is_durable):
                return Succeeded(output_text(await aio_invoke(self.task, value, ctx, {})))
        except Suspend as suspend:
            return Suspended(AtChildren(suspend.first))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # user code: whatever it raises ends a task, not its worker
            return raised(error)

    def _context(self, work: Work) -> Context:
        lifespan = self.worker.lifespan_value
        kind = DurableContext if self.task.is_durable else Context
        return kind(work, worker=self.worker.name, labels=self.worker.labels, lifespan=lifespan)


def invoke(task: Task[Any, Any], value: Any, ctx: Context, given: Mapping[str, Any]) -> Any:
    """Call a sync task with its dependencies; they are closed when it is done."""
    with ExitStack() as stack:
        return task.fn(value, ctx, **resolve(task.dependencies, given, value, ctx, stack))


async def aio_invoke(task: Task[Any, Any], value: Any, ctx: Context, given: Mapping[str, Any]) -> Any:
    """As `invoke`, for an async task."""
    async with AsyncExitStack() as stack:
        return await task.fn(value, ctx, **await aio_resolve(task.dependencies, given, value, ctx, stack))


@contextmanager
def _running(work: Work, ctx: Context, *, durable: bool = False) -> Iterator[None]:
    token = current.set(Spawner(work.record, work.task, ctx, durable=durable))
    try:
        yield
    finally:
        current.reset(token)


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
