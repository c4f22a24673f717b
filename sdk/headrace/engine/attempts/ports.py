"""The port between the engine and user code: what an attempt gets, what it may ask for, what came of it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from headrace.core.durable.log import Branch, Entry
from headrace.core.run.ids import task_run_id
from headrace.core.run.record import ErrorInfo, RunRecord
from headrace.core.run.transitions.fence import Attempt
from headrace.core.values import dataclass
from headrace.telemetry.events import Listener, TaskEvent

if TYPE_CHECKING:
    from headrace.engine.attempts.starts import Start


class TaskTimeout(BaseException):
    """Raised inside sync user code at its deadline. Not an Exception, so that `except Exception` does not swallow it."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The task returned: the JSON text of an object, or None."""

    output: str | None


@dataclass(frozen=True, slots=True)
class Raised:
    """The task raised, or what it was given or returned is not valid."""

    error: ErrorInfo
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class SuspendedOnOperations:
    """A durable task ends its invocation, and goes on once one of its operations is answered: by time alone at `due_at_ms`."""

    due_at_ms: int | None


@dataclass(frozen=True, slots=True)
class EachEnded:
    """A batch ended: how each of its members did, by its run's id."""

    endings: Mapping[str, Succeeded | Raised]


Outcome: TypeAlias = Succeeded | Raised | SuspendedOnOperations | EachEnded


class DurableLog(Protocol):
    """The log of a durable task, for the attempt that runs it. Every method but `put` and `now_ms` may block."""

    @property
    def hold_s(self) -> float:
        """How long an invocation waits for what may be answered soon before it suspends."""
        ...

    @property
    def stays(self) -> bool:
        """Whether code that is suspended may go on in this process, where its log is as it was left."""
        ...

    def answered_since(self, left: DurableLog) -> list[Entry] | None:
        """The operations that were answered since an attempt has suspended with `left`, where nothing else has happened to the log since; this
        log then goes by what that one knows, and needs no `load`. None: something has, or may have."""
        ...

    @property
    def reads(self) -> bool:
        """Whether `load` has to read something, and so may block."""
        ...

    def load(self) -> list[Entry]:
        """All entries, by node."""
        ...

    @property
    def resumed(self) -> bool:
        """Whether the invocation goes on with an attempt that was suspended; otherwise it is the first of an attempt."""
        ...

    @property
    def branches(self) -> Sequence[Branch]:
        """The branches that the log has gone by, once it is loaded."""
        ...

    def now_ms(self) -> int: ...

    def put(self, entries: Iterable[Entry]) -> None:
        """Add entries, or replace what was there; not written yet."""
        ...

    @property
    def changed(self) -> bool:
        """Whether something was put that is not written."""
        ...

    def save(self) -> bool:
        """Write what was put. False: the attempt is fenced, or its run was cancelled."""
        ...

    def look(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of the entries that are answered by now, with their order. Nothing is written."""
        ...

    def arm(self, entries: Sequence[Entry]) -> None:
        """Have events find open operations."""
        ...

    def disarm(self, entries: Sequence[Entry]) -> None: ...

    def before_suspension(self) -> int | None:
        """Have events find all that is open; when time alone answers the first."""
        ...


class Running(Protocol):
    """The code of an attempt, which may outlast it."""

    @property
    def lives(self) -> bool: ...

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        ...


class Control(Protocol):
    """What a running task may ask of its engine. Every method may be called from any thread."""

    def remaining_s(self) -> float:
        """Time left to the attempt; the invocation's own end counts too."""
        ...

    def refresh_timeout(self, seconds: float) -> None:
        """Move the deadline of this attempt by `seconds` and keep the lease in step."""
        ...

    def is_cancelled(self) -> bool:
        """Whether the run was cancelled, or this attempt lost its lease, as far as is known here."""
        ...

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call back (once, from some thread) when `is_cancelled` turns true."""
        ...

    def cancel(self) -> None:
        """Cancel this run."""
        ...

    def release_slot(self) -> None:
        """Give the worker's slot back while the code goes on."""
        ...

    def log(self, line: str, *, level: str = "INFO") -> None:
        """Store a log line (cut at 10,000 characters, 1,000 lines a task)."""
        ...

    def put_stream(self, chunk: str | bytes) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt as the runnable sees it."""

    record: RunRecord
    task: str
    attempt: Attempt
    input: str | None
    output_of: Callable[[str], str | None]
    """The JSON text of an ancestor's output (loaded when asked for); KeyError if it has none."""
    control: Control
    durable_log: Callable[[], DurableLog]
    """The log of a durable task; made when asked for."""
    members: tuple[Work, ...] = ()
    """Of a batch: each of its members, this one among them."""

    @property
    def task_run_id(self) -> str:
        return task_run_id(self.record.plan, self.record.run_id, self.task)

    @property
    def described(self) -> str:
        """The task for people: its name, its workflow's where that is another, its run."""
        plan = self.record.plan
        whose = "" if plan.standalone else f" of workflow {plan.workflow}"
        return f"task {self.task}{whose} (run {self.record.run_id})"

    @property
    def errors(self) -> Mapping[str, ErrorInfo]:
        """The errors of the run's failed tasks, by task name."""
        return {
            name: row.error
            for name, row in self.record.tasks.items()
            if row.error is not None and row.settled
        }


class Runnable(Protocol):
    """A task's code. `call` runs on the handler's thread; `acall` on the process's one event loop."""

    @property
    def is_async(self) -> bool: ...

    def call(self, work: Work) -> Outcome:
        """Validates, runs, serialises. Lets TaskTimeout pass."""
        ...

    async def acall(self, work: Work) -> Outcome:
        """As `call`. Lets asyncio.CancelledError pass."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A worker as a process or an execution environment: its queue, its code, how it runs and how it ends."""

    worker: str
    runnables: Mapping[tuple[str, str], Runnable]
    """(workflow name, task name) -> code."""
    visibility_s: int = 60
    listeners: Sequence[Listener] = ()
    """What is told of events of tasks, for metrics."""
    stop_process: Callable[[str], None] | None = None
    """What ends code that cannot be interrupted: `os._exit` in a Lambda and in a worker process with one slot.
    None (threads, tests): the thread is left behind."""
    left_behind: Callable[[Running], object] = lambda code: None
    """Is told of code that still runs although its attempt is over: the host's place for a task is not free before it has ended."""
    time_left_ms: Callable[[], int] = lambda: 900_000
    """Time left to this invocation (Lambda's `get_remaining_time_in_millis`)."""
    stopping: Callable[[], bool] = lambda: False
    """Whether the host is about to end: it waits for nothing any more."""
    context: Callable[[], contextvars.Context] = contextvars.copy_context
    """The context that a task's code runs in: the caller's, with what the worker's lifespan set."""
    start: Start | None = None
    """Starts runs through the app's one door: for crons and schedules that are due."""
    together: Callable[[Sequence[Callable[[], Any]]], Sequence[Any]] | None = None
    """Runs chains of async tasks side by side, and returns once all have ended: in a Lambda, whose invocation costs the same however many of
    them wait in it. None: the host's slots say how many it runs at once, so each gets a message."""
    keeps_code: bool = False
    """Whether suspended code goes on where it stands when its message comes to this process, in place of running again from its first line."""
    labels: Callable[[], Mapping[str, str | int]] | None = None
    """A process's labels as they are now; None on Lambda, where every execution environment has those declared."""

    def tell(self, event: TaskEvent) -> None:
        for listener in self.listeners:
            listener.heard(event)


@dataclass(frozen=True, slots=True)
class Done:
    """Delete the message."""


@dataclass(frozen=True, slots=True)
class Later:
    """Leave the message; it is hidden for `seconds` already. Lambda: report it as a batch item failure."""

    seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class Poison:
    """Nothing can be made of the message: let it go to the dead-letter queue, with the reason logged."""

    reason: str


Disposition: TypeAlias = Done | Later | Poison
