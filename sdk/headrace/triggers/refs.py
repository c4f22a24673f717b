"""References to runs: what `run(..., wait_for_result=False)` gives, and what `get_run_ref` makes of an id."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from headrace.errors import FailedTaskRunExceptionGroup, RunCancelled, RunNotFound, TaskRunError
from headrace.triggers.children import current
from headrace.triggers.results.outcomes import Connected, Outputs, outcomes_of
from headrace.triggers.results.waiting import aio_wait, wait

if TYPE_CHECKING:
    from typing import Literal

    from headrace.core.run.record import RunRecord

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")


class _Ref(Generic[R]):
    """A run by its id. Any process that reaches the stack can wait for it, as long as the run is retained."""

    __slots__ = ("_app", "_debounce", "_may_wait", "_parse", "workflow_run_id")

    def __init__(
        self,
        app: Connected,
        run_id: str,
        parse: Callable[[Outputs], R],
        may_wait: Callable[[], None] | None = None,
    ) -> None:
        self._app = app
        self._may_wait = may_wait  # raises where the run is in another zone's table
        self._parse = parse
        self._debounce: str | None = None  # what it waits for before there is a run
        self.workflow_run_id = run_id

    def result(self) -> R:
        """Wait for the run's end and give its result.

        FailedTaskRunExceptionGroup where it FAILED; RunCancelled where it was CANCELLED, RunNotFound where there is none (both are ValueErrors).
        """
        self._await_start()
        return gather(self._app, [self])[0]

    def _await_start(self) -> None:
        if self._debounce is not None:
            from headrace.triggers.debounced import await_start

            await_start(self._app, self.workflow_run_id, self._debounce)

    async def aio_result(self) -> R:
        """As `result`, on the event loop. A CANCELLED run raises nothing: it gives what its finished tasks returned."""
        import asyncio

        if self._debounce is not None:
            await asyncio.to_thread(self._await_start)
        return (await aio_gather(self._app, [self]))[0]

    def stream(self) -> AsyncIterator[str | bytes]:
        """Deprecated: use `runs.subscribe_to_stream(run_id)`."""
        from headrace.triggers.results.stream import subscribe

        warnings.warn(
            "use runs.subscribe_to_stream(run_id) in place of ref.stream()", DeprecationWarning, stacklevel=2
        )
        return subscribe(self._app, self.workflow_run_id)

    def __str__(self) -> str:
        return self.workflow_run_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_run_id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ref) and other.workflow_run_id == self.workflow_run_id

    def __hash__(self) -> int:
        return hash(self.workflow_run_id)


def _as_it_is(outputs: Outputs) -> Outputs:
    return outputs


class TaskRunRef(_Ref[R], Generic[I, R]):
    """A run of a standalone task; `parse` makes the task's result of `{task name: output}`."""

    __slots__ = ()


class WorkflowRunRef(TaskRunRef[Any, Outputs]):
    """A run of a workflow; its result is `{task name: output}`."""

    __slots__ = ()

    def __init__(self, app: Connected, run_id: str) -> None:
        super().__init__(app, run_id, _as_it_is)


@overload
def gather(
    app: Connected, refs: Sequence[_Ref[R]], *, return_exceptions: Literal[False] = False
) -> list[R]: ...
@overload
def gather(
    app: Connected, refs: Sequence[_Ref[R]], *, return_exceptions: bool
) -> list[R | BaseException]: ...


def gather(app: Connected, refs: Sequence[_Ref[R]], *, return_exceptions: bool = False) -> Any:
    """The results of many runs in the order given, waited for together.

    Raises the first failure in that order, or puts every failure in its place if `return_exceptions`.
    """
    _check_zones(refs)
    records = wait(app, [ref.workflow_run_id for ref in refs])
    return _results(app, refs, records, return_exceptions=return_exceptions, lenient=False)


@overload
async def aio_gather(
    app: Connected, refs: Sequence[_Ref[R]], *, return_exceptions: Literal[False] = False
) -> list[R]: ...
@overload
async def aio_gather(
    app: Connected, refs: Sequence[_Ref[R]], *, return_exceptions: bool
) -> list[R | BaseException]: ...


async def aio_gather(app: Connected, refs: Sequence[_Ref[R]], *, return_exceptions: bool = False) -> Any:
    """As `gather`, on the event loop, with the reading of `aio_result`."""
    import asyncio

    _check_zones(refs)
    records = await aio_wait(app, [ref.workflow_run_id for ref in refs])
    spawner = current.get()
    durable = spawner is not None and spawner.durable
    found: list[Any] = await asyncio.to_thread(
        _results, app, refs, records, return_exceptions=return_exceptions or durable, lenient=not durable
    )
    if not durable:
        return found
    found = [_inside_durable(each) for each in found]
    failed = next((each for each in found if isinstance(each, Exception)), None)
    if failed is not None and not return_exceptions:
        raise failed
    return found


def _check_zones(refs: Sequence[_Ref[R]]) -> None:
    """ZoneError where this process knows that a run is in another zone's table: it would wait for ever."""
    for ref in refs:
        if ref._may_wait is not None:
            ref._may_wait()


def _inside_durable(result: Any) -> Any:
    """A durable parent gets the first failed task's own error, and of a cancelled child that it was cancelled (PARITY C5)."""
    if isinstance(result, FailedTaskRunExceptionGroup) and result.exceptions:
        return result.exceptions[0]
    if isinstance(result, RunCancelled):
        return TaskRunError("task was cancelled", "CancelledError")
    return result


def _results(
    app: Connected,
    refs: Sequence[_Ref[R]],
    records: Sequence[RunRecord | None],
    *,
    return_exceptions: bool,
    lenient: bool,
) -> list[R | Exception]:
    outcomes = iter(outcomes_of(app, [record for record in records if record is not None], lenient=lenient))
    out: list[R | Exception] = []
    for ref, record in zip(refs, records, strict=True):
        found = next(outcomes) if record is not None else RunNotFound(ref.workflow_run_id)
        result: R | Exception = found if isinstance(found, Exception) else _parsed(ref._parse, found)
        if isinstance(result, Exception) and not return_exceptions:
            raise result
        out.append(result)
    return out


def _parsed(parse: Callable[[Outputs], R], outputs: Outputs) -> R | Exception:
    try:
        return parse(outputs)
    except Exception as error:  # noqa: BLE001  # the output type is the user's: its validators may raise anything
        return error
