"""Engines with one mistake of admission each, to be found in the worlds that have gates."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from headrace.core.changes import ALWAYS, ITEM_EXISTS, All, Applied, Equal, Exists, Missing, Update
from headrace.core.run.effects import EndRun, GiveBack, LineUp
from headrace.core.run.owed import owed_after
from headrace.core.run.record import TaskStatus
from headrace.core.run.transitions import settle as settles
from headrace.core.table import run_key
from headrace.core.waits import concurrency as gates
from headrace.core.waits import line
from headrace.core.waits import rate_limit as rates
from headrace.core.waits.passes import Pass
from headrace.core.waits.wake_up import Account
from headrace.engine.runs import deliver
from headrace.engine.runs.admission import acquire as passing
from headrace.engine.waits import evictions
from headrace.engine.waits import park as parking
from headrace.engine.waits import wake as waking
from headrace.engine.waits.kinds import concurrency as places
from headrace.engine.waits.kinds import rate_limit as windows
from headrace.engine.waits.wake import wake

Mutation = Callable[[], list[Any]]


def _never(*arguments: Any, **options: Any) -> None:
    """Does not do it."""


def _not_paid(kind: type, *, stale: bool | None = None) -> list[Any]:
    original = parking.pay_at_limits

    def pay_at_limits(engine: Any, record: Any, effect: Any) -> Any:
        dropped = isinstance(effect, kind) and (stale is None or effect.stale is stale)  # type: ignore[attr-defined]  # of GiveBack
        return () if dropped else original(engine, record, effect)

    return [patch.object(parking, "pay_at_limits", pay_at_limits)]


def _release_without_ticket() -> list[Any]:
    def leave(of: Pass, number: int) -> Update:
        return replace(gates.leave(of, number), require=Exists(gates.me(of)))

    return [patch.object(places, "leave", leave)]


def _only_its_own_ticket() -> list[Any]:
    def leave(of: Pass, number: int) -> Update:
        return replace(gates.leave(of, number), require=Equal((*gates.me(of), "t"), of.ticket))

    return [patch.object(places, "leave", leave)]


def _no_look_after_the_mark() -> list[Any]:
    original, parks = places.wake_next, parking._mark_gate.__code__

    def look(*arguments: Any, **options: Any) -> None:
        if sys._getframe(1).f_code is not parks:
            original(*arguments, **options)

    return [patch.object(parking, "wake_next", look)]


def _any_mark_is_cleared() -> list[Any]:
    def clear(gate: str, seen: str) -> Update:
        return replace(line.clear(gate, seen), require=ITEM_EXISTS)

    return [patch.object(places, "clear", clear)]


def _newcomers_do_not_wait() -> list[Any]:
    def enter(of: Any, number: int, *, waited: bool, **options: Any) -> Update:
        return gates.enter(of, number, waited=True, **options)

    return [patch.object(places, "enter", enter)]


def _victims_not_paid() -> list[Any]:
    return [patch.object(evictions, "cancel_evicted", _never)]


def _victims_paid_once() -> list[Any]:
    def cancel_evicted(engine: Any, run_id: str) -> Any:
        marked = engine.store.get(run_key(run_id))
        return original(engine, run_id) if marked is not None and "x" not in marked else None

    original = evictions.cancel_evicted
    return [patch.object(evictions, "cancel_evicted", cancel_evicted)]


def _victims_come_back() -> list[Any]:
    def enter(of: Any, *arguments: Any, **options: Any) -> Update:
        update = gates.enter(of, *arguments, **options)
        assert isinstance(update.require, All)
        kept = tuple(part for part in update.require.parts if part != Missing((f"ev:{of.run_id}",)))
        return replace(update, require=All(kept))

    return [patch.object(places, "enter", enter)]


def _units_taken_anyway() -> list[Any]:
    def take(*arguments: Any, **options: Any) -> tuple[Update, int]:
        update, start_ms = rates.take(*arguments, **options)
        return replace(update, require=ALWAYS), start_ms

    return [patch.object(windows, "take", take)]


def _schedule_moved_first() -> list[Any]:
    def wake_window(engine: Any, message: Any, coming_ms: int, able: Any) -> None:
        moved = engine.store.write(rates.move_schedule(message.gate, coming_ms))
        windows._send_refill(engine, message.gate, coming_ms, message.worker)
        if isinstance(moved, Applied):
            wake(engine, able)

    return [patch.object(windows, "_wake_window", wake_window)]


def _a_retry_keeps_its_place() -> list[Any]:
    def owed(record: Any, task: str) -> Any:
        queued = record.tasks[task].status is TaskStatus.QUEUED
        return tuple(each for each in owed_after(record, task) if not (queued and isinstance(each, GiveBack)))

    return [patch.object(deliver, "owed_after", owed)]


def _only_the_last_gate_is_remembered() -> list[Any]:
    def unclaim(record: Any, attempt: Any, *, point: Any, now_ms: int) -> Update:
        row = replace(record.tasks[attempt.task], lined_up=())
        return settles.unclaim(record.with_row(attempt.task, row), attempt, point=point, now_ms=now_ms)

    return [patch.object(passing, "unclaim", unclaim)]


def _a_refused_note_is_anothers() -> list[Any]:
    return [patch.object(waking, "_is_mine", lambda engine, written, now_ms: isinstance(written, Applied))]


def _nobody_answers_for_a_note() -> list[Any]:
    return [patch.object(Account, "repairs", lambda account, waiter: False)]


GATE_MUTATIONS: dict[str, Mutation] = {
    "a place is given back by any ticket": _release_without_ticket,
    "a run that ends keeps its places": lambda: _not_paid(EndRun),
    "a redelivered message gives nothing back": lambda: _not_paid(GiveBack, stale=True),
    "a dead payer's waiter is not lined up": lambda: _not_paid(LineUp),
    "who parks does not look again": _no_look_after_the_mark,
    "newcomers do not wait": _newcomers_do_not_wait,
    "a victim is not cancelled": _victims_not_paid,
    "units are taken whatever is left": _units_taken_anyway,
    "a retry keeps its place": _a_retry_keeps_its_place,
}

RARE_GATE_MUTATIONS: dict[str, Mutation] = {
    "only the last gate is remembered": _only_the_last_gate_is_remembered,
    "a redelivered message sends no refill": lambda: [patch.object(parking, "repair_refill", _never)],
    "who was put out is paid for once": _victims_paid_once,
    "a place that an earlier ticket took is kept": _only_its_own_ticket,
    "a mark is cleared by any payer": _any_mark_is_cleared,
    "who was woken passes no baton": lambda: [patch.object(passing, "_wake_next_if_room", _never)],
    "a task that parks elsewhere wakes no waiter where it was": lambda: [
        patch.object(passing, "wake_next_at", _never)
    ],
    "who was put out comes back": _victims_come_back,
    "the schedule moves before the refill is sent": _schedule_moved_first,
    "a note whose response was lost is another's": _a_refused_note_is_anothers,
    "a redelivered message does not answer for its notes": _nobody_answers_for_a_note,
    "the dead turn newcomers away": lambda: [
        patch.object(places, "_some_were_dead", lambda *arguments: False)
    ],
}
"""These take hundreds of seeds, or thousands: more than the tests have time for. The exploration of small worlds finds those of them that
matter there: one gate remembered, a refill that is not sent again, a schedule that moves first, any mark cleared, no baton."""
