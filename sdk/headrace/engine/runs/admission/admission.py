"""Between claim and run: whether anything holds the task back. A task that nothing can hold back pays for two look-ups in memory."""

from __future__ import annotations

from headrace.core.labels import decode_required, meets
from headrace.core.points import WORKER_PAUSE, AdmissionPoint, AtLabels, AtPause
from headrace.core.run.message import TaskMessage
from headrace.core.run.record import RunRecord
from headrace.engine.attempts.patience import patiently
from headrace.engine.attempts.ports import Disposition, Done, Host
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from headrace.engine.waits.keys import has_gates
from headrace.engine.waits.kinds.pause import pause_of
from headrace.ports import Outgoing, Received

HANDED_ON_AFTER_S = 1
"""When a message is there again that a process could not take and another one can, in seconds."""


def admit(engine: Engine, host: Host, message: TaskMessage, claimed: Claimed) -> Claimed | Disposition:
    """The same attempt once everything is passed; else the task is parked, or settled, and its message done with."""
    record, task = claimed.record, claimed.attempt.task
    line = patiently(engine, host, lambda: _line_to_wait_in(engine, host, record, task))
    if line is None and not record.tasks[task].lined_up and not has_gates(engine, record, task):
        return claimed
    from headrace.engine.runs.admission.acquire import pass_all

    return pass_all(engine, host, message, claimed, line)


def look_ahead(engine: Engine, host: Host, message: TaskMessage) -> Disposition | None:
    """What a first message comes to, where the first limit of its task is full: parked. None: it is to be claimed."""
    record, task = message.record, message.task
    if record is None or message.ticket > 1 or message.replay is not None:
        return None
    if task not in record.plan.by_name or not has_gates(engine, record, task):
        return None
    if engine.clock.now_ms() > message.start_by_ms or task in record.routing.required_labels:
        return None
    paused = (record.plan.workflow, WORKER_PAUSE + host.worker)
    if any(pause_of(engine, each) is not None for each in paused):
        return None
    from headrace.engine.runs.admission.ahead import park_ahead

    return park_ahead(engine, host, message, record)


def _line_to_wait_in(engine: Engine, host: Host, record: RunRecord, task: str) -> AdmissionPoint | None:
    """The line of tasks whose workflow or worker is paused, or whose labels no process has; None: nothing holds it back."""
    required_labels = record.routing.required_labels.get(task)
    if (
        required_labels
        and host.labels is not None
        and not meets(decode_required(required_labels), host.labels())
    ):
        return AtLabels(host.worker)
    if not _has_started(record, task) and pause_of(engine, record.plan.workflow) is not None:
        return AtPause(record.plan.workflow)
    if not _ran_before(record, task) and pause_of(engine, WORKER_PAUSE + host.worker) is not None:
        return AtPause(WORKER_PAUSE + host.worker)
    return None


def _ran_before(record: RunRecord, task: str) -> bool:
    """Whether the task itself has run before this attempt."""
    mine = record.tasks[task]
    return bool(mine.app_retry_count or mine.takeovers or mine.started)


def _has_started(record: RunRecord, task: str) -> bool:
    """Whether any task of the run has run before this attempt."""
    if _ran_before(record, task):
        return True
    others = (row for name, row in record.tasks.items() if name != task)
    return any(row.started_at_ms for row in others)


def hand_on(engine: Engine, host: Host, received: Received, message: TaskMessage) -> Disposition | None:
    """A process whose labels do not meet the task's required labels sends it on, where another one is alive that can take it.

    Before the claim, so that it costs no ticket. None: it is for this process, or for none yet.
    """
    if (
        not message.required_labels
        or host.labels is None
        or meets(decode_required(message.required_labels), host.labels())
    ):
        return None
    from headrace.engine.waits.park import any_process_meets

    if not any_process_meets(engine, host.worker, message.required_labels):
        return None
    engine.send(received.queue, [Outgoing(body=received.body, delay_s=HANDED_ON_AFTER_S)])
    return Done()
