"""Run one claimed attempt and commit what came of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import field, replace
from functools import cache
from typing import TYPE_CHECKING, TypeAlias, TypeVar, assert_never

from headrace.core.changes import Applied, Put, Update, Written
from headrace.core.run.backoff import RetryIn
from headrace.core.run.error_text import LEAST_BYTES, bytes_for, cut
from headrace.core.run.graph import ancestors, state_of
from headrace.core.run.history import encode_error_item
from headrace.core.run.owed import owed_after
from headrace.core.run.plans.plan import Json, TaskKind, TaskPlan
from headrace.core.run.record import ErrorInfo, Payload, RunRecord, TaskRow, TaskStatus
from headrace.core.run.stored.record import encode_record
from headrace.core.run.stored.rows import marked
from headrace.core.run.transitions.commit import (
    Evaluated,
    Fenced,
    complete,
    fail,
    judge_commit,
    retry_of,
    suspend,
)
from headrace.core.run.transitions.fence import Attempt
from headrace.core.sealed import opened
from headrace.core.sizes import item_bytes
from headrace.core.table import attempt_key, output_key
from headrace.core.values import dataclass
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.runs.patience import INVOCATION_MARGIN_MS, patiently
from headrace.engine.runs.pay import has_gates, pay
from headrace.engine.runs.payloads import load_output, place_output, save
from headrace.engine.runs.ports import (
    EachEnded,
    Host,
    Raised,
    Runnable,
    Succeeded,
    SuspendedOnOperations,
    Work,
)
from headrace.engine.runs.read import SKIPPED_OUTPUT
from headrace.errors import ExpressionError, PayloadTooLargeError, RequestRefused
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending, Interrupted, TimedOut, execute
from headrace.runtime.heartbeat import Beats, Heartbeat
from headrace.telemetry import tracing

if TYPE_CHECKING:
    from headrace.core.durable.log import Entry, Part
    from headrace.engine.durable.journal import Journal
    from headrace.runtime.overstaying import Overstaying

UNIT_BYTES = 1_024
"""A write unit is so many bytes of the item, begun ones counted."""

RESERVED_BYTES = 150
"""For the record's key, and for what the next attempt adds to it."""

MAX_MESSAGE_CHARS = 2_000
"""What of a condition's error goes into the record: its size is billed at every write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An attempt that holds its task: the record after the claim, and the input where the message carried it."""

    record: RunRecord
    attempt: Attempt
    received: Received
    input: str | None = None
    outputs: dict[str, str | None] = field(
        default_factory=dict
    )  # of this chain, so that nothing is read twice
    keep_lease: Callable[[LiveControl], bool] | None = None  # of a batch: in place of the record's own
    on_timeout: Callable[[TimedOut], object] | None = None  # of a batch: commits its members
    log_parts: Mapping[Part, tuple[Entry, ...]] | None = (
        None  # of a resumed durable task: what was read of its log
    )

    @property
    def plan(self) -> TaskPlan:
        return self.record.plan.task(self.attempt.task)

    @property
    def row(self) -> TaskRow:
        return self.record.tasks[self.attempt.task]


@dataclass(frozen=True, slots=True)
class Ran:
    """How an attempt ended and, where it returned, what is to be stored of it."""

    ending: Ending
    output: Payload
    evaluated: Evaluated
    span: str | None = None
    overstaying: Overstaying | None = None  # the code has not ended, and the task has places
    log: str | None = None  # of a durable task, where it has grown since it was written


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code of a claimed attempt, to be run now: what `Runner` is called with."""

    engine: Engine
    host: Host
    claimed: Claimed
    control: LiveControl
    runnable: Runnable
    work: Work


Runner: TypeAlias = Callable[[Engine, Host, Claimed, LiveControl, Runnable, Work], Ending]
"""How user code is run to its end: for real (`run_live`), or in the virtual time of a simulation."""

Result = TypeVar("Result")
Steps: TypeAlias = Generator[Code, Ending, Result]
"""Work that stops each time code is to be run, and goes on once it is sent how that ended. No thread needs to wait meanwhile."""


def driven(steps: Steps[Result], runner: Runner) -> Result:
    """Take all steps here, each code run by `runner`."""
    try:
        code = next(steps)
        while True:
            try:
                ending = runner(code.engine, code.host, code.claimed, code.control, code.runnable, code.work)
            except BaseException as error:  # noqa: BLE001  # as if it was raised where the code was asked for
                code = steps.throw(error)
            else:
                code = steps.send(ending)
    except StopIteration as end:
        result: Result = end.value
        return result


def beating(engine: Engine, claimed: Claimed, control: LiveControl) -> Heartbeat | Beats:
    """What keeps an attempt's lease and message while its code runs."""
    keep = claimed.keep_lease
    if keep is None:
        return Heartbeat(engine, claimed.received, claimed.record, claimed.attempt, control)
    return Beats(engine.limits, lambda: keep(control))


def run_live(
    engine: Engine, host: Host, claimed: Claimed, control: LiveControl, runnable: Runnable, work: Work
) -> Ending:
    """Run user code under its deadline, with a heartbeat that keeps lease and message."""
    with beating(engine, claimed, control):
        return execute(
            runnable,
            work,
            control,
            grace_s=engine.limits.grace_s,
            stop_process=host.stop_process,
            context=host.context(),
            last_words=lambda timed_out: _last_words(engine, claimed, control, timed_out),
        )


def _overstaying(engine: Engine, claimed: Claimed, control: LiveControl) -> Overstaying | None:
    """What keeps the task's places for its code where that outlasts the attempt. None: the task has none."""
    if not has_gates(engine, claimed.record, claimed.attempt.task):
        return None
    from headrace.runtime.overstaying import Overstaying

    overstaying = Overstaying(engine, claimed.record, claimed.attempt, control.running)
    control.on_cancel(overstaying.cancelled)
    return overstaying


def run(engine: Engine, host: Host, claimed: Claimed) -> Steps[Ran]:
    """Have user code run, place and save its output."""
    runnable = host.runnables.get((claimed.record.plan.workflow, claimed.attempt.task))
    if runnable is None:
        return _unknown(host, claimed)
    limit_s = claimed.plan.execution_timeout_ms / 1000
    ceiling_s = (host.time_left_ms() - INVOCATION_MARGIN_MS) / 1000
    control = LiveControl(engine, claimed.record, claimed.attempt, limit_s=limit_s, ceiling_s=ceiling_s)
    journal = cache(lambda: _journal(engine, claimed))
    span = None
    if tracing.installed is not None:
        from headrace.engine.runs.traced import begin

        span, host = begin(tracing.installed, host, [(claimed.record, claimed.attempt.task)])
    overstaying = _overstaying(engine, claimed, control)
    ending = yield Code(
        engine=engine,
        host=host,
        claimed=claimed,
        control=control,
        runnable=runnable,
        work=work_of(engine, claimed, control, journal),
    )
    if control.running.lives:
        host.left_behind(control.running)
    control.flush()
    ran = patiently(engine, host, lambda: stored(engine, claimed, ending))
    if span is not None:
        from headrace.engine.runs.traced import end

        ran = replace(ran, span=end(span, ran.ending))
    if control.running.lives:
        ran = replace(ran, overstaying=overstaying)
    return replace(ran, log=journal().unwritten()) if journal.cache_info().currsize else ran


def _journal(engine: Engine, claimed: Claimed) -> Journal:
    from headrace.engine.durable.journal import Journal

    return Journal(engine, claimed.record, claimed.attempt, claimed.log_parts)


def _unknown(host: Host, claimed: Claimed) -> Ran:
    task, workflow = claimed.attempt.task, claimed.record.plan.workflow
    message = (
        f"worker {host.worker} has no task {task} of workflow {workflow}: its code is not deployed there"
    )
    return Ran(
        Raised(ErrorInfo(type="UnknownTaskError", message=message), retryable=False), Payload(), Evaluated()
    )


def work_of(
    engine: Engine, claimed: Claimed, control: LiveControl, journal: Callable[[], Journal] | None = None
) -> Work:
    """An attempt as its code sees it."""
    record, task = claimed.record, claimed.attempt.task

    def output_of(name: str) -> str | None:
        if not _readable(claimed, name):
            raise KeyError(name)
        state = state_of(record, name)
        if state is None:
            raise KeyError(name)
        if state.status is TaskStatus.SKIPPED:
            return SKIPPED_OUTPUT
        if state.row is None or state.status is not TaskStatus.COMPLETED:
            raise KeyError(name)
        if name not in claimed.outputs:
            claimed.outputs[name] = opened(f"the output of task {name}", load_output(engine, record, name))
        return claimed.outputs[name]

    return Work(
        record=record,
        task=task,
        attempt=claimed.attempt,
        input=claimed.input,
        output_of=output_of,
        control=control,
        durable_log=journal or (lambda: _journal(engine, claimed)),
    )


def _readable(claimed: Claimed, name: str) -> bool:
    """Whether the attempt's code may read what task `name` returned: an ancestor's output. An on-failure task comes after all others, and
    may read any of theirs."""
    plan = claimed.record.plan
    if claimed.plan.kind is TaskKind.ON_FAILURE:
        return name in plan.by_name
    return name in claimed.plan.parents or name in ancestors(plan, claimed.attempt.task)


def stored(engine: Engine, claimed: Claimed, ending: Ending) -> Ran:
    """Save the output beside the record (under the attempt's own key) and judge the conditions on it."""
    if not isinstance(ending, Succeeded):
        return Ran(ending, Payload(), Evaluated())
    record, attempt = claimed.record, claimed.attempt
    try:
        placed = place_output(engine, record, attempt.task, ending.output)
    except PayloadTooLargeError as error:
        return Ran(
            Raised(ErrorInfo(type="PayloadTooLargeError", message=str(error)), False), Payload(), Evaluated()
        )
    key = output_key(record.run_id, attempt.task, attempt.ticket, marked(attempt.owner))
    save(engine, placed, key, ending.output, expires_at_s=record.expires_at_s)
    claimed.outputs[attempt.task] = ending.output
    return Ran(ending, placed, evaluate(engine, record, attempt.task, ending.output))


def evaluate(engine: Engine, record: RunRecord, task: str, output: str | None) -> Evaluated:
    """The conditions that other tasks put on this one's output."""
    leaves = [leaf for leaf in record.plan.leaves_on(task) if leaf.expression is not None]
    if not leaves:
        return Evaluated()
    import json

    variables = {"output": json.loads(output) if output is not None else {}}
    met: list[int] = []
    broken: list[tuple[int, str]] = []
    for leaf in leaves:
        try:
            value = engine.expressions.evaluate(leaf.expression or "", variables)
        except ExpressionError as error:
            broken.append((leaf.number, str(error)[:MAX_MESSAGE_CHARS]))
            continue
        if value is True:
            met.append(leaf.number)
        elif value is not False:
            broken.append((leaf.number, f"it gives {_shown(value)}: it has to give true or false"))
    return Evaluated(met=tuple(met), broken=tuple(broken))


def _shown(value: Json) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# ---------------------------------------------------------------- commit


@dataclass(frozen=True, slots=True)
class Committed:
    """The record after the commit, whether or not its response came back."""

    record: RunRecord


def commit(engine: Engine, claimed: Claimed, ran: Ran, *, then: Attempt | None = None) -> Committed | Fenced:
    """One fenced write: COMPLETED (with the claim of `then`), the next ticket, or FAILED."""
    if isinstance(ran.ending, Interrupted):
        return Fenced(None)
    now_ms = engine.clock.now_ms()
    try:
        written = engine.store.write(commit_write(engine, claimed, ran, now_ms=now_ms, then=then))
    except RequestRefused as refused:
        written = engine.store.write(without_texts(claimed, refused, now_ms=now_ms))
    return judged(engine, claimed, written)


def commit_write(
    engine: Engine, claimed: Claimed, ran: Ran, *, now_ms: int, then: Attempt | None = None
) -> Update:
    """The commit of an attempt that has ended of itself, or at its limit. What the record has no room for of its error is stored first."""
    record, attempt = claimed.record, claimed.attempt
    if ran.log is not None:
        record = record.with_row(attempt.task, replace(record.tasks[attempt.task], log=ran.log))
    if ran.span is not None:
        record = record.with_row(attempt.task, replace(record.tasks[attempt.task], span=ran.span))
    match ran.ending:
        case Succeeded():
            return complete(record, attempt, ran.output, now_ms=now_ms, evaluated=ran.evaluated, then=then)
        case Raised(error, retryable):
            kept = cut(error, bytes_for(len(record.plan.tasks)))
            beside = _saved_beside(engine, record, attempt, kept, retryable=retryable)
            return fail(record, attempt, kept, now_ms=now_ms, retryable=retryable, beside=beside)
        case TimedOut(limit_s):
            return fail(record, attempt, timeout_error(limit_s), now_ms=now_ms, retryable=True)
        case SuspendedOnOperations(due_at_ms):
            return suspend(record, attempt, now_ms=now_ms, due_at_ms=due_at_ms)
        case Interrupted() | EachEnded():
            raise TypeError(f"{type(ran.ending).__name__} is no end of one task")
        case _:
            assert_never(ran.ending)


def judged(engine: Engine, claimed: Claimed, written: Written) -> Committed | Fenced:
    """What came of a commit."""
    record = record_in(engine, written.item)
    if isinstance(written, Applied) and record is not None:
        return Committed(record)
    verdict = judge_commit(record, claimed.attempt)
    return verdict if isinstance(verdict, Fenced) else Committed(verdict.record)


def _saved_beside(
    engine: Engine, record: RunRecord, attempt: Attempt, error: ErrorInfo, *, retryable: bool
) -> bool:
    """The error of an attempt that is retried: an item, where the record has no room for it in the write unit that it takes anyway."""
    if not isinstance(retry_of(record, attempt.task, retryable=retryable), RetryIn):
        return False
    room = UNIT_BYTES - RESERVED_BYTES - item_bytes(encode_record(record)) % UNIT_BYTES
    body = encode_error_item(error)
    if len(body.encode()) <= room:
        return False
    key = attempt_key(record.run_id, attempt.task, attempt.ticket)
    engine.store.write(Put(key=key, item={"body": body, "expires_at": record.expires_at_s}))
    return True


def without_texts(claimed: Claimed, refused: RequestRefused, *, now_ms: int) -> Update:
    """The store never takes what the attempt came to, such as a record over its size: FAILED, with as few bytes as can be."""
    reason = cut(ErrorInfo(type="RecordRefusedError", message=str(refused)), LEAST_BYTES)
    return fail(claimed.record, claimed.attempt, reason, now_ms=now_ms, retryable=False)


def timeout_error(limit_s: float) -> ErrorInfo:
    return ErrorInfo(type="HatchetError", message=f"Task exceeded timeout of {limit_s:g}s")


def _last_words(engine: Engine, claimed: Claimed, control: LiveControl, timed_out: TimedOut) -> None:
    """Commit and pay from the watchdog's thread, as the process is about to end."""
    control.flush()
    if claimed.on_timeout is not None:
        claimed.on_timeout(timed_out)
        return
    done = commit(engine, claimed, Ran(timed_out, Payload(), Evaluated()))
    if isinstance(done, Committed):
        pay(engine, done.record, owed_after(done.record, claimed.attempt.task))
        engine.queues.delete(claimed.received)
