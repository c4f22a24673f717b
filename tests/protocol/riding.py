"""Retries that go on in the invocation of the attempt before them, their claim in the write that ends it.

    claim -> run, and commit -> run again under the next ticket, or pay and delete

The record says which message an attempt rides on (`via`: the ticket of that message, 0 for an attempt that has its own). That message
answers for the attempt: while it runs, a delivery of the message leaves it alone; once its lease is over, the delivery takes it over.
A retry may also get a message of its own, as one with a pause does. `ran` counts the attempts that began, by run.
"""

from __future__ import annotations

from protocol.model import (
    COMPLETED,
    FAIL,
    QUEUED,
    READY,
    RUNNING,
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
    returned,
    spent,
)


class Riding(Model):
    """Runs of one task without a limit. A run is (status, ticket, via, 0); a handler's ticket is that of its message, its memory the
    ticket that it runs under."""

    def __init__(self, runs: int, faults: Faults | None = None, *, broken: str = "") -> None:
        super().__init__(runs, faults, broken=broken)

    def first(self) -> State:
        runs = tuple((QUEUED, 1, 0, 0) for _ in range(self.runs))
        return (runs, *super().first()[1:])

    def empty_gates(self) -> Gates:
        return ()

    def _stale(self, h: Handler) -> Handler:
        return handler(h, "repair", memory=())

    def _repaired(self, h: Handler) -> Handler:
        return handler(h, "delete", memory=())

    def _committed(self, h: Handler) -> Handler:
        return handler(h, "repair", memory=())

    def _clock(self, state: State) -> list[Move]:
        return []

    def wrong(self, state: State) -> str | None:
        """Every run ends once nothing is under way any more."""
        runs, msgs, _, handlers, _, _ = state
        for r, run in enumerate(runs):
            owners = [h for h in handlers if h[0] == r and h[8]]
            if len(owners) > 1:
                return f"run {r} has two owners"
            if not ended(run) and not any(m[0] == r for m in msgs) and not any(h[0] == r for h in handlers):
                return f"run {r} is {run[0]} for ever: no message is left of it"
        return None

    def _rides(self, run: Run, ticket: int) -> bool:
        """Whether the run's attempt rides on the message of `ticket`."""
        return run[2] == ticket and self.broken != "a retry is forgotten by its message"

    def _claim(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a = h[0], h[1]
        run = s[0][r]
        mine = run[1] == a or (run[1] > a and self._rides(run, a))
        if ended(run) or not mine or (run[1] > a and run[0] != RUNNING):
            return [self.to(s, i, self._stale(h), "stale")]
        if run[0] == RUNNING and any(x[0] == r and x[8] and x[7] for x in s[3]):
            return [self.to(s, i, None, "busy", msgs=returned(s[1], r, a))]
        then = owning(handler(h, "run", memory=(run[1],)), True)
        via = run[2] if run[1] > a and self.broken != "a takeover forgets what it rides on" else 0
        runs = replaced(s[0], r, (RUNNING, run[1], via, 0))
        return [self.to(s, i, then, runs=runs, handlers=disown(s[3], r))]

    def _run(self, s: State, i: int, h: Handler) -> list[Move]:
        """User code, and the commit of what came of it."""
        r, a = h[0], h[1]
        run = s[0][r]
        if not h[8]:
            over = ended(run) or run[1] > h[6][0]
            return [self.to(s, i, self._committed(h) if over and ended(run) else None, "fenced")]
        paying = owning(self._committed(h), False)
        out = [self.to(s, i, paying, COMPLETED, runs=replaced(s[0], r, (COMPLETED, run[1], run[2], 0)))]
        if not s[4][FAIL]:
            return out
        failed = spent(s[4], FAIL)
        ticket = run[1] + 1
        away = replaced(s[0], r, (QUEUED, ticket, run[2] if run[1] > a else 0, 0))
        out.append(self.to(s, i, paying, "raises, and is tried again by a message", runs=away, budget=failed))
        here = replaced(s[0], r, (RUNNING, ticket, a, 0))
        on = handler(h, "run", memory=(ticket,))
        out.append(self.to(s, i, on, "raises, and goes on", runs=here, budget=failed))
        return out

    def _repair(self, s: State, i: int, h: Handler) -> list[Move]:
        """What the record owes on account of this message: the message of the next ticket, where that has none."""
        status, ticket, *_ = s[0][h[0]]
        owed = status == QUEUED and (ticket == h[1] + 1 or self._rides(s[0][h[0]], h[1]))
        if not owed:
            return [self.to(s, i, self._repaired(h), "-")]
        return [self.to(s, i, handler(h, "resend", memory=(ticket,)))]

    def _resend(self, s: State, i: int, h: Handler) -> list[Move]:
        return [self.to(s, i, self._repaired(h), msgs=(*s[1], (h[0], h[6][0], READY)))]
