"""What is noted while a world runs: how often code ran and how it ended, what it did outside, and which limits were broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import run_status
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import run_key
from headrace.core.waits.holders import state_of
from headrace.core.waits.passes import Pass, passes
from headrace.engine.attempts.ports import Raised, Succeeded, SuspendedOnOperations
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from headrace.runtime.deadline import Ending, Interrupted, TimedOut
from headrace_infra.testing.simulated.process import Process, current

if TYPE_CHECKING:
    from headrace_infra.testing.simulated.hub import Hub

NON_DETERMINISM = "NonDeterminismError"
LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a story: when, in milliseconds since the world began, and what."""

    at_ms: int
    text: str
    is_fault: bool = False

    def __str__(self) -> str:
        return f"{self.at_ms / 1000:>9.3f} s  {'!! ' if self.is_fault else ''}{self.text}"


@dataclass(slots=True)
class Watch:
    """Notes of one world. `effects` counts calls of the functions that are to be done once: by run, name and arguments."""

    world: Hub
    story: list[Line] = field(default_factory=list)
    executions: Counter[tuple[str, str]] = field(default_factory=Counter)
    effects: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    running: dict[int, tuple[Engine, Claimed]] = field(default_factory=dict)

    def tell(self, text: str, *, is_fault: bool = False) -> None:
        at_ms = self.world.clock.now_ms() - self.world.began_ms
        self.story.append(Line(at_ms=at_ms, text=text, is_fault=is_fault))

    # ---- names for people

    def name_run(self, run_id: str, workflow: str) -> str:
        """`run 1 of order`; children are numbered as they appear."""
        if run_id not in self.names:
            self.names[run_id] = f"run {len(self.names) + 1} of {workflow}"
        return self.names[run_id]

    def root_of(self, run_id: str) -> str:
        """The run that nothing started, above this one."""
        seen = {run_id}
        while True:
            record = self.record(run_id)
            if record is None or record.parent is None or record.parent.run_id in seen:
                return run_id
            run_id = record.parent.run_id
            seen.add(run_id)

    def record(self, run_id: str) -> RunRecord | None:
        item = self.world.store.peek(run_key(run_id))
        return record_in(self.world.engine, item) if item is not None else None

    # ---- executions

    def began(self, process: Process, engine: Engine, claimed: Claimed) -> None:
        record, task = claimed.record, claimed.attempt.task
        name = self.name_run(record.run_id, record.plan.workflow)
        self.executions[record.run_id, task] += 1
        count = self.executions[record.run_id, task]
        again = f", execution {count}" if count > 1 else ""
        self.tell(f"{process.name} runs {task} of {name}{again}")
        self.running[id(process)] = (engine, claimed)
        self._check_limits(engine, claimed)

    def ended(self, process: Process, claimed: Claimed, ending: Ending | None) -> None:
        self.running.pop(id(process), None)
        task = claimed.attempt.task
        self.tell(f"{process.name}: {task} {_ended(ending)}")
        if isinstance(ending, Raised) and ending.error.type == NON_DETERMINISM:
            self.broken.append(f"non-determinism: {ending.error.message}")

    def died(self, process: Process) -> None:
        self.running.pop(id(process), None)

    def _check_limits(self, engine: Engine, claimed: Claimed) -> None:
        """Of the attempts that hold their lease, no more run than each of their limits admits."""
        if not self._owns(claimed):
            return
        for mine in _passes(engine, claimed):
            held = {
                other.member: other.cost
                for engine_of, each in self.running.values()
                if self._owns(each)
                for other in _passes(engine_of, each)
                if other.gate == mine.gate and other.run_id not in self._evicted(mine)
            }
            most = max(mine.limit, mine.planned)
            if sum(held.values()) > most:
                self.broken.append(f"limit {mine.name!r} admits {most}, and {sum(held.values())} ran at once")

    def _evicted(self, of: Pass) -> Any:
        from headrace.core.table import gate_key

        return state_of(self.world.store.peek(gate_key(of.gate))).evicted

    def _owns(self, claimed: Claimed) -> bool:
        record = self.record(claimed.record.run_id)
        if record is None or record.cancelled_at_ms is not None:
            return False
        row = record.tasks.get(claimed.attempt.task)
        return (
            row is not None
            and row.status is TaskStatus.RUNNING
            and row.owner == claimed.attempt.owner
            and (row.lease_until_ms or 0) > self.world.clock.now_ms()
        )

    # ---- effects

    def effect(self, name: str, key: str) -> None:
        """Something was done outside, which is to be done once."""
        process = current()
        root = self.root_of(process.run_id) if process is not None and process.run_id else ""
        self.effects[root, name, key] += 1
        count = self.effects[root, name, key]
        again = f", the {_nth(count)} time" if count > 1 else ""
        self.tell(f"{process.name if process is not None else 'the test'}: {name}({key}){again}")

    def once(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The function, each of whose calls that returns is noted; a worker can die before it and after it."""
        if iscoroutinefunction(function):

            @wraps(function)
            async def aio_noted(*args: Any, **kwargs: Any) -> Any:
                self.world.may_die(f"before {name}")
                value = await function(*args, **kwargs)
                self.effect(name, _shown(args, kwargs, function))
                self.world.may_die(f"after {name}")
                return value

            return aio_noted

        @wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            self.world.may_die(f"before {name}")
            value = function(*args, **kwargs)
            self.effect(name, _shown(args, kwargs, function))
            self.world.may_die(f"after {name}")
            return value

        return noted

    # ---- at rest

    def outcomes(self) -> dict[str, RunRecord]:
        """Every run's record, in the order in which they were named."""
        found = [
            record_in(self.world.engine, item)
            for item in self.world.store.items("run#")
            if item["sk"] == "run"
        ]
        for record in sorted(found, key=lambda each: (each.created_at_ms, each.run_id)):
            self.name_run(record.run_id, record.plan.workflow)
        return {record.run_id: record for record in found}


def status_of(record: RunRecord) -> str:
    """COMPLETED, FAILED, …; WAITING where only an event or a person can end it."""
    status = run_status(record)
    if status.value in ("QUEUED", "RUNNING") and any(
        state.status is TaskStatus.SUSPENDED or (state.row is not None and state.row.waits_at is not None)
        for state in states(record).values()
    ):
        return "WAITING"
    return status.value


def reason_of(record: RunRecord) -> str:
    """Why a run did not complete: its first error, or why it was cancelled."""
    for name, row in record.tasks.items():
        if row.error is not None:
            return f"{name}: {row.error.type}: {row.error.message}"[:LONGEST_TEXT]
    return record.cancel_reason or ""


def _passes(engine: Engine, claimed: Claimed) -> tuple[Pass, ...]:
    record, attempt = claimed.record, claimed.attempt
    worker = worker_of(record, attempt.task)
    return passes(record, attempt.task, attempt.ticket, worker=worker, limits=engine.gate_limits())


def _ended(ending: Ending | None) -> str:
    match ending:
        case None:
            return "was cut off"
        case Succeeded():
            return "returned"
        case Raised(error):
            return f"raised {error.type}: {error.message}"[:LONGEST_TEXT]
        case TimedOut(limit_s):
            return f"outlasted its limit of {limit_s:g} s"
        case Interrupted():
            return "was cancelled"
        case SuspendedOnOperations():
            return "is suspended: its invocation ends"
        case _:
            return "ended, with each member of its batch"


def _shown(args: tuple[Any, ...], kwargs: dict[str, Any], function: Callable[..., Any]) -> str:
    own = args[1:] if "." in function.__qualname__.rpartition("<locals>.")[2] else args
    parts = [repr(each) for each in own] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return ", ".join(parts)[:LONGEST_TEXT]


def _nth(count: int) -> str:
    return {2: "second", 3: "third"}.get(count, f"{count}th")
