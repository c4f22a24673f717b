"""Run one claimed attempt under its deadline, and save what it returned."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from headrace.core.run.derived.graph import ancestors, state_of
from headrace.core.run.owed import owed_after
from headrace.core.run.plans.plan import Json, TaskKind
from headrace.core.run.record import ErrorInfo, Payload, RunRecord, TaskStatus
from headrace.core.run.stored.rows import marked
from headrace.core.run.transitions.commit import (
    Evaluated,
)
from headrace.core.sealed import opened
from headrace.core.table import output_key
from headrace.core.values import dataclass, replace
from headrace.engine.attempts.patience import INVOCATION_MARGIN_MS, patiently
from headrace.engine.attempts.payloads import load_output, place_output, save
from headrace.engine.attempts.ports import (
    Host,
    Raised,
    Runnable,
    Succeeded,
    Work,
)
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.engine.runs.claimed import Claimed, Ran
from headrace.engine.runs.commit import Committed, commit, failure_of
from headrace.engine.runs.read import SKIPPED_OUTPUT
from headrace.engine.waits.keys import has_gates
from headrace.errors import ExpressionError, PayloadTooLargeError
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending, TimedOut, execute
from headrace.runtime.heartbeat import Beats, Heartbeat
from headrace.telemetry import tracing

if TYPE_CHECKING:
    from headrace.engine.durable.journal import Journal
    from headrace.runtime.overstaying import Overstaying

MAX_MESSAGE_CHARS = 2_000
"""What of a condition's error goes into the record: its size is billed at every write."""


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
    control.on_cancel(overstaying.cancelled, last=True)
    return overstaying


def run(engine: Engine, host: Host, claimed: Claimed) -> Steps[Ran]:
    """Have user code run, place and save its output."""
    runnable = host.runnables.get((claimed.record.plan.workflow, claimed.attempt.task))
    if runnable is None:
        return _unknown(host, claimed)
    limit_s = claimed.plan.execution_timeout_ms / 1000
    ceiling_s = (host.time_left_ms() - INVOCATION_MARGIN_MS) / 1000
    control = LiveControl(engine, claimed.record, claimed.attempt, limit_s=limit_s, ceiling_s=ceiling_s)
    journal = _Lazily(lambda: _journal(engine, claimed, stays=host.keeps_code))
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
        ran = replace(ran, outlasted=True, overstaying=overstaying)
    log = journal.made.unwritten() if journal.made is not None else None
    return replace(ran, log=log, notes=control.notes) if log is not None or control.notes else ran


class _Lazily:
    """The journal of an attempt, made once its code asks for it: most tasks have none."""

    __slots__ = ("_make", "made")

    def __init__(self, make: Callable[[], Journal]) -> None:
        self._make = make
        self.made: Journal | None = None

    def __call__(self) -> Journal:
        if self.made is None:
            self.made = self._make()
        return self.made


def _journal(engine: Engine, claimed: Claimed, *, stays: bool = False) -> Journal:
    from headrace.engine.durable.journal import Journal

    return Journal(
        engine, claimed.record, claimed.attempt, claimed.log, before=claimed.suspended, stays=stays
    )


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


def _last_words(engine: Engine, claimed: Claimed, control: LiveControl, timed_out: TimedOut) -> None:
    """Commit and pay from the watchdog's thread, as the process is about to end."""
    control.flush()
    if claimed.on_timeout is not None:
        claimed.on_timeout(timed_out)
        return
    done = commit(engine, claimed, Ran(timed_out, Payload(), Evaluated(), notes=control.notes))
    if isinstance(done, Committed):
        from headrace.engine.runs.telling import log_ending

        log_ending(done.record, claimed.row, claimed.attempt.task, failure_of(timed_out))
        pay(engine, done.record, owed_after(done.record, claimed.attempt.task))
        if not any(row.status is TaskStatus.RUNNING for row in done.record.tasks.values()):
            engine.queues.delete(
                claimed.received
            )  # else it answers for what ran beside this, and ends with it
