"""Wake waiters: a note on the waiter, then a message for its ticket. The message carries nothing, so one that is lost or doubled loses nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from headrace.core.changes import Applied, Written
from headrace.core.run.message import Conditions, TaskMessage, encode_message
from headrace.core.run.outgoing import message_now
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import WAIT, line_partition
from headrace.core.values import replace
from headrace.core.waits.line import Waiter, decode_waiter, woken
from headrace.engine.engine import Engine
from headrace.ports import Outgoing

NOTED_AT_ONCE = 100
"""How many notes are written before their messages are sent: so many wake-ups a death in between delays."""

PAGE = 100


def heads(engine: Engine, gate: str, *, limit: int | None = None) -> list[Waiter]:
    """The waiters at a gate in the order of admission: one query."""
    return [
        decode_waiter(item) for item in engine.store.query(line_partition(gate), prefix=WAIT, limit=limit)
    ]


def not_woken(engine: Engine, gate: str, *, most: int) -> list[Waiter]:
    """The first of a line that no wake-up is on its way to, past all to whom one is."""
    out: list[Waiter] = []
    after: str | None = None
    while len(out) < most:
        page = [
            decode_waiter(item)
            for item in engine.store.query(line_partition(gate), prefix=WAIT, after=after, limit=PAGE)
        ]
        out.extend(each for each in page if not each.woken_at_ms or engine.account.repairs(each))
        if len(page) < PAGE:
            break
        after = page[-1].sk
    return out[:most]


def wake(engine: Engine, waiters: Sequence[Waiter]) -> bool:
    """Note each as woken, then send it its message; not to one that another process has marked meanwhile.

    True: one had left the line, so the caller looks once more for the next in line.
    """
    gone = False
    for first in range(0, len(waiters), NOTED_AT_ONCE):
        some = waiters[first : first + NOTED_AT_ONCE]
        now_ms, account = engine.clock.now_ms(), engine.account
        notes = [woken(each, by=account.message, queued_ms=account.queued_ms, now_ms=now_ms) for each in some]
        written = engine.store.write_many(notes) if len(notes) > 1 else [engine.store.write(notes[0])]
        mine = [each for each, how in zip(some, written, strict=True) if _is_mine(engine, how, now_ms)]
        _send(engine, mine)
        account.sent.update(each.name for each in mine if account.message)
        gone = gone or any(how.item is None for how in written)
    return gone


def _is_mine(engine: Engine, written: Written, now_ms: int) -> bool:
    """Whether this delivery owes the wake-up: it wrote the note, or an earlier delivery of the same message did."""
    if isinstance(written, Applied):
        return True
    if written.item is None:
        return False
    found = decode_waiter(written.item)
    same = found.woken_by == engine.account.message and found.woken_at_ms == now_ms  # the response was lost
    return same or engine.account.repairs(found)


def _send(engine: Engine, waiters: Sequence[Waiter]) -> None:
    by_worker: dict[str, list[Outgoing]] = defaultdict(list)
    for waiter in waiters:
        body = encode_message(message_of(waiter))
        by_worker[waiter.worker].append(Outgoing(body=body, group=waiter.group or None))
    for worker, messages in by_worker.items():
        engine.send(engine.next_queue(worker), messages)


def send_handed(engine: Engine, waiter: Waiter, seat: int) -> None:
    """The message of a waiter that was struck. `seat`: the item in which it may have been handed a place."""
    body = encode_message(replace(message_of(waiter), seat=seat))
    engine.send(engine.next_queue(waiter.worker), [Outgoing(body=body, group=waiter.group or None)])


def message_of(waiter: Waiter) -> TaskMessage:
    return TaskMessage(
        run_id=waiter.run_id,
        task=waiter.task,
        number=waiter.number,
        ticket=waiter.ticket,
        queued_at_ms=waiter.queued_at_ms,
        start_by_ms=waiter.start_by_ms,
        place=(waiter.gate, waiter.sk),
        required_labels=waiter.required_labels or None,
    )


def restore(engine: Engine, record: RunRecord, task: str) -> bool:
    """Send the current ticket of a suspended task, which goes on though nothing that it waits for has come. False: it is not suspended."""
    row = record.tasks.get(task)
    if row is None or row.status is not TaskStatus.SUSPENDED or record.cancelled_at_ms is not None:
        return False
    message = replace(message_now(record, task, now_ms=engine.clock.now_ms()), restored=True)
    engine.send(engine.next_queue(worker_of(record, task)), [Outgoing(body=encode_message(message))])
    return True


def send_now(engine: Engine, record: RunRecord, task: str, *, conditions: Conditions | None = None) -> None:
    """Send the current ticket of a task that may go on, by the record at hand."""
    message = message_now(record, task, now_ms=engine.clock.now_ms(), conditions=conditions)
    engine.send(engine.next_queue(worker_of(record, task)), [Outgoing(body=encode_message(message))])
