"""Rate limits: units of a shared allowance per fixed window, taken by one conditional write.

Windows begin at multiples of their length since the epoch, so all processes agree on where one ends, without asking.
An item holds one window: its start `n`, what is `left` of it, its limit `max` and its length `win` in milliseconds; the mark `w`
that a task may wait; and `sched`, the window whose beginning a message is due at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.core.changes import (
    AtLeast,
    AtMost,
    Condition,
    Equal,
    Exists,
    Item,
    Missing,
    Path,
    Update,
    Value,
    either,
    every,
)
from headrace.core.points import AtRateLimit, encode_point
from headrace.core.run.plans.plan import RatePlan
from headrace.core.run.routing import NotEvaluated, RateUnits, Units
from headrace.core.table import gate_key, gate_shard, gates_listed, short_key
from headrace.core.values import dataclass
from headrace.core.waits.passes import KeyFailed

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """The units that a task needs of a limit. A static key's limit and window are in its item: None here."""

    key: str
    units: int
    limit: int | None = None
    window_ms: int | None = None

    @property
    def point(self) -> AtRateLimit:
        return AtRateLimit(short_key(self.key))

    @property
    def gate(self) -> str:
        """The partition of its item; its line's is named by it."""
        return encode_point(self.point)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A limit's item, decoded."""

    start_ms: int | None = None
    left: int = 0
    limit: int | None = None
    window_ms: int | None = None
    waiting: str | None = None
    scheduled_ms: int | None = None
    scheduled_by: str = ""  # the message that owes the refill
    static: bool = False  # the limit was put: what tasks say of it does not count

    def room(self, now_ms: int) -> int:
        """The units that could be taken now."""
        if self.limit is None or self.window_ms is None:
            return 0
        if self.start_ms is None or self.start_ms < window_start(now_ms, self.window_ms):
            return self.limit
        return min(self.left, self.limit)

    def next_start_ms(self, now_ms: int) -> int:
        """When the next window begins, by whichever clock is ahead: this one, or that of the process that took units last."""
        window_ms = self.window_ms or 1_000
        return max(window_start(now_ms, window_ms), self.start_ms or 0) + window_ms


def window_start(now_ms: int, window_ms: int) -> int:
    return now_ms - now_ms % window_ms


def window_of(item: Item | None) -> Window:
    found = item or {}

    def number(name: str) -> int | None:
        value = found.get(name)
        return value if isinstance(value, int) else None

    waiting = found.get("w")
    return Window(
        start_ms=number("n"),
        left=number("left") or 0,
        limit=number("max"),
        window_ms=number("win"),
        waiting=waiting if isinstance(waiting, str) else None,
        scheduled_ms=number("sched"),
        scheduled_by=by if isinstance(by := found.get("schedby"), str) else "",
        static="key" in found,
    )


def is_fixed(rate: RatePlan) -> bool:
    """Whether key, units and limit are known without the run: nothing has to be evaluated."""
    return not rate.dynamic and rate.units.isdigit()


def takes(record: RunRecord, task: str) -> tuple[Take, ...]:
    """What `task` takes of rate limits, in order. KeyFailed where an expression could not be evaluated."""
    if not record.plan.task(task).rates:
        return ()
    stored = record.routing.rates
    out: list[Take] = []
    at = 0
    for each in record.plan.tasks:
        for rate in each.rates:
            if is_fixed(rate):
                found: Units = RateUnits(key=rate.key, units=int(rate.units))
            else:
                found = stored[at] if at < len(stored) else NotEvaluated(f"{rate.key!r} was not evaluated")
                at += 1
            if each.name == task:
                out.append(_take(rate, found))
    return tuple(out)


def _take(rate: RatePlan, found: Units) -> Take:
    if isinstance(found, NotEvaluated):
        raise KeyFailed(found.reason)
    window_ms = rate.window_s * 1000 if rate.dynamic else None
    return Take(key=found.key, units=found.units, limit=found.limit, window_ms=window_ms)


# ---------------------------------------------------------------- taking


def in_force(of: Take, seen: Window) -> Window:
    """The window as this task sees it: a dynamic key's limit and length are what the task says, unless that key was put."""
    if seen.static or of.limit is None or of.window_ms is None:
        return seen
    start_ms = seen.start_ms if seen.window_ms == of.window_ms else None
    return replace(seen, limit=of.limit, window_ms=of.window_ms, start_ms=start_ms)


KEPT_MS = 30 * 86_400_000
"""How long a dynamic key's item outlives its window."""


def expires_at_s(end_ms: int) -> int:
    return (end_ms + KEPT_MS) // 1000


def take(of: Take, seen: Window, *, waited: bool, now_ms: int) -> tuple[Update, int]:
    """Take the units if the window has them and it is this task's turn; and the start of the window that they are of.

    `seen` is the item as it was last read, or a guess that the write holds it to.
    """
    mine = in_force(of, seen)
    limit, window_ms = mine.limit or 0, mine.window_ms or 1_000
    turn: tuple[Condition, ...] = () if waited else (Missing(("w",)),)
    start_ms = max(window_start(now_ms, window_ms), mine.start_ms or 0)
    if (seen.start_ms, seen.limit, seen.window_ms) == (start_ms, limit, window_ms):
        write = Update(
            key=gate_key(of.gate),
            require=every(
                Equal(("n",), start_ms),
                Equal(("max",), limit),
                Equal(("win",), window_ms),
                AtLeast(("left",), of.units),
                *turn,
            ),
            adds={("left",): -of.units},
        )
        return write, start_ms
    fresh = mine.start_ms != start_ms
    left = limit if fresh else min(mine.left, limit)
    same: list[Condition] = [
        Missing(("n",)) if seen.start_ms is None else Equal(("n",), seen.start_ms),
        Missing(("max",)) if seen.limit is None else Equal(("max",), seen.limit),
        Missing(("win",)) if seen.window_ms is None else Equal(("win",), seen.window_ms),
    ]
    if not fresh:
        same.append(Equal(("left",), seen.left))
    write = Update(
        key=gate_key(of.gate),
        require=every(*same, *turn),
        sets={
            ("n",): start_ms,
            ("left",): left - of.units,
            ("max",): limit,
            ("win",): window_ms,
            **(
                {}
                if seen.static or of.window_ms is None
                else {("expires_at",): expires_at_s(start_ms + window_ms)}
            ),
        },
    )
    return write, start_ms


def give_back(of: Take, start_ms: int) -> Update:
    """Return units of a window, while it lasts: another limit of the same task had none."""
    return Update(key=gate_key(of.gate), require=Equal(("n",), start_ms), adds={("left",): of.units})


# ---------------------------------------------------------------- the refill


def mark(gate: str, nonce: str, *, due_ms: int | None, by: str = "") -> Update:
    """A task waits, and a refill is due at `due_ms`; None: where one is due already, which stays.

    If it moved, the one that is on its way would be stale, and wake no waiter.
    """
    sets: dict[Path, Value] = {("w",): nonce, ("lpk",): gates_listed(gate_shard(gate)), ("lsk",): gate}
    if due_ms is not None:
        sets[("sched",)] = due_ms
        sets[("schedby",)] = by
    scheduled = ("sched",)
    return Update(
        key=gate_key(gate), require=Exists(scheduled) if due_ms is None else Missing(scheduled), sets=sets
    )


def move_schedule(gate: str, coming_ms: int) -> Update:
    """The next message, which was sent, is the one that counts."""
    return Update(
        key=gate_key(gate),
        require=AtMost(("sched",), coming_ms - 1),
        sets={("sched",): coming_ms, ("schedby",): ""},
    )


def send_again(gate: str, scheduled_ms: int, *, minute: int) -> Update:
    """A refill is overdue: of several clocks that look in the same minute, one sends it again."""
    others = either(Missing(("schedat",)), AtMost(("schedat",), minute - 1))
    return Update(
        key=gate_key(gate),
        require=every(Equal(("sched",), scheduled_ms), others),
        sets={("schedat",): minute},
    )


def close(gate: str, seen: str | None) -> Update:
    """No task waits, if none has parked since `seen`: no further message is due."""
    require = Missing(("w",)) if seen is None else Equal(("w",), seen)
    return Update(key=gate_key(gate), require=require, removes=(("w",), ("sched",)))


# ---------------------------------------------------------------- static limits


def put_limit(key: str, limit: int, window_ms: int, *, seen: Window, declared: str | None = None) -> Update:
    """Set a static limit, which does not expire; what is left of the window is no more than the limit.

    Where the window's length changes, the schedule is removed: the caller has to make sure that a refill is due.
    """
    clamped = seen.left > limit
    sets: dict[Path, Value] = {("max",): limit, ("win",): window_ms, ("key",): key}
    if clamped:
        sets[("left",)] = limit
    if declared is not None:
        sets[("declared",)] = declared
    moved: tuple[Path, ...] = (("sched",),) if seen.window_ms not in (None, window_ms) else ()
    return Update(
        key=gate_key(encode_point(AtRateLimit(short_key(key)))),
        require=AtLeast(("left",), limit + 1)
        if clamped
        else either(Missing(("left",)), AtMost(("left",), limit)),
        sets=sets,
        removes=(("expires_at",), *moved),
    )
