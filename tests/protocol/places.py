"""Concurrency gates in a chain: holders, waiters, and the mark that tasks may wait.

    ahead -> claim -> acquire each gate -> unpark -> baton -> run and commit -> release -> repair -> wake -> delete
       |        | full at gate k
       |        v
       |     unclaim -> release gates before k, look -> leave other lines, look -> park -> mark, look -> delete
       |                                                                  | put in      | put in
       |                                                                  +-- shed, look +-- shed, look
       | stale (run over, or a later ticket)
       v
     unpark -> release -> repair -> wake -> delete

A first message may look at its first gate before it claims, and where that is full, or a mark is there, hand the record over to the next ticket
at once: PARKED, without having been RUNNING.

Who parks marks the gate, unless there is a mark. A mark is taken away in two steps, each after a query that finds none: the first says
that it is being taken away, and who parks and finds it so marks anew.

A run that ends may hand its place over to the first waiter that no wake-up is on its way to: its commit names that heir, whose run is put
in the place of the one that ends by one write; then the waiter is struck from the line and its message sent, unless another handler has
noted it. It finds itself inside. A stale delivery of the message that ended it reads who was named: a waiter that is in line still is
noted and woken like any other; one that is struck, and whose ticket was not used, may have got no message; one that is over may have been
put in a place all the same, and is taken out. So may one that was refused, or has not come to that gate: it parks, finds itself in, and
sheds the place.

    run and name an heir -> hand -> strike -> tell -> release -> repair -> wake -> delete
    stale: release -> repair -> will -> (promise, tell | record -> tell, or free what is held for a ticket that is over) -> wake -> delete

To look at a gate that has room: query the waiters; send the head its message, or, if there is none, clear the mark if it is still
the one seen before the query. The head is first noted as woken, with the message on whose account that is: a process that looks next passes
over it, counts it as room that is taken, and wakes the one after it. Who is inside already is passed over too. A note holds until the
waiter's message arrives, however long that takes. The message that a note names answers for it: a look of a stale delivery of that
message, or of one after a takeover, sends again. (A copy of the message that dies after the other one was deleted leaves its note to the
clock.) The clock ticks at any time, notes too, and passes over notes while any message is on its way.
Each ticket is woken once, and once more for each fault that strikes: `wakes` counts. Marks are nonces: 0 is absent, 1 is the one on the gate, 2 any earlier one. The mutation `marks are
counted` makes them a count that begins again once cleared.
"""

from __future__ import annotations

from protocol.model import (
    CANCEL,
    CANCELLED,
    COMPLETED,
    CRASH,
    DUP,
    PARKED,
    QUEUED,
    READY,
    RUNNING,
    ZOMBIE,
    Faults,
    Gates,
    Handler,
    Model,
    Move,
    Pair,
    Run,
    State,
    ended,
    handler,
    owning,
    replaced,
)

Waiter = tuple[int, int, int, int]
"""Run, ticket, the message that answers for the note (0: there is none), how often its message was sent."""

CLOCK = -1
"""Answers for a note of the clock's."""


def _message(h: Handler) -> int:
    return 1 + 16 * h[0] + h[1]


Gate = tuple[tuple[Pair, ...], int, tuple[Waiter, ...]]
"""Holders, the mark, waiters."""

OPEN, OLD, CLOSING = 1, 2, 3
"""The mark on the gate; one that was there before; one that is about to be taken away."""

ONE_STEP = ("marks are counted", "clear whatever the mark", "the mark goes in one step")
"""Mistakes that take a mark away after one query."""


def _named(k: int, run: int, ticket: int) -> int:
    """What stands in the record of a run that ended, of its heir at gate `k`."""
    return -2 - (k * 1024 + run * 64 + ticket)


def _heir(at: int) -> tuple[int, int, int] | None:
    """The gate, the run and the ticket of an heir that a record names."""
    return None if at > -2 else ((-2 - at) // 1024, (-2 - at) % 1024 // 64, (-2 - at) % 64)


class Places(Model):
    """Runs that pass one or more gates, of the given capacities, in order."""

    def __init__(
        self,
        runs: int,
        capacities: tuple[int, ...],
        faults: Faults | None = None,
        *,
        last_first: bool = False,
        stale: int = 0,
        tickets: int = 8,
        ticks: int = 0,
        heirs: bool = False,
        broken: str = "",
    ) -> None:
        """`stale`: so many runs are over, their messages come once more, and a mark was left behind. `ticks`: how often the clock ticks
        while messages are on their way. `heirs`: whether a run that ends may hand its place over."""
        self.gates_count = len(capacities)
        super().__init__(runs, faults, broken=broken)
        self.capacities = capacities
        self.last_first = last_first
        self.stale = stale
        self.tickets = tickets
        self.ticks = ticks
        self.heirs = heirs
        self.steps = {
            **self.steps,
            "ahead": self._ahead,
            "straight": self._straight,
            "acquire": self._acquire,
            "drop": self._drop,
            "quit": self._quit,
            "peek": self._peek,
            "shed": self._shed,
            "park": self._park,
            "mark": self._mark,
            "unpark": self._unpark,
            "baton": self._wake_next_if_room,
            "release": self._release,
            "query": self._query,
            "send": self._send,
            "note": self._note,
            "close": self._close,
            "clear": self._clear,
            "bequeath": self._bequeath,
            "strike": self._strike,
            "hand": self._hand,
            "tell": self._tell,
            "will": self._will,
            "promise": self._promise,
            "record": self._record,
            "free": self._free,
        }

    def empty_gates(self) -> Gates:
        return tuple(((), 1 if self.stale else 0, ()) for _ in self.capacities)

    def first(self) -> State:
        first = super().first()
        over: tuple[Run, ...] = ((COMPLETED, 1, -1, 0),) * self.stale
        return ((*over, *first[0][self.stale :]), *first[1:5], (self.ticks, 0))

    # ------------------------------------------------------------ where the shared steps lead

    def _claimed(self, h: Handler, run: Run) -> Handler:
        again = run[0] == RUNNING and self.broken != "a takeover trusts notes"
        return handler(h, "acquire", way="again" if again else "go", gate=0, memory=(run[3],))

    def _stale(self, h: Handler) -> Handler:
        return handler(h, "unpark", way="stale", gate=0, looks=self.no_looks, memory=())

    def _claim(self, s: State, i: int, h: Handler) -> list[Move]:
        """A first message may look before it claims."""
        out = super()._claim(s, i, h)
        if h[1] == 1 and h[3] == "go":
            out.append(self.to(s, i, handler(h, "ahead", way="ahead"), "looks ahead"))
        return out

    def _ahead(self, s: State, i: int, h: Handler) -> list[Move]:
        holders, mark, _ = s[2][0]
        room = len(holders) < self.capacities[0] and not mark
        return [self.to(s, i, handler(h, "claim" if room else "straight"), "room" if room else "full")]

    def _straight(self, s: State, i: int, h: Handler) -> list[Move]:
        """Parked by one write: if nothing has claimed."""
        r, a = h[0], h[1]
        if s[0][r][:2] != (QUEUED, a):
            return [self.to(s, i, handler(h, "claim"), "claimed")]
        runs = replaced(s[0], r, (PARKED, a + 1, 0, 1))
        return [self.to(s, i, handler(h, "park", way="park", gate=0, memory=()), runs=runs)]

    def _refused(self, h: Handler) -> Handler:
        target, waited = h[4], h[6][0]
        h = handler(h, "drop", way="drop", gate=0, memory=(target, waited))
        if self.broken == "places kept while parked":
            return self._next_quit(h, 0)
        return self._next_drop(handler(h, "drop", gate=-1))

    def _committed(self, h: Handler) -> Handler:
        return handler(h, "release", way="done", gate=0, memory=())

    def _repaired(self, h: Handler) -> Handler:
        return self._wake(h)

    def _wake(self, h: Handler) -> Handler:
        """The next look that is owed, or the end."""
        for k, seen in enumerate(h[5]):
            if seen >= 0:
                return handler(h, "query", gate=k, memory=())
        return handler(h, "delete", gate=0, memory=())

    def _looked(self, h: Handler, then: tuple[int, ...]) -> Handler:
        """Where a handler goes after its look at a gate."""
        k, way = h[4], h[3]
        h = handler(h, h[2], looks=replaced(h[5], k, -1), memory=then)
        if way == "drop":
            return self._next_drop(h)
        if way == "quit":
            return self._next_quit(h, k + 1)
        if way in ("go", "again"):
            return self._next_baton(h, k + 1)
        return self._wake(h)

    def _next_drop(self, h: Handler) -> Handler:
        target, k = h[6][0], h[4] + 1
        if k < target:
            return handler(h, "drop", gate=k)
        return self._next_quit(h, 0)

    def _next_quit(self, h: Handler, k: int) -> Handler:
        """Out of the lines where it waited before: a waiter that is noted as woken, and lines up elsewhere, would be waited for."""
        target, waited = h[6]
        for gate in range(k, self.gates_count):
            if waited >> gate & 1 and gate != target and self.broken != "waits in two lines":
                return handler(h, "quit", way="quit", gate=gate)
        return handler(h, "park", way="park", gate=target, memory=())

    def _next_baton(self, h: Handler, k: int) -> Handler:
        """A gate of one place has no room while it is held."""
        if self.broken != "no baton":
            for gate in range(k, self.gates_count):
                if self.capacities[gate] > 1:
                    return handler(h, "baton", gate=gate, memory=())
        return handler(h, "run", gate=0, memory=())

    def _next_unpark(self, h: Handler, k: int) -> Handler:
        for gate in range(k, self.gates_count):
            if h[3] == "stale" or h[6][0] >> gate & 1:
                return handler(h, "unpark", gate=gate)
        if h[3] == "stale":
            return handler(h, "release", gate=0)
        return self._next_baton(h, 0)

    # ------------------------------------------------------------ in

    def _acquire(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a, k = h[0], h[1], h[4]
        holders, mark, waiters = s[2][k]
        mine = next((ticket for run, ticket in holders if run == r), None)
        waited = h[6][0] >> k & 1
        if mine is not None and mine > a:
            return [self.to(s, i, self._stale(h), "stale")]
        newcomer = mine is None and not waited
        room = len(holders) < self.capacities[k]
        turn = mark == 0 or not newcomer or self.broken == "newcomers overtake"
        if mine is None and not (room and turn):
            return [self.to(s, i, handler(h, "unclaim"), "full" if not room else "behind")]
        inside = tuple(sorted((*(x for x in holders if x[0] != r), (r, a))))
        gates = replaced(s[2], k, (inside, mark, waiters))
        last = k + 1 == self.gates_count
        struck = not any(x[0] == r and x[1] <= a for x in waiters)
        if mine == a and h[3] == "go" and struck:
            h = handler(
                h, "acquire", memory=(h[6][0] & ~(1 << k),)
            )  # the handler that put it in has struck it
        then = self._next_unpark(h, 0) if last else handler(h, "acquire", gate=k + 1)
        note = "!a newcomer overtakes" if newcomer and mark else "enters"
        return [self.to(s, i, then, note, gates=gates)]

    def _unpark(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a, k = h[0], h[1], h[4]
        holders, mark, waiters = s[2][k]
        left = tuple(x for x in waiters if x[0] != r or x[1] > a)
        gates = replaced(s[2], k, (holders, mark, left))
        return [self.to(s, i, self._next_unpark(h, k + 1), gates=gates)]

    def _quit(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a, k = h[0], h[1], h[4]
        holders, mark, waiters = s[2][k]
        left = tuple(x for x in waiters if x[0] != r or x[1] > a)
        gates = replaced(s[2], k, (holders, mark, left))
        return [self.to(s, i, handler(h, "peek"), gates=gates)]

    def _peek(self, s: State, i: int, h: Handler) -> list[Move]:
        k = h[4]
        holders, mark, _ = s[2][k]
        if self._was_put_in(h, holders) and self.broken != "a place that was handed over is kept":
            return [self.to(s, i, handler(h, "shed"), "was put in")]
        if len(holders) < self.capacities[k] and mark:
            return [self.to(s, i, handler(h, "query", looks=replaced(h[5], k, mark)), "room")]
        return [self.to(s, i, self._next_quit(h, k + 1), "-")]

    def _was_put_in(self, h: Handler, holders: tuple[Pair, ...]) -> bool:
        """Whether a place was handed over to a ticket that was refused, or has not come to the gate."""
        return any(run == h[0] and ticket <= h[1] for run, ticket in holders)

    def _shed(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a, k = h[0], h[1], h[4]
        holders, mark, waiters = s[2][k]
        rest = tuple(x for x in holders if x[0] != r or x[1] > a)
        gates = replaced(s[2], k, (rest, mark, waiters))
        if mark and len(rest) < self.capacities[k]:
            return [self.to(s, i, handler(h, "query", looks=replaced(h[5], k, mark)), gates=gates)]
        then = self._next_quit(h, k + 1) if h[3] == "quit" else self._wake(h)
        return [self.to(s, i, then, gates=gates)]

    def _wake_next_if_room(self, s: State, i: int, h: Handler) -> list[Move]:
        k = h[4]
        holders, mark, _ = s[2][k]
        if len(holders) < self.capacities[k] and mark:
            looks = replaced(h[5], k, mark)
            return [self.to(s, i, handler(h, "query", looks=looks), "room")]
        return [self.to(s, i, self._next_baton(h, k + 1), "-")]

    # ------------------------------------------------------------ waiting

    def _park(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a, k = h[0], h[1], h[4]
        holders, mark, waiters = s[2][k]
        then = handler(h, "mark")
        if any(x[0] == r and x[1] > a for x in waiters):
            return [self.to(s, i, then, "is there")]
        line = tuple(sorted((*(x for x in waiters if x[0] != r), (r, a + 1, 0, 0))))
        return [self.to(s, i, then, gates=replaced(s[2], k, (holders, mark, line)))]

    def _mark(self, s: State, i: int, h: Handler) -> list[Move]:
        k = h[4]
        holders, mark, waiters = s[2][k]
        counted = self.broken == "marks are counted"
        kept = not counted and mark == (
            CLOSING if self.broken == "a mark that is taken away is a mark" else OPEN
        )
        new = mark if kept else mark + 1 if counted else OPEN
        handlers = s[3] if counted or kept else _outdated(s[3], k)
        h = handlers[i]
        room = len(holders) < self.capacities[k] and self.broken != "no look after the mark"
        then = self._wake(handler(h, h[2], looks=replaced(h[5], k, new if room else h[5][k])))
        if self._was_put_in(h, holders) and self.broken != "refused, and put in all the same":
            then = handler(h, "shed")
        gates = replaced(s[2], k, (holders, new, waiters))
        return [self.to(s, i, then, "room" if room else "-", gates=gates, handlers=handlers)]

    # ------------------------------------------------------------ out

    def _left(self, s: State, h: Handler) -> tuple[Gates, int]:
        """The gate without this ticket's place, and the mark to look with (-1: no look). A stale delivery looks though there is no room: no other
        message answers for the notes that it wrote."""
        r, a, k = h[0], h[1], h[4]
        holders, mark, waiters = s[2][k]
        any_ticket = self.broken == "release takes any ticket"
        rest = tuple(x for x in holders if x[0] != r or (x[1] != a and not any_ticket))
        room = len(rest) < self.capacities[k]
        look = room or mark if h[3] == "stale" else room and mark
        return replaced(s[2], k, (rest, mark, waiters)), mark if look else -1

    def _drop(self, s: State, i: int, h: Handler) -> list[Move]:
        gates, mark = self._left(s, h)
        if mark < 0:
            return [self.to(s, i, self._next_drop(h), "-", gates=gates)]
        then = handler(h, "query", looks=replaced(h[5], h[4], mark))
        return [self.to(s, i, then, "room", gates=gates)]

    def _release(self, s: State, i: int, h: Handler) -> list[Move]:
        k = h[4]
        gates, mark = self._left(s, h)
        h = handler(h, "release", looks=replaced(h[5], k, mark))
        last = k + 1 == self.gates_count
        then = handler(h, "repair" if last else "release", gate=0 if last else k + 1)
        return [self.to(s, i, then, gates=gates)]

    # ------------------------------------------------------------ handed over

    def _run(self, s: State, i: int, h: Handler) -> list[Move]:
        """A run that ends may name an heir, of a line that it has read."""
        out = super()._run(s, i, h)
        for k, (_, _, waiters) in enumerate(s[2]):
            able = [x for x in waiters if not x[2] and x[0] != h[0]]
            if able and h[8] and self.heirs:
                out.append(
                    self.to(s, i, handler(h, "bequeath", gate=k, memory=self._head(tuple(able))[:2]), "names")
                )
        return out

    def _bequeath(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a, k = h[0], h[1], h[4]
        run = s[0][r]
        if not h[8]:
            over = ended(run) or run[1] > a
            return [self.to(s, i, self._committed(h) if over else None, "stale" if over else "fenced")]
        at = -1 if self.broken == "the record does not name the heir" else _named(k, *h[6])
        runs = replaced(s[0], r, (COMPLETED, a, at, 0))
        return [self.to(s, i, owning(handler(h, "hand", way="done"), False), COMPLETED, runs=runs)]

    def _hand(self, s: State, i: int, h: Handler) -> list[Move]:
        """One write: if it is in, and its heir is not. Of several who name the same heir, one has it."""
        r, a, k = h[0], h[1], h[4]
        holders, mark, waiters = s[2][k]
        mine = any(run == r and ticket <= a for run, ticket in holders)
        there = any(run == h[6][0] for run, _ in holders)
        if not mine or (there and self.broken != "hands over to one that is in"):
            return [self.to(s, i, self._committed(h), "refused")]
        inside = tuple(sorted((*(x for x in holders if x[0] != r), h[6])))
        return [self.to(s, i, handler(h, "strike"), gates=replaced(s[2], k, (inside, mark, waiters)))]

    def _strike(self, s: State, i: int, h: Handler) -> list[Move]:
        """Out of the line, unless another has woken it: that one sends its message."""
        k = h[4]
        holders, mark, waiters = s[2][k]
        found = next((x for x in waiters if x[:2] == h[6]), None)
        if found is None:
            return [self.to(s, i, handler(h, "record"), "is gone")]
        if found[2] and self.broken != "tells an heir that another woke":
            return [self.to(s, i, self._committed(h), "another handler")]
        left = tuple(x for x in waiters if x != found)
        return [self.to(s, i, handler(h, "tell"), gates=replaced(s[2], k, (holders, mark, left)))]

    def _tell(self, s: State, i: int, h: Handler) -> list[Move]:
        return [self.to(s, i, self._told(h), f"to {h[6][0]}", msgs=(*s[1], (*h[6], READY)))]

    def _repair(self, s: State, i: int, h: Handler) -> list[Move]:
        status, ticket, at, _ = s[0][h[0]]
        heir = _heir(at) if status == COMPLETED and ticket == h[1] and h[3] == "stale" else None
        if heir is None or self.broken == "no repair of the heir":
            return super()._repair(s, i, h)
        return [self.to(s, i, handler(h, "will", gate=heir[0], memory=heir[1:]), "has an heir")]

    def _will(self, s: State, i: int, h: Handler) -> list[Move]:
        """Whether the heir is in line still."""
        found = next((x for x in s[2][h[4]][2] if x[:2] == h[6]), None)
        if found is None:
            return [self.to(s, i, handler(h, "record"), "struck")]
        if found[2] and found[2] != _message(h):
            return [self.to(s, i, self._repaired(handler(h, h[2], memory=())), "woken")]
        return [self.to(s, i, handler(h, "tell" if found[2] else "promise"), "waits")]

    def _promise(self, s: State, i: int, h: Handler) -> list[Move]:
        """A note, so that no other handler strikes it any more."""
        k = h[4]
        holders, mark, waiters = s[2][k]
        if not any(x[:2] == h[6] and not x[2] for x in waiters):
            return [self.to(s, i, handler(h, "will"), "another handler")]
        noted = tuple(sorted((*x[:2], _message(h), x[3] + 1) if x[:2] == h[6] else x for x in waiters))
        return [self.to(s, i, handler(h, "tell"), gates=replaced(s[2], k, (holders, mark, noted)))]

    def _record(self, s: State, i: int, h: Handler) -> list[Move]:
        """The heir is not in line: it may have got no message, or be over with a place."""
        status, ticket, _, _ = s[0][h[6][0]]
        if status == PARKED and ticket == h[6][1]:
            return [self.to(s, i, handler(h, "tell"), "parked")]
        if status in (COMPLETED, CANCELLED) or ticket > h[6][1]:
            return [self.to(s, i, handler(h, "free"), "over")]
        return [self.to(s, i, self._told(h), "runs")]

    def _free(self, s: State, i: int, h: Handler) -> list[Move]:
        """An heir that is over may have been handed the place all the same."""
        k = h[4]
        holders, mark, waiters = s[2][k]
        rest = tuple(x for x in holders if x[0] != h[6][0] or x[1] > h[6][1])
        if self.broken == "an heir that is over keeps the place":
            rest = holders
        then = self._told(handler(h, h[2], looks=replaced(h[5], k, mark) if rest != holders else h[5]))
        return [self.to(s, i, then, gates=replaced(s[2], k, (rest, mark, waiters)))]

    def _told(self, h: Handler) -> Handler:
        """A look that is owed passes over an heir that this delivery has told."""
        if h[3] == "stale" and h[5][h[4]] >= 0:
            return handler(h, "query")
        h = handler(h, h[2], memory=())
        return self._repaired(h) if h[3] == "stale" else self._committed(h)

    # ------------------------------------------------------------ looks

    def _head(self, waiters: tuple[Waiter, ...]) -> Waiter:
        return waiters[-1] if self.last_first else waiters[0]

    def _passes_over(self, h: Handler, waiter: Waiter) -> bool:
        """Whether a look takes the note for a message that is owed, or on its way."""
        told = h[6][:-2] if h[2] == "note" else h[6]
        if h[3] == "stale" and told[:2] == waiter[:2]:
            return True
        answers = h[3] == "again" or (h[3] == "stale" and self.broken != "a stale look trusts notes")
        mine = answers and waiter[2] == _message(h)
        return bool(waiter[2]) and not mine and self.broken != "a note expires"

    def _query(self, s: State, i: int, h: Handler) -> list[Move]:
        k = h[4]
        holders, mark, waiters = s[2][k]
        if waiters:
            outside = tuple(x for x in waiters if all(x[0] != run for run, _ in holders))
            able = tuple(x for x in outside if not self._passes_over(h, x))
            pending = len(outside) - len(able)
            owed = tuple(x for x in waiters if x[2] == _message(h) and not self._passes_over(h, x))
            if owed and self.broken != "a note expires":
                then = handler(h, "note", memory=(*h[6], *owed[0][:2]))
                return [self.to(s, i, then, f"owes {owed[0]}")]
            if not able or len(holders) + pending >= self.capacities[k]:
                return [self.to(s, i, self._looked(h, h[6]), "on their way")]
            head = self._head(able)
            then = handler(h, "note", memory=(*h[6], *head[:2]))
            return [self.to(s, i, then, f"sees {head}")]
        seen = h[5][k]
        sure = seen > 0 and (seen == mark or self.broken == "marks are counted")
        if sure or (seen > 0 and self.broken == "clear whatever the mark"):
            one = seen == CLOSING or self.broken in ONE_STEP
            return [self.to(s, i, handler(h, "clear" if one else "close"), "none waits")]
        return [self.to(s, i, self._looked(h, h[6]), "none waits")]

    def _note(self, s: State, i: int, h: Handler) -> list[Move]:
        """Of several who look at a time, one wakes the waiter."""
        k, head = h[4], h[6][-2:]
        holders, mark, waiters = s[2][k]
        if not any(x[:2] == head and not self._passes_over(h, x) for x in waiters):
            return [self.to(s, i, self._looked(h, h[6][:-2]), "another is first")]
        noted = tuple(sorted((*head, _message(h), x[3] + 1) if x[:2] == head else x for x in waiters))
        return [self.to(s, i, handler(h, "send"), gates=replaced(s[2], k, (holders, mark, noted)))]

    def _send(self, s: State, i: int, h: Handler) -> list[Move]:
        run, ticket = h[6][-2:]
        then = self._looked(h, h[6][:-2])
        return [self.to(s, i, then, f"to {run}", msgs=(*s[1], (run, ticket, READY)))]

    def _close(self, s: State, i: int, h: Handler) -> list[Move]:
        """The mark is about to be taken away: whoever parks from here on marks anew. Look once more."""
        k = h[4]
        holders, mark, waiters = s[2][k]
        if h[5][k] != mark:
            return [self.to(s, i, self._looked(h, h[6]), "marked again")]
        handlers = _outdated(s[3], k)
        then = handler(handlers[i], "query", looks=replaced(h[5], k, CLOSING))
        gates = replaced(s[2], k, (holders, CLOSING, waiters))
        return [self.to(s, i, then, gates=gates, handlers=handlers)]

    def _clear(self, s: State, i: int, h: Handler) -> list[Move]:
        k = h[4]
        holders, mark, waiters = s[2][k]
        if h[5][k] != mark and self.broken != "clear whatever the mark":
            return [self.to(s, i, self._looked(h, h[6]), "marked again")]
        handlers = s[3] if self.broken == "marks are counted" else _outdated(s[3], k)
        gates = replaced(s[2], k, (holders, 0, waiters))
        return [self.to(s, i, self._looked(handlers[i], h[6]), gates=gates, handlers=handlers)]

    # ------------------------------------------------------------ the clock, and what must hold

    def successors(self, state: State) -> list[Move]:
        out = super().successors(state)
        runs, msgs, gates, handlers, budget, (ticks, zero) = state
        if not ticks or not msgs:
            return out
        for k, (holders, mark, waiters) in enumerate(gates):
            outside = tuple(x for x in waiters if all(x[0] != run for run, _ in holders))
            noted = sum(1 for x in outside if x[2])
            able = (
                outside
                if self.broken == "the clock writes no note"
                else tuple(x for x in outside if not x[2])
            )
            if able and len(holders) + (noted if able is not outside else 0) < self.capacities[k]:
                head = self._head(able)
                note = 0 if self.broken == "the clock writes no note" else CLOCK
                line = tuple(sorted((*x[:2], note or x[2], x[3] + 1) if x == head else x for x in waiters))
                after = replaced(gates, k, (holders, mark, line))
                sent = tuple(sorted((*msgs, (*head[:2], READY))))
                out.append((("the clock ticks", k), (runs, sent, after, handlers, budget, (ticks - 1, zero))))
        return out

    def _clock(self, s: State) -> list[Move]:
        runs, msgs, gates, _, budget, time = s
        if msgs or self.broken == "no clock":
            return []
        for k, (holders, mark, waiters) in enumerate(gates):
            alive = tuple(x for x in holders if runs[x[0]][0] == RUNNING and runs[x[0]][1] == x[1])
            if alive != holders:
                after = replaced(gates, k, (alive, mark, waiters))
                return [(("clock drops", k), (runs, msgs, after, (), budget, time))]
        for k, (holders, _, waiters) in enumerate(gates):
            if waiters and len(holders) < self.capacities[k]:  # the notes are overdue: no message is left
                woken = ((*self._head(waiters)[:2], READY),)
                return [(("clock wakes", k), (runs, woken, gates, (), budget, time))]
        over = tuple((r, run[1], READY) for r, run in enumerate(runs) if run[0] == RUNNING)
        return [(("clock: leases over",), (runs, over, gates, (), budget, time))] if over else []

    def wrong(self, state: State) -> str | None:
        runs, msgs, gates, handlers, _, _ = state
        for k, (holders, _, _) in enumerate(gates):
            if len(holders) > self.capacities[k]:
                return "gate over capacity"
        running = [h for h in handlers if h[2] == "run" and h[7] and h[8]]
        for h in running:
            if any((h[0], h[1]) not in gate[0] for gate in gates):
                return "runs without a place"
        strikes = sum(self.budget) - sum(state[4])
        if any(waiter[3] > 1 + strikes for _, _, waiters in gates for waiter in waiters):
            return "a wait is woken too often"
        once_more = 1 if self.heirs and strikes else 0  # a copy may put a waiter back that was struck
        if any(state[1].count(each) > 1 + strikes + once_more for each in state[1]):
            return "a ticket has too many messages"
        if any(run[1] > self.tickets for run in runs):
            return "livelock: a run is refused again and again"
        if not handlers and not msgs:
            return self._wrong_at_rest(state)
        if self.budget[ZOMBIE]:
            return None
        if len(running) == len(handlers):
            idle = self._idle(state, {h[0] for h in running})
            if idle is not None:
                return idle
        return None if self.budget[DUP] else self._held_in_sleep(state)

    def _held_in_sleep(self, state: State) -> str | None:
        runs, msgs, gates, handlers, _, _ = state
        for r, run in enumerate(runs):
            if run[0] == PARKED and any(x[0] == r for gate in gates for x in gate[0]):
                givers = {r, *(n for n, x in enumerate(runs) if (heir := _heir(x[2])) and heir[1] == r)}
                awake = any(h[0] in givers for h in handlers) or any(m[0] in givers for m in msgs)
                awake = awake or any(x[0] == r and x[2] for gate in gates for x in gate[2])  # woken, too
                if not awake:
                    return "a parked run holds a place"
        return None

    def _wrong_at_rest(self, state: State) -> str | None:
        """A zombie may hold a place, and of two deliveries of a message one may die once the other has deleted it for both: a note that it had
        written answers for nobody. The clock repairs either."""
        runs, _, gates, _, _, _ = state
        noted = any(x[2] for gate in gates for x in gate[2])
        if self.budget[ZOMBIE] or (self.budget[CRASH] and self.budget[DUP] and noted):
            done = all(ended(run) for run in runs) and not any(gate[0] for gate in gates)
            return None if done or self._clock(state) else "stuck for good"
        if any(gate[0] for gate in gates):
            return "leaked place"
        if not all(ended(run) for run in runs):
            return "lost run"
        twice = self.budget[DUP] or self.budget[CANCEL] or (self.heirs and self.budget[CRASH] > 1)
        if self.budget[CRASH] and twice:
            return None  # a waiter of a run that is over, or a mark, may stay: the next look removes it
        if any(gate[2] for gate in gates):
            return "a waiter is left behind"
        return "a mark is left behind" if any(gate[1] for gate in gates) else None

    def _idle(self, state: State, busy: set[int]) -> str | None:
        """All that lives is in user code, for hours maybe: no task may wait for a place that is free."""
        runs, msgs, gates, _, _, _ = state
        if any(run not in busy or runs[run][1] != ticket for run, ticket, _ in msgs):
            return None
        free = all(len(gate[0]) < cap for gate, cap in zip(gates, self.capacities, strict=True))
        return "a place is free and a run waits" if free and any(x[0] == PARKED for x in runs) else None


def _outdated(handlers: tuple[Handler, ...], k: int) -> tuple[Handler, ...]:
    """The mark of gate `k` changes: what was seen of it before is old."""
    return tuple(
        (*h[:5], replaced(h[5], k, OLD), *h[6:]) if h[5][k] in (OPEN, CLOSING) else h for h in handlers
    )
