"""Where a tracer hears of what is asked for and of what runs.

None is installed until `headrace.opentelemetry` installs one: without it, each place that tells a tracer costs one look at
`installed`, and no import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias

from headrace.core.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.durable.log import Entry
    from headrace.core.events.event import Event
    from headrace.core.run.plans.plan import Json
    from headrace.core.run.record import ErrorInfo, RunRecord
    from headrace.core.run.request import StartRun


@dataclass(frozen=True, slots=True)
class Returned:
    """The code returned."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The code raised, or ran past its limit."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class WentToSleep:
    """The code is suspended: it goes on in another invocation."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run was cancelled, or another attempt has taken the task over."""


Ended: TypeAlias = Returned | Failed | WentToSleep | Stopped


class AttemptSpan(Protocol):
    """The span of one attempt."""

    @property
    def name(self) -> str:
        """What the task's row keeps, so that later tasks of the run can link to it."""
        ...

    def enter(self) -> None:
        """Make it the current span of the context that this is called in."""
        ...

    def end(self, how: Ended) -> None:
        """End it. Only the first call counts."""
        ...


class Tracing(Protocol):
    """A tracer. What it hands back carries the context of the span that it opened, for whatever is started under it."""

    def starting(self, wanted: Sequence[StartRun]) -> AbstractContextManager[Sequence[StartRun]]: ...

    def pushing(self, events: Sequence[Event], *, bulk: bool) -> AbstractContextManager[Sequence[Event]]: ...

    def scheduling(
        self, workflow: str, due_ms: int, metadata: Mapping[str, Json]
    ) -> AbstractContextManager[Mapping[str, Json]]: ...

    def attempt(self, worker: str, work: Sequence[tuple[RunRecord, str]]) -> AttemptSpan:
        """An attempt of `worker` at a task of a run begins; at several, where one call does the work of a batch."""
        ...

    def waiting(self, task_external_id: str, wait: Entry, says: str) -> Callable[[], None]:
        """A durable task begins to wait; what is returned ends the span."""
        ...

    def flush(self) -> None:
        """Hand on what was collected: the process may be frozen, or ended, right after."""
        ...


installed: Tracing | None = None
"""The tracer of this process."""


def install(tracing: Tracing | None) -> None:
    """Tell this tracer of everything from here on; None: tell no one."""
    global installed
    installed = tracing


def flush() -> None:
    """Hand on what the tracer has collected, where there is one."""
    if installed is not None:
        installed.flush()


@contextmanager
def starting(wanted: Sequence[StartRun]) -> Iterator[Sequence[StartRun]]:
    """The starts that are asked for, carrying the trace."""
    if installed is None or not wanted:
        yield wanted
        return
    with installed.starting(wanted) as traced:
        yield traced


@contextmanager
def pushing(events: Sequence[Event], *, bulk: bool) -> Iterator[Sequence[Event]]:
    """The events that are pushed, carrying the trace in their metadata."""
    if installed is None or not events:
        yield events
        return
    with installed.pushing(events, bulk=bulk) as traced:
        yield traced


@contextmanager
def scheduling(workflow: str, due_ms: int, metadata: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """The metadata of a run that is scheduled, carrying the trace."""
    if installed is None:
        yield metadata
        return
    with installed.scheduling(workflow, due_ms, metadata) as traced:
        yield traced
