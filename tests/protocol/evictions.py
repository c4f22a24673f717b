"""A gate that cancels in progress: a task that finds it full takes the oldest holder's place and owes the cancellation.

    claim -> read -> enter, or evict the oldest, or cancel myself -> pay -> run and commit -> release -> pay -> repair -> delete

The write that takes the place lists the victim in the same item. A process that sees a victim listed cancels its run, unless it is over,
and then takes it off the list. No task waits at such a gate.
"""

from __future__ import annotations

from protocol.model import (
    CANCEL,
    CANCELLED,
    COMPLETED,
    READY,
    RUNNING,
    ZOMBIE,
    Faults,
    Gates,
    Handler,
    Model,
    Move,
    Run,
    State,
    disown,
    ended,
    handler,
    owning,
    replaced,
)


class Evictions(Model):
    """Runs at one gate with CANCEL_IN_PROGRESS. The higher its index, the newer a run. gates = (holders, listed)."""

    def __init__(self, runs: int, capacity: int, faults: Faults | None = None, *, broken: str = "") -> None:
        super().__init__(runs, faults, broken=broken)
        self.capacity = capacity
        self.steps = {
            **self.steps,
            "read": self._read,
            "enter": self._enter,
            "evict": self._evict,
            "yield": self._yield,
            "pay": self._pay,
            "unlist": self._unlist,
            "release": self._release,
        }

    def empty_gates(self) -> Gates:
        return ((), ())

    def _claimed(self, h: Handler, run: Run) -> Handler:
        return handler(h, "read", way="go")

    def _stale(self, h: Handler) -> Handler:
        return handler(h, "release", way="stale", memory=())

    def _committed(self, h: Handler) -> Handler:
        return handler(h, "release", way="done", memory=())

    def _repaired(self, h: Handler) -> Handler:
        return handler(h, "delete", memory=())

    def _paying(self, h: Handler, listed: tuple[int, ...]) -> Handler:
        """On to the next victim that was seen (run, ticket, run, ticket, ...), or past them."""
        if listed and self.broken != "victims not paid":
            return handler(h, "pay", memory=listed)
        if h[3] == "go":
            return handler(h, "run", memory=())
        return handler(h, "repair", memory=())

    # ------------------------------------------------------------ in

    def _read(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a = h[0], h[1]
        holders, listed = s[2]
        mine = next((x[1] for x in holders if x[0] == r), None)
        if mine is not None and mine > a:
            return [self.to(s, i, self._stale(h), "stale")]
        if any(x[0] == r for x in listed) and self.broken != "victims come back":
            return [self.to(s, i, self._stale(h), "am evicted")]
        if mine is not None or len(holders) < self.capacity:
            return [self.to(s, i, handler(h, "enter"), "room")]
        oldest = holders[0]
        if r < oldest[0]:
            return [self.to(s, i, handler(h, "yield"), "am the oldest")]
        return [self.to(s, i, handler(h, "evict", memory=oldest), f"oldest is {oldest}")]

    def _enter(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a = h[0], h[1]
        holders, listed = s[2]
        mine = next((x[1] for x in holders if x[0] == r), None)
        if (mine is None and len(holders) >= self.capacity) or (mine is not None and mine > a):
            return [self.to(s, i, handler(h, "read"), "refused")]
        inside = tuple(sorted((*(x for x in holders if x[0] != r), (r, a))))
        then = self._paying(h, tuple(n for pair in listed for n in pair))
        return [self.to(s, i, then, gates=(inside, listed))]

    def _evict(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a, victim = h[0], h[1], h[6]
        holders, listed = s[2]
        if self.broken != "evicts any holder" and (victim not in holders or any(x[0] == r for x in holders)):
            return [self.to(s, i, handler(h, "read", memory=()), "refused")]
        kept = (x for x in holders if x[0] not in (victim[0], r))
        inside = tuple(sorted((*kept, (r, a))))
        owed = tuple(sorted({**dict(listed), victim[0]: victim[1]}.items()))
        if self.broken == "victims not listed":
            return [self.to(s, i, handler(h, "pay"), gates=(inside, listed))]
        then = self._paying(h, tuple(n for pair in owed for n in pair))
        return [self.to(s, i, then, gates=(inside, owed))]

    def _yield(self, s: State, i: int, h: Handler) -> list[Move]:
        """Older than all holders: cancels itself."""
        then = owning(self._stale(h), False)
        if not h[8]:
            return [self.to(s, i, then if ended(s[0][h[0]]) else None, "fenced")]
        run = s[0][h[0]]
        return [self.to(s, i, then, runs=replaced(s[0], h[0], (CANCELLED, *run[1:])))]

    # ------------------------------------------------------------ what is owed

    def _pay(self, s: State, i: int, h: Handler) -> list[Move]:
        victim = h[6][0]
        run = s[0][victim]
        then = handler(h, "unlist")
        if ended(run):
            return [self.to(s, i, then, f"{victim} is over")]
        runs = replaced(s[0], victim, (CANCELLED, *run[1:]))
        if victim == h[0]:
            then = owning(then, False)
        return [self.to(s, i, then, f"cancels {victim}", runs=runs, handlers=disown(s[3], victim))]

    def _unlist(self, s: State, i: int, h: Handler) -> list[Move]:
        victim, left = h[6][0], h[6][2:]
        holders, listed = s[2]
        gates = (holders, tuple(x for x in listed if x[0] != victim))
        if victim == h[0] and h[3] == "go":
            h = handler(h, "unlist", way="stale")
            return [self.to(s, i, handler(h, "release", memory=()), gates=gates)]
        return [self.to(s, i, self._paying(h, left), gates=gates)]

    def _release(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a = h[0], h[1]
        holders, listed = s[2]
        any_ticket = self.broken == "release takes any ticket"
        rest = tuple(x for x in holders if x[0] != r or (x[1] != a and not any_ticket))
        then = self._paying(h, tuple(n for pair in listed for n in pair))
        return [self.to(s, i, then, gates=(rest, listed))]

    # ------------------------------------------------------------ the clock, and what must hold

    def _clock(self, s: State) -> list[Move]:
        runs, msgs, (holders, listed), _, budget, time = s
        if msgs:
            return []
        if listed:
            victim = listed[0][0]
            over = runs[victim] if ended(runs[victim]) else (CANCELLED, *runs[victim][1:])
            paid = replaced(runs, victim, over)
            return [(("clock pays", victim), (paid, msgs, (holders, listed[1:]), (), budget, time))]
        alive = tuple(x for x in holders if runs[x[0]][0] == RUNNING and runs[x[0]][1] == x[1])
        if alive != holders:
            return [(("clock drops",), (runs, msgs, (alive, listed), (), budget, time))]
        late = tuple((r, run[1], READY) for r, run in enumerate(runs) if run[0] == RUNNING)
        gates = (holders, listed)
        return [(("clock: leases over",), (runs, late, gates, (), budget, time))] if late else []

    def wrong(self, state: State) -> str | None:
        runs, msgs, (holders, listed), handlers, _, _ = state
        if len(holders) > self.capacity:
            return "gate over capacity"
        owed = {x[0] for x in listed} | {h[6][0] for h in handlers if h[2] == "pay"}
        for h in handlers:
            running = h[2] == "run" and h[7] and h[8]
            if running and (h[0], h[1]) not in holders and h[0] not in owed:
                return "runs without a place, and its cancellation is not owed"
        if any(run[1] > self.tickets for run in runs):
            return "livelock"
        if handlers or msgs:
            return None
        if self.budget[ZOMBIE]:
            done = all(ended(run) for run in runs) and not holders and not listed
            return None if done or self._clock(state) else "stuck for good"
        if holders or listed:
            return "leaked place" if holders else "a victim is left listed"
        if not all(ended(run) for run in runs):
            return "lost run"
        if runs[-1][0] != COMPLETED and not self.budget[CANCEL]:
            return "the newest run was cancelled"
        return None
