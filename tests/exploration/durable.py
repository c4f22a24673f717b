"""Durable tasks in the exploration: what their code does, the event that they wait for, and what must hold of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exploration.requests import Runs, ask
from exploration.rows import Row, Table
from headrace.core.changes import Key
from headrace.core.durable.encoding import decode_tail
from headrace.core.durable.log import Entry, EventLeaf, Groups, Kind, Leaf, SleepLeaf
from headrace.core.events.event import Event, encode_message
from headrace.core.run.derived.progress import finished
from headrace.core.run.plans.plan import Json, RunPlan, TaskPlan
from headrace.core.run.record import ErrorInfo, RunRecord, TaskStatus
from headrace.engine.attempts.ports import DurableLog, Outcome, Raised, Succeeded, SuspendedOnOperations, Work
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.ports import Outgoing

SLEEP, EVENT, BACK = "sleep", "event", "back"
"""What an operation waits for: any of these. BACK: an event, also one that came before."""

Op = tuple[str, ...]
Step = tuple[Op, ...]
Program = tuple[Step, ...]
"""Steps, one after the other; the operations of a step together."""

Told = frozenset[Key]
"""The subscriptions that an event was written into."""

View = tuple[tuple[int, str], ...]
"""What code saw: (node, the leaves that brought the answer), in order."""

TOO_EARLY = "before its time"
TWICE = "an event that it has had"

TASK = "d"
KEY, SCOPE = "e", "s"
SLEEP_MS = 20_000
DAY_MS = 86_400_000


def durable() -> RunPlan:
    """A durable task, by itself."""
    task = TaskPlan(name=TASK, retries=2, schedule_timeout_ms=DAY_MS, execution_timeout_ms=DAY_MS)
    return RunPlan(workflow="w", version="1", tasks=(task,), standalone=True)


def event_message(now_ms: int) -> Outgoing:
    """The event, as it is in the queue once it is pushed."""
    event_id = f"{now_ms >> 16:08x}-{now_ms & 0xFFFF:04x}-7000-8000-000000000000"
    return Outgoing(body=encode_message(Event(event_id=event_id, key=KEY, pushed_at_ms=now_ms, scope=SCOPE)))


def is_event(queue: str) -> bool:
    return queue == EVENTS_QUEUE


def groups_of(op: Op, record: RunRecord, now_ms: int) -> Groups:
    leaves: list[Leaf] = []
    if SLEEP in op:
        leaves.append(SleepLeaf(now_ms + SLEEP_MS, SLEEP))
    if EVENT in op:
        leaves.append(EventLeaf(KEY, EVENT))
    if BACK in op:
        leaves.append(EventLeaf(KEY, EVENT, SCOPE, None, record.created_at_ms - 60_000))
    return (tuple(leaves),)


# ---------------------------------------------------------------- code


class _Fenced(Exception):
    """Another attempt has taken over, or the run was cancelled."""


@dataclass(slots=True)
class DurableCode:
    """Code of a program, driven as `runtime.durable` drives coroutines. What it has seen it tells, which is a step of its own."""

    program: Program
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        try:
            return _Attempt(self.program, work).go()
        except _Fenced:
            return Raised(ErrorInfo(type="E", message="fenced"))

    async def acall(self, work: Work) -> Outcome:
        raise NotImplementedError


class _Attempt:
    def __init__(self, program: Program, work: Work) -> None:
        self.program, self.work = program, work
        self.journal: DurableLog = work.durable_log()
        self.entries: list[Entry] = self.journal.load()

    def go(self) -> Outcome:
        node = 0
        for step in self.program:
            nodes = range(node, node + len(step))
            node += len(step)
            for each, op in zip(nodes, step, strict=True):
                self._open(each, op)
            if not self._answered(nodes):
                self.journal.put(each for each in self.entries if each.open)
                return SuspendedOnOperations(self.journal.before_suspension())
        attempt = self.work.attempt
        raises = ask(Runs(attempt.run_id, attempt.task, attempt.ticket, attempt.owner, self._view()), bool)
        return Raised(ErrorInfo(type="E", message="this time")) if raises else Succeeded(None)

    def _open(self, node: int, op: Op) -> None:
        if node < len(self.entries):
            return
        groups = groups_of(op, self.work.record, self.journal.now_ms())
        self.entries.append(Entry(node=node, kind=Kind.WAIT, asked=str(op), groups=groups))
        self.journal.put(self.entries[-1:])

    def _answered(self, nodes: Sequence[int]) -> bool:
        """Whether all are; what is answered by now is written down before it is seen."""
        while waiting := [self.entries[node] for node in nodes if self.entries[node].open]:
            self._tell()
            self.journal.arm(waiting)
            found = self.journal.look(waiting)
            if not found:
                return False
            before = [self.entries[each.node] for each in found]
            first = 1 + max((each.order for each in self.entries), default=0)
            for place, each in enumerate(found):
                self.entries[each.node] = replace(each, order=first + place)
            self.journal.put(self.entries[each.node] for each in found)
            if not self.journal.save():
                raise _Fenced
            self.journal.disarm(before)
        return True

    def _tell(self) -> None:
        view = self._view()
        if view:
            attempt = self.work.attempt
            ask(Runs(attempt.run_id, attempt.task, attempt.ticket, attempt.owner, view, goes_on=True), bool)

    def _view(self) -> View:
        answered = sorted((each.order, each.node, each.result) for each in self.entries if not each.open)
        view = tuple((node, self._brought(result)) for _, node, result in answered)
        return tuple((node, TWICE) for node, _ in view) if self._twice(view) else view

    def _twice(self, view: View) -> bool:
        """There is one event, so it answers one step; those that look back may find it again."""
        ops = [(number, op) for number, step in enumerate(self.program) for op in step]
        steps = {
            ops[node][0] for node, brought in view if EVENT in brought.split(",") and EVENT in ops[node][1]
        }
        return len(steps) > 1

    def _brought(self, result: Json) -> str:
        """The leaves that an answer came by."""
        assert isinstance(result, dict)
        for each in result.get(SLEEP, ()):
            if each["due_at_ms"] > self.journal.now_ms():
                return TOO_EARLY
        return ",".join(sorted(result))


# ---------------------------------------------------------------- what must hold


def see(
    seen: tuple[tuple[str, View], ...], run_id: str, view: View
) -> tuple[str, tuple[tuple[str, View], ...]]:
    """What is wrong with code seeing `view`, and all that was seen by now."""
    if TOO_EARLY in (brought for _, brought in view):
        return f"code of {run_id} goes on before its sleep is over", seen
    if TWICE in (brought for _, brought in view):
        return f"code of {run_id} was given one event twice, one after the other", seen
    known = dict(seen)
    before = known.get(run_id, ())
    common = min(len(before), len(view))
    if before[:common] != view[:common]:
        return f"code of {run_id} saw {before}, and at a replay {view}", seen
    known[run_id] = max(before, view, key=len)
    return "", tuple(sorted(known.items()))


def told_by(told: Told, after: Row | None) -> Told:
    """The subscriptions that held an event once, with the one that was just written."""
    if after is None or "by" not in after.item or not after.key.pk.startswith("sub#"):
        return told
    return told | {after.key}


def judge_waits(table: Table, told: Told) -> str | None:
    """What a durable run at rest still waits for, that has come."""
    stored = any(key.pk.startswith("scoped#") for key in table.rows)
    for run_id, record in table.records().items():
        if finished(record):
            continue
        row = record.tasks.get(TASK)
        if row is None or row.status is not TaskStatus.SUSPENDED:
            return f"run {run_id} is lost"
        for entry in decode_tail(row.log).entries:
            if not entry.open:
                continue
            leaves = [leaf for group in entry.groups for leaf in group]
            if any(isinstance(leaf, SleepLeaf) for leaf in leaves):
                return f"run {run_id} sleeps for good"
            if stored and any(isinstance(leaf, EventLeaf) and leaf.since_ms is not None for leaf in leaves):
                return f"run {run_id} looked back, and waits for an event that has come"
            if any(key.sk.startswith(f"{run_id}#{TASK}#{entry.node}.") for key in told):
                return f"run {run_id} waits for an event that was given to it"
    return None
