"""A batch task's code as the engine runs it: each member's input is validated, the function is called once, each output serialised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.context.context import Context
from headrace.core.run.record import ErrorInfo
from headrace.core.sealed import opened
from headrace.engine.attempts.ports import EachEnded, Outcome, Raised, Succeeded, TaskTimeout, Work
from headrace.runtime.code import aio_invoke, invalid_input, invoke, raised, running
from headrace.values.codec import output_text

if TYPE_CHECKING:
    from headrace.definitions.task import Task
    from headrace.definitions.worker import Worker


class BatchRunnable:
    """One batch task on one worker. Its context is that of the batch's first member."""

    __slots__ = ("broadcast", "task", "worker")

    def __init__(self, task: Task[Any, Any], worker: Worker, *, broadcast: bool) -> None:
        self.task = task
        self.worker = worker
        self.broadcast = broadcast

    @property
    def is_async(self) -> bool:
        return self.task.is_async_function

    def call(self, work: Work) -> Outcome:
        members = _Members(self.task, work.members)
        if not members.inputs:
            return EachEnded(members.refused)
        try:
            ctx = self._context(members.first)
            with running(members.first, ctx):
                value = invoke(self.task, members.inputs, ctx, {})
        except TaskTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  # user code: whatever it raises ends a task, not its worker
            return members.ended(raised(error))
        return members.outcome(value, broadcast=self.broadcast)

    async def acall(self, work: Work) -> Outcome:
        import asyncio

        members = _Members(self.task, work.members)
        if not members.inputs:
            return EachEnded(members.refused)
        try:
            ctx = self._context(members.first)
            with running(members.first, ctx):
                value = await aio_invoke(self.task, members.inputs, ctx, {})
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # user code: whatever it raises ends a task, not its worker
            return members.ended(raised(error))
        return members.outcome(value, broadcast=self.broadcast)

    def _context(self, work: Work) -> Context:
        return Context(
            work, worker=self.worker.name, labels=self.worker.labels, lifespan=self.worker.lifespan_value
        )


class _Members:
    """The members of a batch: those whose input is valid, by the id of their task run, and why the others are refused."""

    def __init__(self, task: Task[Any, Any], works: tuple[Work, ...]) -> None:
        self._task = task
        self.inputs: dict[str, Any] = {}
        self.refused: dict[str, Succeeded | Raised] = {}
        self._works: dict[str, Work] = {}
        for work in works:
            try:
                value = task.input_codec.parse(opened("the input", work.input))
            except TaskTimeout:
                raise
            except BaseException as error:  # noqa: BLE001  # a validator is user code
                self.refused[work.record.run_id] = invalid_input(work, error)
                continue
            name = work.task_run_id
            self.inputs[name], self._works[name] = value, work

    @property
    def first(self) -> Work:
        return next(iter(self._works.values()))

    def ended(self, ending: Raised) -> EachEnded:
        """All that were called ended so."""
        return EachEnded({**self.refused, **{work.record.run_id: ending for work in self._works.values()}})

    def outcome(self, value: Any, *, broadcast: bool) -> EachEnded:
        """What each member is to have of what the function returned."""
        outputs = dict.fromkeys(self.inputs, value) if broadcast else value
        wrong = None if broadcast else self._what_is_wrong_with(outputs)
        if wrong is not None:
            return self.ended(
                Raised(ErrorInfo(type="IllegalTaskOutputError", message=wrong), retryable=False)
            )
        each = {work.record.run_id: _text(outputs[name]) for name, work in self._works.items()}
        return EachEnded({**self.refused, **each})

    def _what_is_wrong_with(self, outputs: Any) -> str | None:
        what = f"Batch task '{self._task.name}'"
        if not isinstance(outputs, Mapping):
            return f"{what} must return a dict of outputs, not {type(outputs).__name__}"
        unknown = sorted(str(name) for name in outputs.keys() - self.inputs.keys())
        if unknown:
            return f"{what} returned outputs for unknown step run ids: {', '.join(unknown[:10])}"
        if len(outputs) != len(self.inputs):
            return f"{what} returned {len(outputs)} outputs for {len(self.inputs)} inputs"
        return None


def _text(value: Any) -> Succeeded | Raised:
    """One output as it is stored; one that cannot be fails its member alone."""
    try:
        return Succeeded(output_text(value))
    except TaskTimeout:
        raise
    except BaseException as error:  # noqa: BLE001  # serialisers are user code
        return raised(error)
