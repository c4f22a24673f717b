"""Rate limits at work: take units, and at the beginning of each window wake as many tasks as it admits.

    take ── taken              refill of a window ── none waits: close
      │ nothing left, or not its turn              └─ one does: send the next refill, then move the schedule to it; the delivery
      └── (admission parks it)                        that moved it wakes the tasks that the window has units for

While the mark is set, a refill is due, or owed by a message that is not deleted yet. One that the schedule has passed answers for the
notes that it wrote, and is dropped, so no duplicate lives long. The schedule is moved after the next refill was sent, so that no crash leaves a schedule without a message.
"""

from __future__ import annotations

from typing import TypeAlias

from headrace.core.changes import Applied, Item
from headrace.core.run.message import RefillMessage, encode_refill
from headrace.core.table import gate_key
from headrace.core.values import dataclass
from headrace.core.waits.line import Waiter
from headrace.core.waits.rate_limit import (
    Take,
    Window,
    close,
    give_back,
    in_force,
    mark,
    move_schedule,
    send_again,
    take,
    window_of,
)
from headrace.core.waits.wake_up import fitting
from headrace.engine.engine import Engine
from headrace.engine.timers import send_at
from headrace.engine.waits.wake import heads, not_woken, wake

MAX_TRIES = 12
LONGEST_SLEEP_MS = 500
"""How long a refill that comes early waits for its window."""

MOST_AHEAD = 100
"""How far down the line a task that has just parked looks for itself: further back it waits for the refill, or for the clock."""

MOST_WINDOWS = 2_000
"""How many limits a process remembers. Of one that it has forgotten it reads the item again."""

MOST_HEADS = 10_000
"""How many waiters one refill wakes, at most."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The units are taken of the window that begins at `start_ms`."""

    start_ms: int


@dataclass(frozen=True, slots=True)
class NothingLeft:
    """The window has too few units left, or others wait for them."""


@dataclass(frozen=True, slots=True)
class Never:
    """No window will have so many units, or no limit is set; says which."""

    reason: str


Taking: TypeAlias = Taken | NothingLeft | Never


def take_units(engine: Engine, of: Take, *, waited: bool) -> Taking:
    """Take all units of one limit, or none. One write where this process has seen the window before."""
    seen, current = engine.windows.get(of.gate, Window()), False
    for _ in range(MAX_TRIES):
        refused = _refused(of, seen, waited=waited, now_ms=engine.clock.now_ms())
        if refused is not None and current:
            if not isinstance(refused, _NotItsTurn):
                return refused
            if not _line_is_empty(engine, of.gate, seen):
                return NothingLeft()
        if refused is not None:
            seen, current = _remember(engine, of.gate, engine.store.get(gate_key(of.gate))), True
            continue
        write, start_ms = take(of, seen, waited=waited, now_ms=engine.clock.now_ms())
        written = engine.store.write(write)
        seen, current = _remember(engine, of.gate, written.item), True
        if isinstance(written, Applied):
            return Taken(start_ms)
    return NothingLeft()


class _NotItsTurn(NothingLeft):
    """Others may wait."""


def _remember(engine: Engine, gate: str, item: Item | None) -> Window:
    window = engine.windows[gate] = window_of(item)
    if len(engine.windows) > MOST_WINDOWS:
        for oldest in list(engine.windows)[: MOST_WINDOWS // 10]:
            engine.windows.pop(oldest, None)
    return window


def _refused(of: Take, seen: Window, *, waited: bool, now_ms: int) -> NothingLeft | Never | None:
    """Why the units cannot be taken of a window that is as `seen`; None: they can."""
    mine = in_force(of, seen)
    if mine.limit is None:
        return Never(f"no limit is set for rate limit key {of.key!r}: set it with hatchet.rate_limits.put")
    if of.units > mine.limit:
        return Never(
            f"rate limit key {of.key!r} admits {mine.limit} units a window, and {of.units} are asked for"
        )
    if mine.room(now_ms) < of.units:
        return NothingLeft()
    return _NotItsTurn() if not waited and mine.waiting is not None else None


def _line_is_empty(engine: Engine, gate: str, seen: Window) -> bool:
    """Look which waiters the mark is for, and remove it where there is none."""
    if heads(engine, gate, limit=1):
        return False
    engine.store.write(close(gate, seen.waiting))
    return True


def return_units(engine: Engine, of: Take, taken: Taken) -> None:
    """Another limit of the same task had nothing left: the units go back, while their window lasts."""
    engine.store.write(give_back(of, taken.start_ms))


# ---------------------------------------------------------------- waiting


def mark_limit(engine: Engine, gate: str, worker: str, *, parked: str | None = None) -> None:
    """A task waits: make sure that a refill is due, and wake the waiters that can take units already.

    `parked`: the place in the line of the task that has just parked.
    """
    nonce = engine.ids.owner()
    window = window_of(engine.store.get(gate_key(gate)))
    for _ in range(MAX_TRIES):
        scheduled = window.scheduled_ms
        due_ms = window.next_start_ms(engine.clock.now_ms()) if scheduled is None else None
        written = engine.store.write(mark(gate, nonce, due_ms=due_ms, by=engine.account.message))
        window = window_of(written.item)
        if (
            isinstance(written, Applied) or window.waiting == nonce
        ):  # refused, and ours: its response was lost
            if due_ms is not None or _owes_refill(engine, window):
                _send_refill(engine, gate, window.scheduled_ms or due_ms or 0, worker)
            look_at_limit(engine, gate, window, parked=parked)
            return


def limit_changed(engine: Engine, gate: str) -> None:
    """A limit was put: wake the waiters that fit now, and make sure that a refill is due for the others."""
    window = window_of(engine.store.get(gate_key(gate)))
    if window.waiting is None:
        return
    room = window.room(engine.clock.now_ms())
    first = heads(engine, gate, limit=1)
    wake(engine, fitting(not_woken(engine, gate, most=min(room, MOST_HEADS)), room))
    if first and window.scheduled_ms is None:
        mark_limit(engine, gate, first[0].worker)


def repair_refill(engine: Engine, gate: str, worker: str) -> None:
    """A stale delivery may be all that is left of the attempt that owed a refill: send the one that it scheduled."""
    window = window_of(engine.store.get(gate_key(gate)))
    if window.waiting is not None and window.scheduled_ms is not None and _owes_refill(engine, window):
        _send_refill(engine, gate, window.scheduled_ms, worker)
    look_at_limit(engine, gate, window)


def _owes_refill(engine: Engine, window: Window) -> bool:
    """Whether an earlier delivery of the message in hand scheduled the refill, and may have died before it was sent."""
    return bool(engine.account.message) and window.scheduled_by == engine.account.message


def repeat_refill(engine: Engine, gate: str, scheduled_ms: int, worker: str) -> None:
    """The clock: a refill is overdue. It is sent again after 2, 4, 8 … minutes, by one clock each time."""
    late = (engine.clock.now_ms() - scheduled_ms) // 60_000
    if late >= 2 and late & (late - 1) == 0:
        minute = engine.clock.now_ms() // 60_000
        if isinstance(engine.store.write(send_again(gate, scheduled_ms, minute=minute)), Applied):
            _send_refill(engine, gate, scheduled_ms, worker)


def look_at_limit(engine: Engine, gate: str, window: Window, *, parked: str | None = None) -> None:
    """Wake the head if the window has units for it, unless it has just been woken. parked: that one in its place, if there are units
    for all ahead of it too, which were woken by the refill or have looked for themselves."""
    room = window.room(engine.clock.now_ms())
    if window.waiting is None:
        return
    if room <= 0:
        if (
            engine.account.redelivered
        ):  # it answers for the notes that it wrote before, whatever is left by now
            wake(
                engine,
                [each for each in heads(engine, gate, limit=MOST_AHEAD) if engine.account.repairs(each)],
            )
        return
    able = fitting(heads(engine, gate, limit=1 if parked is None else min(room, MOST_AHEAD)), room)
    new = [each for each in able if not each.woken_at_ms or engine.account.repairs(each)]
    wake(engine, [each for each in new if parked is None or each.sk == parked])


def _send_refill(engine: Engine, gate: str, at_ms: int, worker: str) -> None:
    """SQS delays by whole seconds. A refill comes up to a second late, but not so late that, from window to window, one is missed:
    where a delay would make it late by more than half a second, it comes early, and waits."""
    early_ms = (at_ms - engine.clock.now_ms()) % 1_000
    due_ms = at_ms - early_ms if early_ms <= LONGEST_SLEEP_MS else at_ms
    queue = engine.next_queue(worker)
    send_at(engine, queue, due_ms, encode_refill(RefillMessage(gate=gate, at_ms=at_ms, worker=worker)))


# ---------------------------------------------------------------- the refill


def refill(engine: Engine, message: RefillMessage) -> None:
    """A window begins: wake, in order, as many as it has units for; and see to the next one while anybody waits."""
    gate = message.gate
    early_ms = message.at_ms - engine.clock.now_ms()
    if early_ms > 0:
        engine.clock.sleep(min(early_ms, LONGEST_SLEEP_MS) / 1_000)
    for _ in range(MAX_TRIES):
        window = window_of(engine.store.get(gate_key(gate)))
        if window.scheduled_ms is None or window.scheduled_ms > message.at_ms:
            wake(
                engine,
                [each for each in heads(engine, gate, limit=MOST_HEADS) if engine.account.repairs(each)],
            )
            return
        now_ms = max(engine.clock.now_ms(), message.at_ms)
        room = window.room(now_ms)
        if heads(engine, gate, limit=1):
            able = fitting(not_woken(engine, gate, most=min(room, MOST_HEADS)), room)
            _wake_window(engine, message, window.next_start_ms(now_ms), able)
            return
        if isinstance(engine.store.write(close(gate, window.waiting)), Applied):
            return


def _wake_window(engine: Engine, message: RefillMessage, coming_ms: int, able: list[Waiter]) -> None:
    _send_refill(engine, message.gate, coming_ms, message.worker)
    if isinstance(engine.store.write(move_schedule(message.gate, coming_ms)), Applied):
        wake(engine, able)
