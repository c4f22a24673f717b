"""Durable tasks that are reset: branches of their logs drawn at random, under every fault, held against which generation made each operation."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from unittest.mock import patch

from headrace.core.changes import Item
from headrace.core.durable.log import ChildRun, branch_of
from headrace.core.run.derived.progress import run_status
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ParentLink, RunRecord, RunStatus
from headrace.core.run.stored.record import record_of
from headrace.engine.attempts.ports import Work
from headrace.engine.durable import journal
from headrace.engine.engine import Engine
from headrace.engine.events.push import push
from headrace.engine.runs import resetting
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.resetting import reset
from headrace.engine.runs.start import NewRun, start_many
from headrace.engine.waits.kinds.children import leaf_for, open_join
from headrace.errors import QueueUnavailable, RunNotFound, RunNotOver, StoreUnavailable
from headrace.memory.clock import SeededIds
from headrace.runtime.control import LiveControl
from headrace.triggers.children import A_BRANCH
from simulation.checks import Watched, at_rest
from simulation.durable_programs import Awaited, Child, Memo, Op, Program, Sleep, _due_ms, is_right
from simulation.durable_world import (
    MOST_SKEW_MS,
    SEAL_AT_BYTES,
    TASK,
    Attempt,
    DurableSimulation,
    _was_lost,
    event_of,
)
from simulation.gate_watch import Violation
from simulation.processes import Killed, Rates, pause
from simulation.seeds import to_its_end

A_GENERATION = 1_000
"""What a memo gives is its value, and so many for each generation before the one that made it."""

MOST_RESETS = 3


class ResetStore(Watched):
    """Tells of each record that has become another generation's."""

    def __init__(self, told: Callable[[RunRecord], None], **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # Watched's own
        self._told = told

    def _compare(self, item: Item) -> None:
        now = record_of(item)
        before = self._last.get(now.run_id)
        super()._compare(item)
        if before is not None and before.generation_number != now.generation_number:
            self._told(now)


@dataclass(slots=True)
class NotedIds:
    """Ids, of which a reset takes one: what it asks for is known by it, whatever becomes of its response."""

    base: SeededIds
    note: Callable[[str], None]

    def run_id(self) -> str:
        return self.base.run_id()

    def owner(self) -> str:
        given = self.base.owner()
        self.note(given)
        return given


@dataclass(slots=True)
class ResetSimulation(DurableSimulation):
    """Runs that are reset once they are over, by two clients at once perhaps. `made_in`: by run and generation, in which each node was made."""

    resets: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    made_in: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    begun_ms: dict[tuple[str, int], int] = field(default_factory=dict)

    def _new_store(self) -> Watched:
        return ResetStore(
            self._replayed,
            retried=lambda: self.hit("retried"),
            met=self.met,
            places_an_item=self.places_an_item,
        )

    def attempt(self, engine: Engine, claimed: Claimed, control: LiveControl, work: Work) -> Attempt:
        return ResetAttempt(self, engine, claimed, control, work)

    def _client(self, name: str) -> None:
        self.spawn("resetter", partial(self._reset_later, len(self.programs)))
        DurableSimulation._client(self, name)

    def _reset_later(self, of: int) -> None:
        """Once the run is over, reset it, perhaps two clients at once, and perhaps again."""
        pause(1_000)
        run_ids = list(self.programs)
        if of >= len(run_ids):
            return
        run_id, since_ms = run_ids[of], self.clock.now_ms()
        for _ in range(self.random.randrange(1, MOST_RESETS + 1)):
            while not self._is_over(run_id, since_ms):
                pause(20_000)
            for _ in range(self.random.choice((1, 1, 2))):
                self.spawn("resetter", lambda: self._reset(run_id), self.random.choice((0, 0, 3)))
            pause(self.random.randrange(50, 60_000))

    def _reset(self, run_id: str) -> None:
        record = self.store.record(run_id)
        if record is None:
            return
        node = self.random.randrange(nodes_of(self.programs[run_id]))
        branch = self.random.choice((None, None, *range(record.generation_number + 1)))
        ids = NotedIds(self.ids, lambda given: self.resets.update({given: (node, branch)}))
        try:
            reset(
                replace(self.engine(), ids=ids),
                run_id,
                TASK,
                node,
                branch,
                deployed=lambda name: self.flows[name].plan,
            )
        except (RunNotOver, RunNotFound, ValueError):  # it made no such operation, or has no such branch
            return

    def _replayed(self, record: RunRecord) -> None:
        """The reset took place: which generation each operation is of from now on, and its events come again."""
        assert record.generation is not None
        run_id, number = record.run_id, record.generation_number
        node, branch = self.resets[record.generation.id]
        base = self.lineage(run_id, number - 1 if branch is None else branch)
        self.made_in[run_id, number] = [*base[:node], *[number] * (len(base) - node)]
        self.begun_ms[run_id, number] = record.generation.at_ms
        self.met["reset"] += 1
        self.met["an earlier branch"] += branch not in (None, number - 1)
        for event in self.programs[run_id].events:
            self.spawn(f"pusher {event.number}", partial(self._push_until_over, run_id, event))

    def lineage(self, run_id: str, generation: int) -> list[int]:
        first = [0] * nodes_of(self.programs[run_id])
        return self.made_in.get((run_id, generation), first)

    def _push_until_over(self, run_id: str, awaited: Awaited) -> None:
        since_ms = self.clock.now_ms()
        while not self._is_over(run_id, since_ms):
            engine = self.engine()
            try:
                push(engine, [event_of(self, engine, run_id, awaited, awaited.name)])
            except (Killed, StoreUnavailable, QueueUnavailable):
                pause(1_000)
                continue
            pause(40_000 * self.random.randrange(1, 20))


class ResetAttempt(Attempt):
    """One invocation of a task that may have been reset."""

    def __init__(self, sim: ResetSimulation, *given: object) -> None:
        super().__init__(sim, *given)  # type: ignore[arg-type]  # Attempt's own
        self.resets = sim
        self.generation = self.work.record.generation_number
        self.lineage = sim.lineage(self.run_id, self.generation)
        self._of = f"{self.run_id}/{self.generation}"

    def _made(self, op: Memo) -> int:
        return op.value + self.generation * A_GENERATION

    def _is_right(self, node: int, op: Op, result: Json) -> bool:
        """An answer is that of the generation that made the operation, and what a branch has kept is what that generation saw."""
        made_in = self.lineage[node]
        if isinstance(op, Memo):
            return result == op.value + made_in * A_GENERATION
        if isinstance(op, Sleep) and isinstance(result, dict):
            due_ms = max((_due_ms(each) for each in result.values()), default=0)
            begun_ms = self.resets.begun_ms.get((self.run_id, made_in), 0)
            if due_ms < begun_ms + op.ms - 2 * MOST_SKEW_MS:
                return False
        return is_right(op, result, self.journal.now_ms() + MOST_SKEW_MS) and self._as_it_was(node, result)

    def _as_it_was(self, node: int, result: Json) -> bool:
        made_in = self.lineage[node]
        if made_in == self.generation:
            return True
        known = self.resets.seen.get(f"{self.run_id}/{made_in}", [])
        before = next((each for each in known if each[1] == node), None)
        return before is None or before[2] == json.dumps(result, sort_keys=True)

    def _start_children(self, node: int, count: int) -> None:
        """Those that the branch makes are others than before, with a join of their own (`triggers.children`)."""
        record, task, first = self.work.record, self.work.task, self.next_index
        self.next_index += count
        for branch in sorted({branch_of(self.journal.branches, node + n) for n in range(count)}):
            places = [n for n in range(count) if branch_of(self.journal.branches, node + n) == branch]
            if all(self.entries[node + n].child is not None for n in places):
                continue
            indexes = [branch * A_BRANCH + first + n for n in places]
            ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.run_id}/{index}")) for index in indexes]
            open_join(self.engine, record, task, indexes, first=indexes[0])
            start_many(
                self.engine,
                [
                    NewRun(
                        plan=self.sim.child.plan,
                        input='{"n":1}',
                        run_id=run_id,
                        parent=ParentLink(
                            run_id=record.run_id,
                            task=task,
                            index=index,
                            join=leaf_for(record.run_id, task, indexes[0], index),
                        ),
                    )
                    for run_id, index in zip(ids, indexes, strict=True)
                ],
            )
            for n, run_id in zip(places, ids, strict=True):
                self._put(replace(self.entries[node + n], child=ChildRun(run_id, indexes[0])))


def nodes_of(program: Program) -> int:
    return len([1 for step in program.steps for op in step for _ in range(getattr(op, "of", 1))])


def child_nodes(program: Program) -> list[int]:
    """The operations that start a child each."""
    ops = [op for step in program.steps for op in step for _ in range(getattr(op, "of", 1))]
    return [node for node, op in enumerate(ops) if isinstance(op, Child)]


def resets_at_rest(sim: ResetSimulation) -> None:
    """Every run is over as its program says, in its last generation; each operation that starts a child has started one a generation that made it."""
    at_rest(sim)
    for run_id, program in sim.programs.items():
        record = sim.store.record(run_id)
        if record is None or record.cancelled_at_ms is not None or _was_lost(record):
            continue
        number, nodes = record.generation_number, nodes_of(program)
        given: Json = json.loads(record.tasks[TASK].output.text or "{}")
        seen = sim.seen.get(f"{run_id}/{number}", [])
        if run_status(record) is not RunStatus.COMPLETED or given != {"n": nodes} or len(seen) != nodes:
            raise Violation(
                f"run {run_id} of {program} is {run_status(record)}, gave {given}, saw {len(seen)} of {nodes}"
            )
        indexes = [
            each.parent.index
            for each in sim.store.records()
            if each.parent is not None and each.parent.run_id == run_id
        ]
        expected = {
            (made_in, place)
            for place, node in enumerate(child_nodes(program))
            for made_in in [sim.lineage(run_id, number)[node]]
        }
        missing = expected - {divmod(index, A_BRANCH) for index in indexes}
        if missing or len(set(indexes)) < len(indexes):
            raise Violation(f"run {run_id} of {program} has the children {sorted(indexes)}, not {missing}")


def simulate_resets(seed: int, *, rates: Rates | None = None, trace: bool = False) -> ResetSimulation:
    """Run one seed; raises AssertionError with its last steps."""
    with (
        patch.object(journal, "SEAL_AT_BYTES", SEAL_AT_BYTES),
        patch.object(resetting, "SEAL_AT_BYTES", SEAL_AT_BYTES),
    ):
        return to_its_end(ResetSimulation, resets_at_rest, seed, rates=rates, trace=trace)
