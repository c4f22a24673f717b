"""Batch tasks in the simulated world: runs that join batches under every fault, and how many calls there may be for each of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from headrace.core.changes import Applied, Item, Update, Write, Written
from headrace.core.run.derived.progress import finished
from headrace.core.run.plans.plan import BatchPlan, Json, RunPlan, TaskPlan
from headrace.core.run.record import ErrorInfo, TaskStatus
from headrace.core.table import BATCH
from headrace.core.waits.batch import decode_line, decode_page
from headrace.engine.attempts.ports import EachEnded, Host, Outcome, Raised, Runnable, Succeeded, Work
from headrace.engine.engine import Engine
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.claimed import Claimed
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending, Interrupted
from simulation.checks import Watched, at_rest
from simulation.gate_watch import Violation
from simulation.processes import Rates, pause
from simulation.scripted import Scripted
from simulation.seeds import to_its_end
from simulation.workload import Flow, Script
from simulation.world import Simulation

TASK = "b"
NEVER_MS = 10**9
PROBES = 1_000
"""The items of the runs that join when all is quiet: no batch may keep them waiting."""

MOST_SKEW_MS = 800
"""Two clocks differ by no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the code of a batch: the group key of its members, and how many they are."""

    run_ids: tuple[str, ...]
    key: Json


class BatchStore(Watched):
    """Every write to a batch held against what was there: it is closed once, and one delivery at a time runs it."""

    def __init__(self, now_ms: Callable[[], int], **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # Watched's own
        self._now_ms = now_ms

    def _apply(self, write: Write) -> Written:
        before = self.peek(write.key)
        written = super()._apply(write)
        if isinstance(written, Applied) and write.key.pk.startswith(BATCH):
            self._found = self._found or self._compare_batch(write, before, written.item)
        return written

    def _compare_batch(self, write: Write, before: Item | None, after: Item | None) -> str | None:
        if after is None:
            return None
        if write.key.sk == "batch":
            line = decode_line(after)
            entered = isinstance(write, Update) and ("r",) in write.adds
            over = entered and line.max_runs is not None and len(line.running) > line.max_runs
            return (
                f"{write.key.pk}: {sorted(line.running)} run, of which {line.max_runs} may" if over else None
            )
        if before is None:
            return None
        was, now = decode_page(before), decode_page(after)
        if was.closed and set(now.members) - set(was.members):
            return f"{write.key}: {sorted(set(now.members) - set(was.members))} joined a closed batch"
        if was.owner not in (None, now.owner) and (was.lease_until_ms or 0) > self._now_ms() + MOST_SKEW_MS:
            return f"{write.key}: two deliveries run one batch"
        return None

    def batch_items(self) -> list[Item]:
        return [
            item for pk, rows in self._partitions.items() if pk.startswith(BATCH) for item in rows.values()
        ]


@dataclass(slots=True)
class BatchSimulation(Simulation):
    """Runs of one workflow with a batch task. Each item fails as often as its input says, whatever batch it is in."""

    plan: BatchPlan = field(init=False)
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        Simulation.__post_init__(self)
        self.plan = BatchPlan(
            max_size=self.random.choice((1, 2, 3, 5)),
            interval_ms=self.random.choice((200, 2_000, 2_000, 20_000)),
            key=self.random.choice((None, "input['k']")),
            max_runs=self.random.choice((None, None, 1, 2)),
        )
        batch = TaskPlan(
            name=TASK, retries=1, schedule_timeout_ms=NEVER_MS, execution_timeout_ms=60_000, batch=self.plan
        )
        tasks = (batch,)
        if self.random.random() < 0.4:
            first = TaskPlan(name="a", schedule_timeout_ms=NEVER_MS)
            last = TaskPlan(name="c", schedule_timeout_ms=NEVER_MS, parents=(TASK,))
            tasks = (first, replace(batch, parents=("a",)), last)
        flow = Flow(plan=RunPlan(workflow="batched", version="1", tasks=tasks), scripts={})
        self.flows = {"batched": flow}
        self.deployed = [flow, self.child]
        self.probes = [(self._flow(PROBES + at), {"n": PROBES + at, "k": key}) for at, key in enumerate("ab")]

    def _new_store(self) -> Watched:
        return BatchStore(
            self.clock.now_ms,
            retried=lambda: self.hit("retried"),
            met=self.met,
            places_an_item=self.places_an_item,
        )

    @property
    def gated(self) -> bool:
        return False

    @property
    def meet(self) -> bool:
        return True

    def _deploy(self) -> None:
        """What runs join stays as it is."""

    def _flow(self, number: int) -> Flow:
        """The workflow, for the item of that number."""
        scripts = {
            "a": Script(duration_ms=self.random.choice((1, 300)), output=1),
            TASK: Script(failures=self.random.choice((0, 0, 0, 1, 2)), output=number),
            "c": Script(output=2),
        }
        return replace(self.flows["batched"], scripts=scripts)

    def _client(self, name: str) -> None:
        number = len(self.started)
        run_id, engine = self._ask(self._flow(number), {"n": number, "k": self.random.choice("ab")})
        if self.random.random() < 0.1:
            pause(self.random.randrange(0, 5_000))
            self.cancelled.add(run_id)
            self._carefully(lambda: cancel(engine, run_id))

    def _scripted(self, task: str) -> Scripted:
        return Batched(self, task) if task == TASK else Scripted(self, task)

    def _runner(
        self,
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        assert isinstance(runnable, Scripted)
        for each in work.members or (work,):
            self.ran[each.record.run_id, each.task] += 1
        return runnable.run(engine, claimed, control, work)


@dataclass(frozen=True, slots=True)
class Batched(Scripted):
    """The code of the batch task: an item is given its own number back, or raises as often as it is to."""

    def run(self, engine: Engine, claimed: Claimed, control: LiveControl, work: Work) -> Ending:
        sim = self.sim
        assert isinstance(sim, BatchSimulation)
        assert claimed.keep_lease is not None
        self._note_call(sim, work)
        left_ms = sim.random.choice((1, 50, 3_000, 12_000))
        beat_in_ms = int(engine.limits.first_beat_s * 1000)
        while left_ms > 0:
            pause_ms = min(left_ms, beat_in_ms)
            pause(pause_ms)
            left_ms -= pause_ms
            if left_ms > 0:
                beat_in_ms = _keep(engine, claimed.keep_lease, control)
                if control.is_cancelled():
                    return Interrupted()
        return self.call(work)

    def _note_call(self, sim: BatchSimulation, work: Work) -> None:
        ids = tuple(each.record.run_id for each in work.members)
        keys = {str(sim.started[each].input["k"]) for each in ids if sim.plan.key is not None}
        if not 0 < len(ids) <= sim.plan.max_size or len(set(ids)) < len(ids) or len(keys) > 1:
            raise Violation(f"a batch of at most {sim.plan.max_size} runs of one key has {ids} of {keys}")
        sim.calls.append(Call(run_ids=ids, key=next(iter(keys), None)))
        sim.met["batch"] += 1
        sim.met["full batch"] += len(ids) == sim.plan.max_size > 1
        sim.met["batch of several"] += len(ids) > 1

    def call(self, work: Work) -> Outcome:
        return EachEnded({each.record.run_id: self._item(each) for each in work.members})

    def _item(self, work: Work) -> Succeeded | Raised:
        script = self.script(work)
        if script.fate(work.record.tasks[TASK].app_retry_count) == "succeed":
            return Succeeded(json.dumps({"n": script.output}))
        return Raised(ErrorInfo(type="E", message="this time"))


def _keep(engine: Engine, keep: Callable[[LiveControl], bool], control: LiveControl) -> int:
    try:
        keep(control)
    except (StoreUnavailable, QueueUnavailable):
        return 1_000
    return int(engine.limits.beat_every_s * 1000)


def batches_at_rest(sim: BatchSimulation) -> None:
    """Every run is over as its item says, with its own result; no batch is left, and none counts as one that runs."""
    at_rest(sim)
    for run_id in sim.started:
        record = sim.store.record(run_id)
        row = record.tasks.get(TASK) if record is not None else None
        if row is None or row.status is not TaskStatus.COMPLETED:
            continue
        given, own = json.loads(row.output.text or "null"), sim.started[run_id].input["n"]
        if given != {"n": own}:
            raise Violation(f"run {run_id} of item {own} was given {given}")
    assert isinstance(sim.store, BatchStore)
    for item in sim.store.batch_items():
        line = decode_line(item)
        stuck = line.waiting or (line.running and not sim.faults["freeze"])
        if (item["sk"] != "batch" and not _is_over(sim, item)) or stuck:
            raise Violation(f"left of a batch at rest: {item}")


def _is_over(sim: BatchSimulation, page: Item) -> bool:
    """Whether a page is left by one that stood still until its batch had run, and died: its runs are over, and it expires."""
    records = [sim.store.record(run_id) for run_id in decode_page(page).members]
    return bool(sim.faults["freeze"]) and all(each is None or finished(each) for each in records)


def simulate_batches(seed: int, *, rates: Rates | None = None, trace: bool = False) -> BatchSimulation:
    """Run one seed; raises AssertionError with its last steps."""
    return to_its_end(BatchSimulation, batches_at_rest, seed, rates=rates, trace=trace)
