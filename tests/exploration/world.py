"""Where the world can go from each of its states. One step of a process is one port call, or its user code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from exploration.beginning import WINDOW_MS, started, with_another, with_refill
from exploration.checks import judge_rest, judge_state, judge_write, leaks
from exploration.durable import see, told_by
from exploration.histories import Answer, Histories, Node, Spec
from exploration.plan import CANCEL, CRASH, DUP, FAIL, TICK, ZOMBIE, Plan
from exploration.requests import Broke, Deletes, Ended, Lists, Queries, Reads, Request, Runs, Sends, Writes
from exploration.rows import Row, Rows, Table, Who
from exploration.state import Message, Process, State, subject_of
from headrace.core.changes import Applied
from headrace.core.run.derived.progress import finished
from headrace.core.table import CATALOG, CURSOR, FILTERS, RATE, gate_key
from headrace.core.waits.line import mark
from headrace.core.waits.rate_limit import window_of
from headrace.engine.attempts.ports import Later
from headrace.engine.events.push import EVENTS_QUEUE

MOST_TICKS = 6


class Move(NamedTuple):
    """What happens, to whom; and the state after it."""

    words: tuple[object, ...]
    make: Callable[[], State]


class World:
    """A plan's states and moves."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows = Rows()
        self._first = started(plan, self.rows)
        windows = {
            f"{RATE}{key}": window_of(self._first.table.rows[gate_key(f"{RATE}{key}")].item)
            for key in plan.rates
        }
        self.histories = Histories(plan, windows)
        self._first = with_refill(plan, self.rows, self._with_stale(self._first))

    # ------------------------------------------------------------ the first state

    def first(self) -> State:
        return self._first

    def _with_stale(self, s: State) -> State:
        for message in s.messages[: self.plan.stale]:
            s = self._deliver(s, message)
            while s.processes:
                s = self._step(s, 0)
            s = s._replace(messages=(message, *s.messages))
        for each in self.plan.workflow.gates if self.plan.stale else ():
            row = next(row for row in s.table.rows.values() if row.key.pk.startswith(f"gate#{each.name}#"))
            _, marked = self.rows.write(mark(row.key.pk, "old", expires_at_s=0), row)
            s = s._replace(table=s.table.put(row.key, marked))
        return s

    # ------------------------------------------------------------ moves

    def moves(self, s: State) -> list[Move]:
        out: list[Move] = []
        if not s.processes:
            out.extend(self._quiet(s))
        elif s.early:
            out.append(Move(("time passes",), lambda: s._replace(now_ms=_next_window(s), early=s.early - 1)))
        if len(s.processes) < self.plan.handlers:
            out.extend(self._deliveries(s))
        if s.budget[CANCEL]:
            for run_id, record in s.table.records().items():
                if not finished(record):
                    spec = Spec("cancel", f"cancel {run_id}", "", 0)
                    out.append(Move(("cancel", run_id), lambda spec=spec: self._spawn(s, spec, kind=CANCEL)))  # type: ignore[misc]
        if s.budget[TICK]:
            out.append(Move(("the clock",), lambda: self._spawn(s, Spec("tick", "clock", "", 0), kind=TICK)))
        for i in range(len(s.processes)):
            out.extend(self._steps(s, i))
        return out

    def _steps(self, s: State, i: int) -> Iterator[Move]:
        process = s.processes[i]
        who, request = process.node.spec.who, process.node.request
        if s.budget[CRASH]:
            yield Move(("crash", who, request), lambda: self._lost(s, i, CRASH))
        if s.budget[ZOMBIE] and not process.frozen and process.message:
            yield Move(("freeze", who, request), lambda: self._lost(s, i, ZOMBIE))
        yield Move((who, request), lambda: self._step(s, i))
        if s.budget[FAIL] and isinstance(request, Runs) and not request.goes_on:
            yield Move((who, "raises"), lambda: self._step(s, i, raises=True))

    def _quiet(self, s: State) -> Iterator[Move]:
        """Nothing goes on: the next message is waited for, or the clock."""
        due = [m.due_ms for m in s.messages]
        if due and min(due) > s.now_ms:
            yield Move(("time passes to what is due",), lambda: s._replace(now_ms=min(due)))
        if not due and self.plan.allows(ZOMBIE) and leaks(self.plan, s):
            later = ("a later run is asked for",)
            yield Move(later, lambda: with_another(self.plan, self.rows, s, after_ms=61_000))
        elif not due and s.ticks < MOST_TICKS and self.plan.allows(ZOMBIE) and judge_rest(self.plan, s):
            yield Move(("the clock, a minute later",), lambda: self._clock(s))

    def _clock(self, s: State) -> State:
        s = self._spawn(s._replace(now_ms=s.now_ms + 61_000, ticks=s.ticks + 1), Spec("tick", "clock", "", 0))
        while s.processes:
            s = self._step(s, 0)
        return s

    def _deliveries(self, s: State) -> Iterator[Move]:
        told: set[tuple[str, bool]] = set()
        for m in s.messages:
            if m.due_ms > s.now_ms or (m.flight and not s.budget[DUP]) or (m.body, m.flight) in told:
                continue
            if not m.flight:
                told.add((m.body, m.flight))
            words = ("duplicate" if m.flight else "deliver", subject_of(m.body))
            yield Move(words, lambda m=m: self._deliver(s, m))  # type: ignore[misc]  # now

    # ------------------------------------------------------------ who comes and goes

    def _deliver(self, s: State, m: Message) -> State:
        kind = "event" if m.queue == EVENTS_QUEUE else "deliver"
        spec = Spec(kind, subject_of(m.body), m.body, 0)
        if m.flight:
            return self._spawn(s, spec, kind=DUP, message=m.number)
        messages = tuple(each._replace(flight=True) if each is m else each for each in s.messages)
        others = tuple(p._replace(message=0) if p.message == m.number else p for p in s.processes)
        return self._spawn(s._replace(messages=messages, processes=others), spec, message=m.number)

    def _spawn(self, s: State, spec: Spec, *, kind: int | None = None, message: int = 0) -> State:
        """Its first call is made at once, unless it may be frozen before: when it began cannot be told."""
        known = s.table.names().union(*(p.node.names for p in s.processes))
        ordinal = next(n for n in range(100) if (spec.subject, n) not in known)
        node = self.histories.first(spec._replace(ordinal=ordinal), s.now_ms)
        s = s._replace(processes=(*s.processes, Process(node, message)))
        if kind is not None:
            s = s._replace(budget=_spent(s.budget, kind))
        i = len(s.processes) - 1
        if self.plan.allows(ZOMBIE) or spec.kind == "tick":
            return self._unseen(s, i)
        return self._step(self._unseen(s, i), i)

    def _lost(self, s: State, i: int, kind: int) -> State:
        """Killed, or frozen past its lease: its message is there again."""
        process = s.processes[i]
        messages = _returned(s.messages, process.message)
        rest = (*s.processes[:i], *s.processes[i + 1 :])
        if kind == ZOMBIE:
            rest = (*rest, process._replace(frozen=True))
        table = self._leases_over(s.table, process.node.spec.who)
        return s._replace(table=table, messages=messages, processes=rest, budget=_spent(s.budget, kind))

    def _leases_over(self, table: Table, who: Who) -> Table:
        for key, row in table.rows.items():
            if key.sk == "run" and who in row.names:
                table = table.put(key, self.rows.without_lease(row, who))
        return table

    # ------------------------------------------------------------ steps

    def _step(self, s: State, i: int, *, raises: bool = False) -> State:
        s = self._perform(s, i, raises=raises)
        return s if s.wrong else self._unseen(s, i)

    def _unseen(self, s: State, i: int) -> State:
        """Go on through what no other process can see."""
        while not s.wrong and self._is_unseen(s, s.processes[i].node.request):
            s = self._perform(s, i)
        process = s.processes[i]
        if not isinstance(process.node.request, Ended | Broke):
            return s
        request = process.node.request
        due_ms = 0
        if (
            process.node.spec.kind == "event"
            and isinstance(request, Ended)
            and isinstance(request.verdict, Later)
        ):
            due_ms = s.now_ms + request.verdict.seconds * 1000
        messages = _returned(s.messages, process.message, due_ms=due_ms)
        wrong = request.error if isinstance(request, Broke) else s.wrong
        rest = (*s.processes[:i], *s.processes[i + 1 :])
        return s._replace(messages=messages, processes=rest, wrong=wrong)

    def _is_unseen(self, s: State, request: Request) -> bool:
        match request:
            case Reads(key=key):
                return key.pk in ("paused", "clock")
            case Queries(pk=pk):
                return pk.startswith(("timer#", CATALOG)) or pk == FILTERS
            case Writes(write=write):
                return write.key == CURSOR
            case Deletes():
                return not (s.budget[CRASH] or s.budget[DUP] or s.budget[ZOMBIE])
            case _:
                return False

    def _perform(self, s: State, i: int, *, raises: bool = False) -> State:
        process = s.processes[i]
        node, request = process.node, process.node.request
        match request:
            case Writes(write=write):
                before = s.table.rows.get(write.key)
                child, after = self._child(node, s, before, lambda: self.rows.write(write, before))
                if process.frozen and after is not None and after.key.sk == "run":
                    after = self.rows.without_lease(after, node.spec.who)
                if isinstance(child.answer.value, Applied):
                    wrong, taken = judge_write(s, process, write, before, after)
                    table, told = s.table.put(write.key, after), told_by(s.told, after)
                    s = s._replace(table=table, wrong=wrong, taken=taken, told=told)
            case Reads(key=key):
                row = s.table.rows.get(key)
                child, _ = self._child(node, s, row, lambda: (None if row is None else row.item, row))
            case Queries():
                rows = s.table.partition(request.pk)
                child, _ = self._child(node, s, rows, lambda: (self.rows.query(request, rows), None))
            case Lists():
                listed = tuple(row for row in s.table.rows.values() if row.item.get("lpk") == request.pk)
                child, _ = self._child(node, s, listed, lambda: (self.rows.list(request, listed), None))
            case Sends():
                child, _ = self._child(node, s, None, lambda: (None, None))
                s = s._replace(messages=_sent(s, request))
            case Deletes():
                child, _ = self._child(node, s, None, lambda: (None, None))
                s = s._replace(messages=_deleted(s.messages, process.message))
                process = process._replace(message=0)
            case Runs():
                child, _ = self._child(node, s, raises, lambda: (raises, None))
                if request.saw:
                    wrong, saw = see(s.saw, request.run_id, request.saw)
                    s = s._replace(saw=saw, wrong=wrong)
                if raises:
                    s = s._replace(budget=_spent(s.budget, FAIL))
            case _:
                raise AssertionError(f"nothing to do after {request}")
        now = process._replace(node=child)
        return s._replace(processes=(*s.processes[:i], now, *s.processes[i + 1 :]))

    def _child(
        self, node: Node, s: State, seen: object, answer: Callable[[], tuple[object, Row | None]]
    ) -> tuple[Node, Row | None]:
        known = node.children.get((seen, s.now_ms))
        if known is None:
            value, after = answer()
            rows = seen if isinstance(seen, tuple) else (seen,)
            names = frozenset(name for row in rows if isinstance(row, Row) for name in row.names)
            known = self.histories.next(node, Answer(value, s.now_ms), names), after
            node.children[seen, s.now_ms] = known
        return known

    # ------------------------------------------------------------ what must hold

    def wrong(self, s: State) -> str | None:
        if s.wrong:
            return s.wrong
        found = judge_state(self.plan, s)
        if found is None and not s.processes and not s.messages:
            found = judge_rest(self.plan, s)
            if found is not None and self.plan.allows(ZOMBIE):
                return f"stuck for good: {found}" if s.ticks >= MOST_TICKS else None
        return found


def _spent(budget: tuple[int, ...], kind: int) -> tuple[int, ...]:
    return (*budget[:kind], budget[kind] - 1, *budget[kind + 1 :])


def _returned(messages: tuple[Message, ...], number: int, *, due_ms: int = 0) -> tuple[Message, ...]:
    return tuple(m._replace(flight=False, due_ms=due_ms) if m.number == number else m for m in messages)


def _deleted(messages: tuple[Message, ...], number: int) -> tuple[Message, ...]:
    """One that is visible again is not deleted by who had it before."""
    return tuple(m for m in messages if m.number != number or not m.flight)


def _sent(s: State, request: Sends) -> tuple[Message, ...]:
    used = {m.number for m in s.messages} | {p.message for p in s.processes}
    free = (n for n in range(1, 10_000) if n not in used)
    new = (
        Message(next(free), request.queue, each.body, s.now_ms + each.delay_s * 1000 if each.delay_s else 0)
        for each in request.messages
    )
    return (*s.messages, *new)


def _next_window(s: State) -> int:
    return s.now_ms - s.now_ms % WINDOW_MS + WINDOW_MS
