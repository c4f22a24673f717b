"""Between claim and run: whether anything holds the task back. A task that nothing can hold back pays for two look-ups in memory."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.run.message import TaskMessage
from headrace.core.run.record import RunRecord
from headrace.core.waits.labels import decode_wishes, meets
from headrace.core.waits.points import WORKER_PAUSE, AdmissionPoint, AtLabels, AtPause, encode_point
from headrace.engine.engine import Engine
from headrace.engine.runs.attempt import Claimed
from headrace.engine.runs.patience import patiently
from headrace.engine.runs.pay import has_gates
from headrace.engine.runs.ports import Disposition, Done, Host
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
    from headrace.engine.waits.acquire import pass_all

    return pass_all(engine, host, message, claimed, line)


def _line_to_wait_in(engine: Engine, host: Host, record: RunRecord, task: str) -> AdmissionPoint | None:
    """The line of those whose workflow or worker is paused, or whose labels no process has; None: nothing holds it back."""
    wishes = record.routing.required_labels.get(task)
    if wishes and host.labels is not None and not meets(decode_wishes(wishes), host.labels()):
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


# ---------------------------------------------------------------- labels


def hand_on(engine: Engine, host: Host, received: Received, message: TaskMessage) -> Disposition | None:
    """A process whose labels do not meet the task's wishes sends it on, where another one is alive that can take it.

    Before the claim, so that it costs no ticket. None: it is for this process, or for none yet.
    """
    if not message.wishes or host.labels is None or meets(decode_wishes(message.wishes), host.labels()):
        return None
    from headrace.engine.waits.park import somebody_meets

    if not somebody_meets(engine, host.worker, message.wishes):
        return None
    engine.send(received.queue, [Outgoing(body=received.body, delay_s=HANDED_ON_AFTER_S)])
    return Done()


def labels_changed(engine: Engine, worker: str, labels: Mapping[str, str | int]) -> int:
    """A process of the worker has these labels from now on: wake those who waited for them. Returns how many."""
    from headrace.engine.waits.wake import heads, wake

    able = [
        each
        for each in heads(engine, encode_point(AtLabels(worker)))
        if meets(decode_wishes(each.wishes), labels)
    ]
    wake(engine, able)
    return len(able)
