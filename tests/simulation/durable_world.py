"""The world of one seed of durable tasks: the engine's own log, claims, timers, joins and subscriptions, under every fault.

The code is a drawn program. It is driven as `runtime.durable` drives coroutines: what is recorded is given in its order, what is answered
is written before it is seen, and where nothing is, the attempt is suspended. Code that was suspended stays in the process that ran it,
and goes on there where the log allows it; a process that is killed loses all that stays in it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

from greenlet import getcurrent

from headrace.core.changes import Item
from headrace.core.durable import encoding
from headrace.core.durable.log import ChildRun, Entry
from headrace.core.events.envelopes import events_of
from headrace.core.events.event import HANDLED_WITHIN_MS, Event
from headrace.core.events.subscription import equality_of, partition
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.plans.plan import Json, RunPlan, TaskPlan
from headrace.core.run.record import ParentLink, RunStatus, TaskStatus
from headrace.engine.attempts.ports import DurableLog, Outcome, Succeeded, SuspendedOnOperations, Work
from headrace.engine.durable import journal
from headrace.engine.engine import Engine
from headrace.engine.events.handle import handle
from headrace.engine.events.push import EVENTS_QUEUE, push
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.start import NewRun, start, start_many
from headrace.engine.waits.conditions import wake_suspended
from headrace.engine.waits.kinds.children import leaf_for, open_join
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.memory.queues import DEAD_LETTERS
from headrace.ports import Outgoing, Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending, Interrupted
from simulation.checks import at_rest
from simulation.durable_programs import (
    Awaited,
    Child,
    Memo,
    Op,
    Program,
    asked_by,
    brought_by,
    draw_program,
    expression_of,
    groups_of,
    is_right,
    key_of,
    kind_of,
)
from simulation.gate_watch import Violation
from simulation.processes import Killed, Rates, has_ms, pause
from simulation.scripted import Scripted, _beat
from simulation.seeds import to_its_end
from simulation.workload import Flow, Script
from simulation.world import Asked, Simulation

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord

TASK = "d"
PUSH_AGAIN_MS = 40_000
UNBORN_AFTER_MS = 300_000
MOST_SKEW_MS = 800
"""Two clocks differ by no more."""

SEAL_AT_BYTES = 200
"""Logs are short here: they are sealed, and their parts merged, all the same."""

WARM = 2
"""How many processes there are, each of which keeps the code that was suspended in it."""

Warm = dict[str, "Attempt"]  # what a process keeps, by run

Seen = tuple[int, int, str]  # an answer as code saw it: its order, its node, its result


@dataclass(slots=True)
class DurableSimulation(Simulation):
    """Runs of drawn programs, and who pushes the events that they wait for."""

    programs: dict[str, Program] = field(default_factory=dict)
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    warm: tuple[Warm, ...] = ()
    had: dict[tuple[str, int], int] = field(default_factory=dict)  # which step of a run was given which event

    def __post_init__(self) -> None:
        Simulation.__post_init__(self)
        plan = TaskPlan(name=TASK, retries=0, schedule_timeout_ms=10**10, execution_timeout_ms=600_000)
        flow = Flow(
            plan=RunPlan(workflow="durable", version="1", tasks=(plan,)),
            scripts={TASK: Script(children=1)},  # it may be resumed
        )
        self.flows = {"durable": flow}
        self.deployed = [flow, self.child]
        self.warm = tuple({} for _ in range(WARM))

    @property
    def gated(self) -> bool:
        return False

    def _client(self, name: str) -> None:
        program = draw_program(self.random)
        run_id = self.ids.run_id()
        self.programs[run_id] = program
        for event in program.events:
            self.spawn(f"pusher {event.number}", lambda event=event: self._push(run_id, event))  # type: ignore[misc]  # now
        self.ask_for(run_id, self.flows[name])
        if self.random.random() < 0.1:
            pause(self.random.randrange(0, 100_000))
            self.cancelled.add(run_id)
            self._carefully(lambda: self._cancel(run_id))

    def _deploy(self) -> None:
        """The drawn programs stay: what is deployed is their workflow and the children's, whatever else is."""

    def _cancel(self, run_id: str) -> None:
        cancel(self.engine(), run_id)

    def ask_for(self, run_id: str, flow: Flow) -> None:
        self.started[run_id] = Asked(flow=flow, input={"n": 1})
        start(self.engine(), NewRun(plan=flow.plan, input='{"n":1}', run_id=run_id))

    def _push(self, run_id: str, awaited: Awaited) -> None:
        """Push the event until the run has it, or is over: a task that does not look back needs one that comes after it began to wait."""
        since_ms = self.clock.now_ms()
        pause(self.random.randrange(0, 200_000))
        tries = 0
        while not (self._is_over(run_id, since_ms) or self._needs_none(run_id, awaited)):
            engine = self.engine()
            once = awaited.once
            if once and not self._is_waited_for(run_id, awaited):
                pause(2_000)
                continue
            tries += 1
            others = tries % 5 == 4 and not once  # one that the expression does not take
            event = event_of(self, engine, run_id, awaited, -1 if others else awaited.name)
            try:
                push(engine, [event])
            except (Killed, StoreUnavailable, QueueUnavailable):  # another process of the same sender goes on
                pause(1_000)
                continue
            self.met["event"] += 1
            self.met["event pushed once"] += once
            if once:
                return
            if awaited.looks_back and not others and self.random.random() < 0.7:
                return  # once is enough
            pause(PUSH_AGAIN_MS * self.random.randrange(1, 20))

    def _needs_none(self, run_id: str, awaited: Awaited) -> bool:
        """Whether the subscription holds an event: from then on none more is needed. Of several waits for such events, all are pushed for as long as the run
        goes on."""
        like = [each for each in self.programs[run_id].events if each.name == awaited.name]
        if len(like) == 1:
            return any("by" in row for row in self._subscriptions(run_id, awaited))
        return False  # they end with the run

    def _is_waited_for(self, run_id: str, awaited: Awaited) -> bool:
        return any("by" not in row for row in self._subscriptions(run_id, awaited))

    def _subscriptions(self, run_id: str, awaited: Awaited) -> list[Item]:
        where = partition(key_of(run_id, awaited.name), run_id, equality_of(expression_of(awaited)))
        return list(self.store.rows(where))

    def _is_over(self, run_id: str, since_ms: int) -> bool:
        """Also where there is no such run after a while: its client died."""
        record = self.store.record(run_id)
        if record is None:
            return self.clock.now_ms() > since_ms + UNBORN_AFTER_MS
        return finished(record)

    def _lambda(self, received: Received) -> None:
        if received.queue == DEAD_LETTERS and '"event"' in received.body:
            self.queues.send(EVENTS_QUEUE, [Outgoing(body=received.body)])  # as people redrive it
            self.queues.delete(received)
            return
        if received.queue != EVENTS_QUEUE:
            self._in_a_process(received)
            return
        has_ms(HANDLED_WITHIN_MS, self.clock)
        engine = self.engine()
        for event, page in events_of(received.body, str, now_ms=received.sent_at_ms):
            handled = handle(engine, event, page, start=_starts_nothing, wake=wake_suspended)
            if handled.later_s:
                self.met["two deliveries of an event"] += 1
                self.queues.hide(received, handled.later_s)
                return
        self.queues.delete(received)

    def _in_a_process(self, received: Received) -> None:
        """In one of the warm ones: which, says the message's age, so that a world takes the same course with one as with several."""
        warm = self.warm[received.sent_at_ms // 7 % len(self.warm)]
        getcurrent().warm = warm
        try:
            Simulation._lambda(self, received)
        except Killed:
            warm.clear()
            raise

    def _scripted(self, task: str) -> Scripted:
        return Durable(self, task) if task == TASK else Scripted(self, task)

    def attempt(self, engine: Engine, claimed: Claimed, control: LiveControl, work: Work) -> Attempt:
        return Attempt(self, engine, claimed, control, work)


def event_of(sim: Simulation, engine: Engine, run_id: str, awaited: Awaited, number: int) -> Event:
    return Event(
        event_id=event_id(sim.clock.now_ms(), sim.random),
        key=key_of(run_id, awaited.name),
        pushed_at_ms=engine.clock.now_ms(),
        payload=json.dumps({"n": number, "m": sim.random.getrandbits(50)}),
        scope=run_id,
    )


def event_id(now_ms: int, random: Random) -> str:
    """A UUID of version 7."""
    return str(
        uuid.UUID(
            int=now_ms << 80 | 7 << 76 | random.getrandbits(12) << 64 | 2 << 62 | random.getrandbits(62)
        )
    )


def _starts_nothing(wanted: Sequence[object]) -> Sequence[str]:
    raise AssertionError(f"nothing starts by an event here: {wanted}")


@dataclass(frozen=True, slots=True)
class Durable(Scripted):
    """The code of the durable task."""

    def run(self, engine: Engine, claimed: Claimed, control: LiveControl, work: Work) -> Ending:
        sim = self.sim
        assert isinstance(sim, DurableSimulation)
        return sim.attempt(engine, claimed, control, work).go()


class _Fenced(Exception):
    """Another attempt has taken over, or the run was cancelled."""


class Attempt:
    """One invocation."""

    def __init__(
        self, sim: DurableSimulation, engine: Engine, claimed: Claimed, control: LiveControl, work: Work
    ) -> None:
        self.sim, self.engine, self.claimed, self.control, self.work = sim, engine, claimed, control, work
        self.run_id = self._of = work.record.run_id
        self.program = sim.programs[self.run_id]
        self.journal: DurableLog = work.durable_log()
        self.entries: list[Entry] = []
        self.shown: set[int] = set()
        self.next_index = 0
        self.warm: Warm = getcurrent().warm
        self.at = self.node = 0  # the step that it stands at, and how many operations it has asked for
        self.asked: list[tuple[int, Op]] = []

    def go(self) -> Ending:
        try:
            return self._go()
        except _Fenced:
            return Interrupted()

    def _go(self) -> Outcome:
        if not self._goes_on():
            self.entries = self.journal.load()
        for step in self.program.steps[self.at :]:
            if not self.asked:
                self._ask(step)
            suspended = self._wait_for([each for each, _ in self.asked])
            if suspended is not None:
                self.warm[self.run_id] = self
                return suspended
            self._show(self.asked)
            self.asked, self.at = [], self.at + 1
        return Succeeded(json.dumps({"n": self.node}))

    def _goes_on(self) -> bool:
        """Take the place of the code that was suspended in this process, where the log says that it may."""
        left = self.warm.pop(self.run_id, None)
        answered = self.journal.answered_since(left.journal) if left is not None else None
        if left is None or answered is None:
            self.sim.met["ran again"] += left is not None
            return False
        self.entries, self.asked, self.at = left.entries, left.asked, left.at
        self.node, self.next_index = left.node, left.next_index
        for entry in answered:
            self.entries[entry.node] = entry
        self._knows_its_log()
        self.sim.met["went on"] += 1
        return True

    def _knows_its_log(self) -> None:
        """What it has in memory is what is in its row: another invocation would read the same."""
        tail = encoding._tail(
            self.work.record.tasks[TASK].log or ""
        ).entries  # not what this process remembers
        known = [self.entries[entry.node] for entry in tail if entry.node < len(self.entries)]
        is_open = {entry.node for entry in self.entries if entry.open}
        if known != list(tail) or is_open != {entry.node for entry in tail if entry.open}:
            raise Violation(f"run {self.run_id} goes on with {self.entries}, its log says {tail}")

    def _ask(self, step: Sequence[Op]) -> None:
        for op in step:
            for number in range(op.of if isinstance(op, Child) else 1):
                self._open(self.node, op)
                self.asked.append((self.node, op))
                self.node += 1
                if isinstance(op, Child) and number == op.of - 1:
                    self._start_children(self.node - op.of, op.of)
            if isinstance(op, Memo) and self.entries[self.node - 1].open:
                self._answer([replace(self.entries[self.node - 1], result=self._made(op))])

    def _made(self, op: Memo) -> int:
        """What the function of a memo gives."""
        return op.value

    def _open(self, node: int, op: Op) -> None:
        if node < len(self.entries):
            entry = self.entries[node]
            if (entry.kind, entry.asked) != (kind_of(op), asked_by(op)):
                raise Violation(f"node {node} of run {self.run_id} is {entry}, the code asks for {op}")
            return
        now_ms, created_ms = self.journal.now_ms(), self.work.record.created_at_ms
        groups = groups_of(op, self.run_id, created_ms, now_ms)
        self.entries.append(Entry(node=node, kind=kind_of(op), asked=asked_by(op), groups=groups))
        self.journal.put(self.entries[-1:])

    def _start_children(self, node: int, count: int) -> None:
        record, task, first = self.work.record, self.work.task, self.next_index
        self.next_index += count
        if all(self.entries[each].child is not None for each in range(node, node + count)):
            return
        links = [
            ParentLink(run_id=record.run_id, task=task, index=n, join=leaf_for(record.run_id, task, first, n))
            for n in range(first, first + count)
        ]
        ids = [
            str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.run_id}/{n}")) for n in range(first, first + count)
        ]
        open_join(self.engine, record, task, range(first, first + count), first=first)
        news = [
            NewRun(plan=self.sim.child.plan, input='{"n":1}', run_id=run_id, parent=link)
            for run_id, link in zip(ids, links, strict=True)
        ]
        start_many(self.engine, news)
        for place, run_id in enumerate(ids):
            self._put(replace(self.entries[node + place], child=ChildRun(run_id, first)))

    def _put(self, entry: Entry) -> None:
        self.entries[entry.node] = entry
        self.journal.put([entry])

    def _answer(self, found: Sequence[Entry]) -> None:
        """Written down in order, before any of it is seen."""
        first = 1 + max((each.order for each in self.entries), default=0)
        for place, entry in enumerate(found):
            self._put(replace(entry, order=first + place))
        if not self.journal.save():
            raise _Fenced

    def _wait_for(self, nodes: Sequence[int]) -> SuspendedOnOperations | None:
        looks = self.sim.random.choice((1, 1, 2, 4))
        while waiting := [self.entries[node] for node in nodes if self.entries[node].open]:
            self.journal.arm(waiting)
            found = self.journal.look(waiting)
            if found:
                before = [self.entries[entry.node] for entry in found]
                self._answer(found)
                self.journal.disarm(before)
                continue
            looks -= 1
            if looks <= 0:
                self.journal.put(entry for entry in self.entries if entry.open)
                self.sim.met["suspended"] += 1
                return SuspendedOnOperations(self.journal.before_suspension())
            self._pass_time(300)
        return None

    def _pass_time(self, ms: int) -> None:
        pause(ms)
        _beat(self.engine, self.claimed, self.control)
        if self.control.is_cancelled():
            raise _Fenced

    def _show(self, asked: Sequence[tuple[int, Op]]) -> None:
        """The code sees the answers in their order: the same at every invocation."""
        ops = dict(asked)
        self._is_new(
            [node for node, op in asked if isinstance(op, Awaited) and not op.looks_back], asked[0][0]
        )
        answers = sorted((self.entries[node].order, node, self.entries[node].result) for node in ops)
        for order, node, result in answers:
            if not self._is_right(node, ops[node], result):
                raise Violation(f"node {node} of run {self.run_id}: {ops[node]} was answered by {result!r}")
            self._note((order, node, json.dumps(result, sort_keys=True)))

    def _is_right(self, node: int, op: Op, result: Json) -> bool:
        return is_right(op, result, self.journal.now_ms() + MOST_SKEW_MS)

    def _is_new(self, nodes: Sequence[int], step: int) -> None:
        """One event is for one step: of waits that do not look back, the next is for another one."""
        for node in nodes:
            number = brought_by(self.entries[node].result).get("m")
            if isinstance(number, int) and self.sim.had.setdefault((self._of, number), step) != step:
                raise Violation(f"run {self.run_id} was given event {number} twice, one after the other")

    def _note(self, answer: Seen) -> None:
        known = self.sim.seen.setdefault(self._of, [])
        before = next((each for each in known if each[1] == answer[1]), None)
        if before is None:
            known.append(answer)
        elif before != answer:
            raise Violation(f"run {self.run_id}: code saw {before}, and at a replay {answer}")


# ---------------------------------------------------------------- at rest


def durable_at_rest(sim: DurableSimulation) -> None:
    """Every run is over, as its program says, and it has each child once."""
    at_rest(sim)
    for run_id, program in sim.programs.items():
        record = sim.store.record(run_id)
        if record is None or record.cancelled_at_ms is not None or _was_lost(record):
            continue
        if run_status(record) is not RunStatus.COMPLETED:
            raise Violation(f"run {run_id} of {program} is {run_status(record)}: {record.tasks.get(TASK)}")
        nodes = len([1 for step in program.steps for op in step for _ in range(getattr(op, "of", 1))])
        given: Json = json.loads(record.tasks[TASK].output.text or "{}")
        if given != {"n": nodes}:
            raise Violation(f"run {run_id} of {program} gave {given}")
        if len(sim.seen.get(run_id, [])) != nodes:
            raise Violation(f"run {run_id}: code saw {len(sim.seen.get(run_id, []))} of {nodes} answers")
        born = sum(each.parent is not None and each.parent.run_id == run_id for each in sim.store.records())
        if born != program.children:
            raise Violation(f"run {run_id} has {born} children, its program {program.children}")


def _was_lost(record: RunRecord) -> bool:
    """Its workers, or its messages, were lost more often than a run may."""
    row = record.tasks.get(TASK)
    return (
        row is not None
        and row.status is TaskStatus.FAILED
        and row.error is not None
        and row.error.type
        in (
            "DeadLetterError",
            "LostWorkerError",
        )
    )


def simulate_durable(seed: int, *, rates: Rates | None = None, trace: bool = False) -> DurableSimulation:
    """Run one seed; raises AssertionError with its last steps."""
    with patch.object(journal, "SEAL_AT_BYTES", SEAL_AT_BYTES):
        return to_its_end(DurableSimulation, durable_at_rest, seed, rates=rates, trace=trace)
