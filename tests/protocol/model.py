"""What all variants share: runs, messages, handlers, faults, and the steps that touch the record only.

A handler is a program counter. Each step is ONE conditional write, one read, one send or one delete; anything may happen between
two steps. A message is a single-use ticket: only the run's current ticket can claim it, and every commit that leaves the run
alive (unclaim, retry) issues the next one. A delivery whose ticket is used up is stale: it repairs what its ticket may owe.

A state is plain tuples: runs, messages, gates, handlers, what is left of the budget of faults, the time. Ownership of a record
is a mark on the handler, so that equal handlers need no numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

QUEUED, RUNNING, PARKED = "QUEUED", "RUNNING", "PARKED"
COMPLETED, CANCELLED = "COMPLETED", "CANCELLED"
READY, FLIGHT = "ready", "flight"

HANDLERS = 3
"""How many handlers are alive at once, at most."""

Run = tuple[str, int, int, int]
"""Status, ticket, the gate it is parked at, the set of gates it has parked at since its last commit (bits)."""

Message = tuple[int, int, str]
"""Run, ticket, and whether it is in flight."""

Handler = tuple[int, int, str, str, int, tuple[int, ...], tuple[int, ...], bool, bool]
"""Run, ticket, step, way, gate, looks owed (by gate), memory, whether its lease holds, whether it owns the record."""

Pair = tuple[int, int]
"""A run and a ticket: a holder, a waiter, a victim."""

Gates = tuple[Any, ...]
"""What a variant keeps of its gates."""

State = tuple[
    tuple[Run, ...], tuple[Message, ...], Gates, tuple[Handler, ...], tuple[int, ...], tuple[int, ...]
]
Label = tuple[str | int, ...]
Move = tuple[Label, State]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often each fault may strike."""

    crash: int = 0
    dup: int = 0
    zombie: int = 0
    fail: int = 0
    cancel: int = 0


CRASH, DUP, ZOMBIE, FAIL, CANCEL = range(5)
Step = Callable[[State, int, Handler], list[Move]]


def handler(
    of: Handler,
    step: str,
    *,
    way: str | None = None,
    gate: int | None = None,
    looks: tuple[int, ...] | None = None,
    memory: tuple[int, ...] | None = None,
) -> Handler:
    """`of` at another step; what is not given stays."""
    run, ticket, _, old_way, old_gate, old_looks, old_memory, leased, owns = of
    return (
        run,
        ticket,
        step,
        old_way if way is None else way,
        old_gate if gate is None else gate,
        old_looks if looks is None else looks,
        old_memory if memory is None else memory,
        leased,
        owns,
    )


def owning(of: Handler, owns: bool) -> Handler:
    return (*of[:8], owns)


T = TypeVar("T")


def replaced(values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    return (*values[:at], value, *values[at + 1 :])


def spent(budget: tuple[int, ...], kind: int) -> tuple[int, ...]:
    return replaced(budget, kind, budget[kind] - 1)


def disown(handlers: tuple[Handler, ...], run: int) -> tuple[Handler, ...]:
    """The record of `run` has another owner, or none."""
    return tuple((*h[:8], False) if h[0] == run and h[8] else h for h in handlers)


def returned(msgs: tuple[Message, ...], run: int, ticket: int) -> tuple[Message, ...]:
    """The message becomes visible again."""
    gone = without(msgs, run, ticket)
    return gone if len(gone) == len(msgs) else tuple(sorted((*gone, (run, ticket, READY))))


def without(msgs: tuple[Message, ...], run: int, ticket: int) -> tuple[Message, ...]:
    """The message in flight is deleted."""
    message = (run, ticket, FLIGHT)
    if message not in msgs:
        return msgs
    at = msgs.index(message)
    return msgs[:at] + msgs[at + 1 :]


def ended(run: Run) -> bool:
    return run[0] == COMPLETED or run[0] == CANCELLED


class Model:
    """Deliveries, faults and the steps on the record. A variant adds its gates' steps."""

    gates_count = 1
    tickets = 8
    """A run that needs more tickets than this is refused again and again: a livelock."""

    def __init__(self, runs: int, faults: Faults | None = None, *, broken: str = "") -> None:
        faults = faults or Faults()
        self.runs = runs
        self.budget = (faults.crash, faults.dup, faults.zombie, faults.fail, faults.cancel)
        self.broken = broken
        self.no_looks = (-1,) * self.gates_count
        self.steps: Mapping[str, Step] = {
            "claim": self._claim,
            "unclaim": self._unclaim,
            "run": self._run,
            "repair": self._repair,
            "resend": self._resend,
            "delete": self._delete,
        }

    # ------------------------------------------------------------ what a variant says

    def empty_gates(self) -> Gates:
        raise NotImplementedError

    def wrong(self, state: State) -> str | None:
        raise NotImplementedError

    def _claimed(self, h: Handler, run: Run) -> Handler:
        """Where a handler goes that has claimed."""
        raise NotImplementedError

    def _stale(self, h: Handler) -> Handler:
        """Where a handler goes whose ticket is used up."""
        raise NotImplementedError

    def _refused(self, h: Handler) -> Handler:
        """Where a handler goes that has handed its record back."""
        raise NotImplementedError

    def _committed(self, h: Handler) -> Handler:
        """Where a handler goes after its commit."""
        raise NotImplementedError

    def _repaired(self, h: Handler) -> Handler:
        """Where a handler goes that owes its record nothing more."""
        raise NotImplementedError

    def _clock(self, state: State) -> list[Move]:
        """What the clock does when nothing else happens."""
        raise NotImplementedError

    # ------------------------------------------------------------ the search

    def first(self) -> State:
        runs = tuple((QUEUED, 1, -1, 0) for _ in range(self.runs))
        msgs = tuple((run, 1, READY) for run in range(self.runs))
        return (runs, msgs, self.empty_gates(), (), self.budget, (1, 0))

    def successors(self, state: State) -> list[Move]:
        _, msgs, _, handlers, budget, _ = state
        out = self._clock(state) if not handlers else []
        if len(handlers) < HANDLERS:
            self._deliveries(state, out)
        if budget[CANCEL]:
            self._cancels(state, out)
        steps = self.steps
        for i, h in enumerate(handlers):
            if budget[CRASH]:
                rest = handlers[:i] + handlers[i + 1 :]
                back = returned(msgs, h[0], h[1])
                out.append(
                    (
                        ("crash", h[2], h[0], h[1]),
                        (state[0], back, state[2], rest, spent(budget, CRASH), state[5]),
                    )
                )
            if budget[ZOMBIE] and h[7]:
                frozen = tuple(sorted(replaced(handlers, i, (*h[:7], False, h[8]))))
                back = returned(msgs, h[0], h[1])
                out.append(
                    (
                        ("freeze", h[2], h[0], h[1]),
                        (state[0], back, state[2], frozen, spent(budget, ZOMBIE), state[5]),
                    )
                )
            out.extend(steps[h[2]](state, i, h))
        return out

    def _deliveries(self, state: State, out: list[Move]) -> None:
        runs, msgs, gates, handlers, budget, time = state
        last = None
        for i, message in enumerate(msgs):
            run, ticket, where = message
            if message == last or not self._due(message, time):
                continue
            last = message
            h = self._delivered(run, ticket)
            now = tuple(sorted((*handlers, h)))
            if where == READY:
                taken = tuple(sorted((*msgs[:i], (run, ticket, FLIGHT), *msgs[i + 1 :])))
                out.append((("deliver", run, ticket), (runs, taken, gates, now, budget, time)))
            elif budget[DUP]:
                out.append((("duplicate", run, ticket), (runs, msgs, gates, now, spent(budget, DUP), time)))

    def _due(self, message: Message, time: tuple[int, ...]) -> bool:
        return True

    def _delivered(self, run: int, ticket: int) -> Handler:
        return (run, ticket, "claim", "go", 0, self.no_looks, (), True, False)

    def _cancels(self, state: State, out: list[Move]) -> None:
        runs, msgs, gates, handlers, budget, time = state
        for r, run in enumerate(runs):
            if not ended(run):
                after = replaced(runs, r, (CANCELLED, *run[1:]))
                left = tuple(sorted(disown(handlers, r)))
                out.append((("cancel", r), (after, msgs, gates, left, spent(budget, CANCEL), time)))

    def to(
        self,
        state: State,
        i: int,
        then: Handler | None,
        note: str = "",
        *,
        runs: tuple[Run, ...] | None = None,
        msgs: tuple[Message, ...] | None = None,
        gates: Gates | None = None,
        handlers: tuple[Handler, ...] | None = None,
        budget: tuple[int, ...] | None = None,
    ) -> Move:
        """The move of handler `i` to `then` (None: it is gone), with what its write changed."""
        old = state[3]
        h = old[i]
        others = (old[:i] + old[i + 1 :]) if handlers is None else (handlers[:i] + handlers[i + 1 :])
        now = others if then is None else tuple(sorted((*others, then)))
        return (
            (note, h[2], h[0], h[1]) if note[:1] == "!" else (h[2], h[0], h[1], h[3], h[4], note),
            (
                state[0] if runs is None else runs,
                state[1] if msgs is None else tuple(sorted(msgs)),
                state[2] if gates is None else gates,
                now,
                state[4] if budget is None else budget,
                state[5],
            ),
        )

    # ------------------------------------------------------------ steps on the record

    def _claim(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a = h[0], h[1]
        run = s[0][r]
        if ended(run) or run[1] > a:
            return [self.to(s, i, self._stale(h), "stale")]
        if run[0] == RUNNING and any(x[0] == r and x[8] and x[7] for x in s[3]):
            return [self.to(s, i, None, "busy", msgs=returned(s[1], r, a))]
        then = owning(self._claimed(h, run), True)
        runs = replaced(s[0], r, (RUNNING, a, run[2], run[3]))
        return [self.to(s, i, then, runs=runs, handlers=disown(s[3], r))]

    def _unclaim(self, s: State, i: int, h: Handler) -> list[Move]:
        r, a, k = h[0], h[1], h[4]
        run = s[0][r]
        if h[8]:
            waited = 1 << k if self.broken == "one gate remembered" else run[3] | 1 << k
            runs = replaced(s[0], r, (PARKED, a + 1, k, waited))
            return [self.to(s, i, owning(self._refused(h), False), runs=runs)]
        if ended(run) or run[1] > a:
            return [self.to(s, i, self._stale(h), "stale")]
        return [self.to(s, i, None, "fenced")]

    def _run(self, s: State, i: int, h: Handler) -> list[Move]:
        """User code, and the commit of what came of it."""
        r, a = h[0], h[1]
        run = s[0][r]
        then = self._committed(h)
        if not h[8]:
            over = ended(run) or run[1] > a
            return [self.to(s, i, then if over else None, "stale" if over else "fenced")]
        then = owning(then, False)
        done = replaced(s[0], r, (COMPLETED, a, -1, 0))
        out = [self.to(s, i, then, COMPLETED, runs=done)]
        if s[4][FAIL]:
            again = replaced(s[0], r, (QUEUED, a + 1, -1, 0))
            out.append(self.to(s, i, then, "raises", runs=again, budget=spent(s[4], FAIL)))
        return out

    def _repair(self, s: State, i: int, h: Handler) -> list[Move]:
        """Read what the record owes since this ticket."""
        status, ticket, at, _ = s[0][h[0]]
        if ticket == h[1] + 1 and status == QUEUED:
            return [self.to(s, i, handler(h, "resend"))]
        if ticket == h[1] + 1 and status == PARKED and self.broken != "no repair of the waiter":
            return [self.to(s, i, handler(h, "park", gate=at), "parked")]
        return [self.to(s, i, self._repaired(h), "-")]

    def _resend(self, s: State, i: int, h: Handler) -> list[Move]:
        return [self.to(s, i, self._repaired(h), msgs=(*s[1], (h[0], h[1] + 1, READY)))]

    def _delete(self, s: State, i: int, h: Handler) -> list[Move]:
        return [self.to(s, i, None, msgs=without(s[1], h[0], h[1]))]
