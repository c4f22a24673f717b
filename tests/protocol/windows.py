"""A rate limit: units per window, taken by one conditional write; a refused task waits for the refill's message.

    claim -> take -> unpark -> run and commit -> repair -> delete
       |      | refused
       |      v
       |   unclaim -> park -> mark, schedule where nothing is due -> send the refill, if this scheduled it -> look -> delete
       | stale
       v
     unpark -> repair (park, mark as above) -> tend (marked: send the refill that is due) -> look -> delete

    refill of window n: read -> query -> some: send the next refill -> move the schedule -> its mover wakes as many
                                      |            as the window has units -> delete
                                      -> none: close (clear mark and schedule if the mark is still the one read, else read again)

While there is a mark, a refill is due, or owed by a message that is not deleted yet. A refill that the schedule has passed is
dropped, so no duplicate lives long; one that is ahead of the schedule takes its place, since the next is sent before the
schedule moves. Who parks sends itself a message if there are units for it and for all ahead of it.
Marks are nonces: 0 is absent, 1 is the one on the item, 2 any earlier one.
"""

from __future__ import annotations

from protocol.model import (
    CANCEL,
    CRASH,
    DUP,
    FLIGHT,
    PARKED,
    READY,
    RUNNING,
    ZOMBIE,
    Faults,
    Gates,
    Handler,
    Message,
    Model,
    Move,
    Pair,
    Run,
    State,
    ended,
    handler,
    replaced,
)

REFILL = -1
"""The run of a refill's message; its ticket is the window."""

LAST_WINDOW = 9
"""A plan that needs so many windows makes no progress."""


class Windows(Model):
    """Runs that take units. gates = (window, left, mark, schedule, waiters, units taken of this window)."""

    def __init__(
        self,
        units: tuple[int, ...],
        limit: int,
        faults: Faults | None = None,
        *,
        early: int = 1,
        broken: str = "",
    ) -> None:
        super().__init__(len(units), faults, broken=broken)
        self.units, self.limit, self.early = units, limit, early
        self.steps = {
            **self.steps,
            "take": self._take,
            "park": self._park,
            "mark": self._mark,
            "refill": self._refill,
            "unpark": self._unpark,
            "tend": self._tend,
            "query": self._query,
            "send": self._send,
            "r.read": self._refill_read,
            "r.query": self._refill_query,
            "r.send": self._refill_send,
            "r.next": self._refill_next,
            "r.move": self._refill_move,
            "r.close": self._refill_close,
        }

    def empty_gates(self) -> Gates:
        return (0, 0, 0, 0, (), 0)

    def first(self) -> State:
        return (*super().first()[:5], (1, self.early))

    # ------------------------------------------------------------ where the shared steps lead

    def _due(self, message: Message, time: tuple[int, ...]) -> bool:
        return message[0] != REFILL or message[1] <= time[0]

    def _delivered(self, run: int, ticket: int) -> Handler:
        step = "r.read" if run == REFILL else "claim"
        return (run, ticket, step, "go", 0, self.no_looks, (), True, False)

    def _claimed(self, h: Handler, run: Run) -> Handler:
        return handler(h, "take", way="go", memory=(run[3],))

    def _stale(self, h: Handler) -> Handler:
        return handler(h, "unpark", way="stale", memory=())

    def _refused(self, h: Handler) -> Handler:
        return handler(h, "park", way="park")

    def _committed(self, h: Handler) -> Handler:
        return handler(h, "repair", way="done", memory=())

    def _repaired(self, h: Handler) -> Handler:
        """A stale delivery may be all that is left of one who owed a refill."""
        return handler(h, "tend" if h[3] == "stale" else "delete", memory=())

    # ------------------------------------------------------------ units

    def _units_left(self, s: State, now: int) -> int:
        window, left = s[2][0], s[2][1]
        return self.limit if window < now else int(left)

    def _take(self, s: State, i: int, h: Handler) -> list[Move]:
        """One read of the clock and one write: another's window that is ahead counts as now."""
        r = h[0]
        window, _, mark, schedule, waiters, taken = s[2]
        now = max(s[5][0], window)
        left = self._units_left(s, now)
        cost = self.units[r]
        newcomer = not h[6][0]
        unguarded = self.broken == "units are taken without a condition"
        if mark and newcomer and self.broken != "newcomers overtake":
            return [self.to(s, i, handler(h, "unclaim", memory=(now,)), "behind")]
        if left < cost and not unguarded:
            return [self.to(s, i, handler(h, "unclaim", memory=(now,)), "nothing left")]
        used = (taken if window == now else 0) + cost
        then = handler(h, "run" if newcomer else "unpark", memory=())
        note = "!a newcomer overtakes" if newcomer and mark else f"of window {now}"
        if used > self.limit:
            note = "!more units taken than the window has"
        return [self.to(s, i, then, note, gates=(now, left - cost, mark, schedule, waiters, used))]

    # ------------------------------------------------------------ waiting

    def _park(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a = h[0], h[1]
        waiters = s[2][4]
        memory = (s[5][0],) if h[3] != "park" else h[6]
        then = handler(h, "mark", memory=memory)
        if any(x[0] == r and x[1] > a for x in waiters):
            return [self.to(s, i, then, "is there")]
        line = tuple(sorted((*(x for x in waiters if x[0] != r), (r, a + 1))))
        return [self.to(s, i, then, gates=replaced(s[2], 4, line))]

    def _mark(self, s: State, i: int, h: Handler) -> list[Move]:
        """Where a refill is due already, it stays: one that was passed by would wake no task. The window is the one it was refused in."""
        window, left, _, schedule, waiters, taken = s[2]
        due = schedule or max(h[6][0], window) + 1
        if self.broken == "who parks moves the schedule":
            due = max(schedule, max(h[6][0], window) + 1)
        again = h[3] == "stale" and self.broken == "refill sent again for parked records only"
        handlers = _outdated(s[3])
        h = handlers[i]
        sends = due > schedule or again
        then = handler(h, "refill", memory=(due,)) if sends else self._after_refill(s, h)
        gates = (window, left, 1, due, waiters, taken)
        note = "moves" if due > schedule else "-"
        return [self.to(s, i, then, note, gates=gates, handlers=handlers)]

    def _after_refill(self, s: State, h: Handler) -> Handler:
        """Units may be left: then no task has to wait for the window's end."""
        if h[3] == "stale":
            return self._repaired(h)
        if h[3] == "park" and self.broken == "no look after the mark":
            return handler(h, "delete", memory=())
        return self._look(s, h)

    def _refill(self, s: State, i: int, h: Handler) -> list[Move]:
        msgs = (*s[1], (REFILL, h[6][0], READY))
        return [self.to(s, i, self._after_refill(s, h), f"window {h[6][0]}", msgs=msgs)]

    def _unpark(self, s: State, i: int, h: Handler) -> list[Move]:
        left = tuple(x for x in s[2][4] if x[0] != h[0] or x[1] > h[1])
        then = handler(h, "repair" if h[3] == "stale" else "run")
        return [self.to(s, i, then, gates=replaced(s[2], 4, left))]

    # ------------------------------------------------------------ looks

    def _look(self, s: State, h: Handler) -> Handler:
        return handler(h, "query" if self._units_left(s, s[5][0]) > 0 else "delete", memory=())

    def _tend(self, s: State, i: int, h: Handler) -> list[Move]:
        forgets = self.broken in ("refill not sent again", "refill sent again for parked records only")
        if s[2][2] and not forgets:
            return [self.to(s, i, handler(h, "refill", way="tend", memory=(s[2][3],)), "marked")]
        return [self.to(s, i, self._look(s, h), "-")]

    def _query(self, s: State, i: int, h: Handler) -> list[Move]:
        """Who has just parked looks for itself, behind those ahead of it; a stale delivery looks for the head."""
        waiters, left = s[2][4], self._units_left(s, s[5][0])
        able: list[Pair] = []
        for waiter in waiters:
            if self.units[waiter[0]] > left:
                break
            left -= self.units[waiter[0]]
            able.append(waiter)
        found = [x for x in able if x[0] == h[0]] if h[3] == "park" else able[:1]
        if not found:
            return [self.to(s, i, handler(h, "delete", memory=()), "none waits")]
        return [self.to(s, i, handler(h, "send", memory=found[0]), f"sees {found[0]}")]

    def _send(self, s: State, i: int, h: Handler) -> list[Move]:
        run, ticket = h[6]
        then = handler(h, "delete", memory=())
        return [self.to(s, i, then, f"to {run}", msgs=(*s[1], (run, ticket, READY)))]

    # ------------------------------------------------------------ the refill's message

    def _refill_read(self, s: State, i: int, h: Handler) -> list[Move]:
        """`gate` keeps the window it was read in: time may pass before the next refill is sent."""
        mark, schedule = s[2][2], s[2][3]
        passed = schedule > h[1] or not schedule
        if self.broken == "only the refill that is due counts":
            passed = schedule != h[1]
        if passed:
            return [self.to(s, i, handler(h, "delete"), "passed")]
        then = handler(h, "r.query", gate=max(s[5][0], h[1]), looks=(mark,))
        return [self.to(s, i, then, "due")]

    def _refill_query(self, s: State, i: int, h: Handler) -> list[Move]:
        waiters = s[2][4]
        if not waiters:
            return [self.to(s, i, handler(h, "r.close"), "none waits")]
        heads: tuple[Pair, ...] = waiters[: self.limit]
        memory = tuple(n for pair in heads for n in pair)
        then = "r.move" if self.broken == "the schedule moves first" else "r.next"
        if self.broken == "the refill stops when it can serve all" and len(waiters) <= self.limit:
            then = "r.send"
        return [self.to(s, i, handler(h, then, memory=memory), f"sees {len(waiters)}")]

    def _refill_next(self, s: State, i: int, h: Handler) -> list[Move]:
        coming = h[4] + 1
        then = handler(h, "r.send" if self.broken == "the schedule moves first" else "r.move")
        return [self.to(s, i, then, f"window {coming}", msgs=(*s[1], (REFILL, coming, READY)))]

    def _refill_move(self, s: State, i: int, h: Handler) -> list[Move]:
        coming = h[4] + 1
        if not 0 < s[2][3] < coming:
            done = handler(h, "delete", gate=0, looks=self.no_looks, memory=())
            return [self.to(s, i, done, "moved already")]
        then = handler(h, "r.next" if self.broken == "the schedule moves first" else "r.send")
        return [self.to(s, i, then, f"to {coming}", gates=replaced(s[2], 3, coming))]

    def _refill_send(self, s: State, i: int, h: Handler) -> list[Move]:
        run, ticket, left = h[6][0], h[6][1], h[6][2:]
        done = handler(h, "delete", gate=0, looks=self.no_looks, memory=())
        then = handler(h, "r.send", memory=left) if left else done
        return [self.to(s, i, then, f"to {run}", msgs=(*s[1], (run, ticket, READY)))]

    def _refill_close(self, s: State, i: int, h: Handler) -> list[Move]:
        window, left, mark, schedule, waiters, taken = s[2]
        done = handler(h, "delete", gate=0, looks=self.no_looks)
        unconditional = self.broken == "clear whatever the mark"
        if h[5][0] != mark and not unconditional:
            again = handler(h, "r.read", gate=0, looks=self.no_looks)
            return [self.to(s, i, done if self.broken == "close once" else again, "marked again")]
        kept = schedule if self.broken == "the schedule outlives the mark" else 0
        handlers = _outdated(s[3])
        return [self.to(s, i, done, gates=(window, left, 0, kept, waiters, taken), handlers=handlers)]

    # ------------------------------------------------------------ time, the clock, and what must hold

    def successors(self, state: State) -> list[Move]:
        out = super().successors(state)
        runs, msgs, gates, handlers, budget, (now, early) = state
        due = any(m[2] == FLIGHT or self._due(m, state[5]) for m in msgs)
        if handlers or due:
            if early:
                out.append((("time passes",), (runs, msgs, gates, handlers, budget, (now + 1, early - 1))))
        elif msgs:
            out.append((("the window ends",), (runs, msgs, gates, handlers, budget, (now + 1, early))))
        return out

    def _clock(self, s: State) -> list[Move]:
        runs, msgs, gates, _, budget, time = s
        if msgs:
            return []
        if gates[4]:
            later = (time[0] + 1, time[1])
            return [(("clock wakes",), (runs, ((*gates[4][0], READY),), gates, (), budget, later))]
        late = tuple((r, run[1], READY) for r, run in enumerate(runs) if run[0] == RUNNING)
        return [(("clock: leases over",), (runs, late, gates, (), budget, time))] if late else []

    def wrong(self, state: State) -> str | None:
        runs, msgs, gates, handlers, _, time = state
        if time[0] > LAST_WINDOW or any(run[1] > self.tickets for run in runs):
            return "livelock: the windows pass and no task gets in"
        if not handlers and not msgs:
            return self._wrong_at_rest(state)
        faultless = not any(self.budget)
        if faultless and not handlers and not any(self._due(m, time) for m in msgs):
            heads = gates[4][:1]
            if heads and self.units[heads[0][0]] <= self._units_left(state, time[0]):
                return "units are left and a run waits for the window's end"
        return None

    def _wrong_at_rest(self, state: State) -> str | None:
        runs, _, gates, _, _, _ = state
        if self.budget[ZOMBIE]:
            return None if all(ended(run) for run in runs) or self._clock(state) else "stuck for good"
        if not all(ended(run) for run in runs):
            return "lost run" if any(run[0] == PARKED for run in runs) else "lost message"
        if self.budget[CRASH] and (self.budget[DUP] or self.budget[CANCEL]):
            return None  # a waiter of a run that is over may stay: the next refill removes it
        if gates[4]:
            return "a waiter is left behind"
        return "a mark is left behind" if gates[2] else None


def _outdated(handlers: tuple[Handler, ...]) -> tuple[Handler, ...]:
    return tuple((*h[:5], (2,), *h[6:]) if h[5] == (1,) else h for h in handlers)
