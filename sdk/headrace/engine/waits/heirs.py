"""Which waiter gets the place of a task that ends, and whether it has its message. See `core.waits.heirs`."""

from __future__ import annotations

from headrace.core.run.record import RunRecord
from headrace.core.waits.heirs import Heir, decode_heir, encode_heir, may_be_handed, next_heir
from headrace.core.waits.line import decode_waiter
from headrace.engine.engine import Engine
from headrace.engine.waits.hand_over import free, may_come, record_of
from headrace.engine.waits.kinds.concurrency import states_of, wake_next
from headrace.engine.waits.park import known_passes, waiter_of
from headrace.engine.waits.wake import heads, send_handed, wake

MAX_TRIES = 10
NEAR = 11
"""How far down a line an heir is looked for: past those that were woken and have not entered yet."""


def name_heir(engine: Engine, record: RunRecord, task: str, ticket: int) -> str | None:
    """The heir that the commit of an attempt is to name: where this process has seen that tasks wait at a limit that it has entered."""
    account = engine.account
    if not account.inside or account.redelivered:
        return None
    now_ms = engine.clock.now_ms()
    for of in known_passes(engine, record, task, ticket):
        inside = (of.gate, of.member) in account.inside and may_be_handed(of)
        if not inside or engine.full.known(of.gate, now_ms) is None:
            continue
        others = [each for each in heads(engine, of.gate, limit=NEAR) if each.member != of.member]
        heir = next_heir(others, now_ms)
        if heir is not None:
            account.heirs[of.gate, of.member] = heir
            return encode_heir(heir)
    return None


def see_to_heir(engine: Engine, record: RunRecord, task: str) -> None:
    """The delivery that ended `task` may have died on the way: its heir is woken like any other waiter, unless it is struck. One that is
    struck, and whose ticket was not used, may have got no message; one that is over may have been handed a place."""
    row = record.tasks[task]
    if row.heir is None:
        return
    heir = decode_heir(row.heir)
    for _ in range(MAX_TRIES):
        found = record_of(engine, heir)
        if not may_come(found, heir):
            _free_everywhere(engine, record, task, heir, found)
            return
        assert found is not None
        if _is_told(engine, found, heir):
            return


def _is_told(engine: Engine, record: RunRecord, heir: Heir) -> bool:
    """See that the heir has its message. False: it was struck at this moment, look again."""
    waiter = waiter_of(engine, record, heir.task)
    if waiter.name in engine.account.sent:
        return True
    found = engine.store.get(waiter.key)
    if found is None:
        send_handed(engine, waiter, 0)
        return True
    waits = decode_waiter(found)
    if waits.ticket != heir.ticket:
        return False
    if waits.woken_at_ms and not engine.account.repairs(waits):
        return True
    return not wake(engine, [waits])


def _free_everywhere(
    engine: Engine, record: RunRecord, task: str, heir: Heir, found: RunRecord | None
) -> None:
    """Take an heir that is over out of the limits of `task`, and wake the waiters that can enter."""
    for of in known_passes(engine, record, task, record.tasks[task].ticket):
        if not may_be_handed(of):
            continue
        states = states_of(engine, of.gate, of.widest)
        left = [free(engine, of, number, state, heir, found) for number, state in enumerate(states)]
        if left != states:
            wake_next(engine, of.gate, of.limit)
