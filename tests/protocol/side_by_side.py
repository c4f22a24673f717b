"""Tasks that a process runs side by side, all on the account of one message.

    deliver -> look: claim the first task, or take over the first that is RUNNING and has no live owner
            -> run: each in any order; the first one's commit claims those that follow
            -> look again, after a takeover; else delete

A message is deleted once nothing that rides on it is RUNNING. A redelivery takes over one task at a time, so that one that kills its
process costs no other its executions; it looks again until none is left.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.model import CRASH, DUP, FLIGHT, READY, ZOMBIE, Faults, Label, Move, replaced, spent

WAITS, RUNS, DONE = "waits", "runs", "done"
HANDLERS = 3


@dataclass(frozen=True, slots=True, order=True)
class Delivery:
    """A handler: its step, the tasks that it owns, whether its leases hold, whether it took over, whether it was fenced."""

    step: str = "look"
    owns: tuple[int, ...] = ()
    leased: bool = True
    took_over: bool = False
    fenced: bool = False


Rows = tuple[str, ...]
State = tuple[Rows, tuple[str, ...], tuple[Delivery, ...], tuple[int, ...]]
"""The record's rows, the message (or none), the handlers, the budget of faults."""


class SideBySide:
    """A task, and `after` others that its end makes ready."""

    def __init__(self, after: int, faults: Faults | None = None, *, broken: str = "") -> None:
        faults = faults or Faults()
        self.after = after
        self.budget = (faults.crash, faults.dup, faults.zombie)
        self.broken = broken

    def first(self) -> State:
        return ((WAITS,) * (1 + self.after), (READY,), (), self.budget)

    def wrong(self, state: State) -> str | None:
        rows, message, handlers, _ = state
        owned = [task for each in handlers for task in each.owns]
        if len(owned) != len(set(owned)):
            return "a task has two owners"
        if not message and not handlers and any(row != DONE for row in rows):
            return f"the tasks are {rows} for ever: no message is left"
        return None

    def successors(self, state: State) -> list[Move]:
        rows, message, handlers, budget = state
        out: list[tuple[Label, State]] = []
        if message and len(handlers) < HANDLERS:
            now = tuple(sorted((*handlers, Delivery())))
            if message == (READY,):
                out.append((("deliver",), (rows, (FLIGHT,), now, budget)))
            elif budget[DUP]:
                out.append((("duplicate",), (rows, message, now, spent(budget, DUP))))
        for i, each in enumerate(handlers):
            others = (*handlers[:i], *handlers[i + 1 :])
            back = (READY,) if message else ()
            if budget[CRASH]:
                out.append((("crash", each.step), (rows, back, others, spent(budget, CRASH))))
            if budget[ZOMBIE] and each.leased:
                frozen = Delivery(each.step, each.owns, False, each.took_over, each.fenced)
                now = tuple(sorted((*others, frozen)))
                out.append((("freeze", each.step), (rows, back, now, spent(budget, ZOMBIE))))
            out.extend(self._steps(state, each, others))
        return out  # type: ignore[return-value]  # states of its own

    def _steps(self, state: State, each: Delivery, others: tuple[Delivery, ...]) -> list[tuple[Label, State]]:
        rows, message, _, budget = state

        def to(
            label: Label, rows: Rows, then: Delivery | None, others: tuple[Delivery, ...] = others
        ) -> tuple[Label, State]:
            return label, (rows, message, tuple(sorted((*others, then) if then else others)), budget)

        match each.step:
            case "look":
                return [self._look(state, each, others)]
            case "delete":
                return [(("delete",), (rows, (), others, budget))]
            case _:
                pass
        if not each.owns:  # all were taken over
            return [(("fenced",), (rows, (READY,) if message else (), others, budget))]
        out = []
        for task in each.owns:
            left = tuple(other for other in each.owns if other != task)
            after = replaced(rows, task, DONE)
            if task == 0:
                left, after = tuple(range(1, len(rows))), (DONE, *(RUNS for _ in rows[1:]))
            out.append(to(("commit", task), after, self._went_on(each, left)))
        return out

    def _went_on(self, each: Delivery, left: tuple[int, ...]) -> Delivery:
        if left and self.broken != "the first of them to end deletes the message":
            return Delivery("run", left, each.leased, each.took_over, each.fenced)
        again = each.took_over and self.broken != "one of them is enough"
        step = "run" if each.fenced else "look" if again else "delete"
        return Delivery(step, (), each.leased, False, each.fenced)

    def _look(self, state: State, each: Delivery, others: tuple[Delivery, ...]) -> tuple[Label, State]:
        rows, message, _, budget = state
        back = (READY,) if message else ()
        if rows[0] == WAITS:
            mine = Delivery("run", (0,), each.leased)
            return ("claim",), ((RUNS, *rows[1:]), message, tuple(sorted((*others, mine))), budget)
        running = [task for task, row in enumerate(rows) if row == RUNS]
        if not running:
            over = Delivery("delete", (), each.leased)
            return ("stale",), (rows, message, tuple(sorted((*others, over))), budget)
        task = running[0]
        if any(task in other.owns and other.leased for other in others):
            return ("busy", task), (rows, back, others, budget)
        fenced = tuple(
            Delivery(o.step, tuple(t for t in o.owns if t != task), o.leased, o.took_over, True) if task in o.owns else o
            for o in others
        )  # fmt: skip
        mine = Delivery("run", (task,), each.leased, True)
        return ("take over", task), (rows, message, tuple(sorted((*fenced, mine))), budget)
