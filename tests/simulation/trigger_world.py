"""The world of one seed of triggers: crons, scheduled and debounced runs, events with filters, webhooks, and replays, under every fault.

Each client keeps what it was promised; at rest that is held against the runs that are there. What a client died over may have happened
or not, but never twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from headrace import Headrace
from headrace.core.events.envelopes import events_of
from headrace.core.events.event import HANDLED_WITHIN_MS, Event
from headrace.core.run.derived.progress import finished
from headrace.core.run.record import RunRecord
from headrace.core.schedules.cron import due_after, parse_cron
from headrace.core.table import cron_key
from headrace.engine.attempts.ports import Host, Runnable, Work
from headrace.engine.catalog.workflows import DeclaredFilter, Published, publish_workflows
from headrace.engine.clock.crons import CronJob, create_cron, delete_cron
from headrace.engine.clock.scheduled import (
    ScheduledRun,
    delete_scheduled,
    get_scheduled,
    move_scheduled,
    schedule_run,
)
from headrace.engine.engine import Engine
from headrace.engine.events.handle import handle
from headrace.engine.events.push import EVENTS_QUEUE, push
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.replay import replay_run
from headrace.engine.waits.conditions import wake_suspended
from headrace.errors import NotDeployed, RunNotFound, RunNotOver
from headrace.memory.faults import NoFaults
from headrace.options.times import from_epoch_ms
from headrace.ports import Ports, Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending
from headrace.settings.settings import Settings
from headrace.triggers.door import door_of
from simulation.checks import at_rest
from simulation.durable_world import event_id
from simulation.gate_watch import Violation
from simulation.processes import Rates, SkewedClock, has_ms, pause
from simulation.scripted import Scripted
from simulation.seeds import to_its_end
from simulation.senders import (
    GONE,
    Calls,
    call_often,
    debounced_runs_are_as_asked,
    no_forged_request_started_anything,
    send_request,
)
from simulation.workload import Flow, draw_flow
from simulation.world import Simulation

EVENTS, FILTERED = "events", "filtered"
"""The workflows: each event of the key starts a run of the first, and a run of the second for each filter that takes it."""

KEY, SCOPE = "order:*", "s"
DIVISORS = (2, 3)
CRONS = ("* * * * *", "*/2 * * * *", "*/30 * * * * *", "CRON_TZ=Europe/Berlin */3 * * * *")
SURE_BEFORE_MS = 240_000
"""A tick that was due so long before its cron was deleted has started its run, whatever was lost on the way."""


@dataclass(slots=True)
class Cronned:
    """A cron of a client. `sure`: it was told that the cron is there. `gone_ms`: when it began to delete it."""

    job: CronJob
    sure: bool = False
    made_ms: int = 0
    gone_ms: int = 0


@dataclass(slots=True)
class Later:
    """A scheduled run of a client: the times at which it may start, and whether it must, or must not."""

    run: ScheduledRun
    dues_ms: list[int]
    sure: bool = False
    deleted: bool | None = False
    """None: it is not known."""


@dataclass(slots=True)
class TriggerSimulation(Simulation):
    """What its clients asked for."""

    crons: list[Cronned] = field(default_factory=list)
    later: list[Later] = field(default_factory=list)
    pushed: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """Events: their number, and whether their sender was told that it is durable."""
    replays: dict[str, list[str]] = field(default_factory=dict)
    """By run: the replays that were told to have taken place."""
    calls: list[Calls] = field(default_factory=list)
    asked_again: Counter[str] = field(default_factory=Counter)
    ran_in: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        Simulation.__post_init__(self)
        self.queues.max_receive_count = 40  # what is given up is not what is asked here
        self.flows = {name: draw_flow(self.random, name, (1, 1, 2, 3)) for name in (EVENTS, FILTERED)}
        self.deployed = [*self.flows.values(), self.child]
        filters = tuple(
            DeclaredFilter(expression=f"input['n'] % {each} == 0", scope=SCOPE) for each in DIVISORS
        )
        hooks, self.store.faults = self.store.faults, NoFaults()
        publish_workflows(
            Engine(store=self.store, queues=self.queues, clock=self.clock, ids=self.ids),
            [
                Published(plan=self.flows[EVENTS].plan, on_events=(KEY,)),
                Published(plan=self.flows[FILTERED].plan, on_events=(KEY,), filters=filters),
                Published(plan=self.child.plan),
            ],
        )
        self.store.faults = hooks

    @property
    def gated(self) -> bool:
        return False

    def flow_of(self, run_id: str) -> Flow:
        record = self.store.record(run_id)
        return self.child if record is None else self.flows.get(record.plan.workflow, self.child)

    def _deploy(self) -> None:
        """The workflows stay as they are."""

    # ---------------------------------------------------------------- what clients ask for

    def _client(self, name: str) -> None:
        kinds = (self._cron, self._schedule, self._event, self._run_again, self._debounced, self._request)
        for kind in self.random.sample(kinds, 2):
            self.spawn("client of one thing", lambda kind=kind: kind(name))  # type: ignore[misc]  # now

    def _cron(self, name: str) -> None:
        text = self.random.choice(CRONS)
        worker = self.flows[name].plan.tasks[0].worker
        cron = parse_cron(text, "a simulated cron")
        asked = Cronned(CronJob(workflow=name, cron=cron, name=f"c{len(self.crons)}", worker=worker))
        self.crons.append(asked)
        try:
            asked.sure = create_cron(self.engine(), asked.job) is not None
        except GONE:
            self._note("a cron's client died")
        pause(self.random.randrange(300_000, 900_000))
        item = self.store.peek(cron_key(asked.job.id))
        asked.made_ms = int(str(item["made"])) if item is not None else 0
        asked.gone_ms = self.clock.now_ms()
        self._insist(lambda: delete_cron(self.engine(), asked.job.id))

    def _schedule(self, name: str) -> None:
        due_ms = self.clock.now_ms() + self.random.randrange(-10_000, 1_500_000)
        worker = self.flows[name].plan.tasks[0].worker
        given, run_id = self.ids.run_id(), self.ids.run_id()
        asked = Later(
            ScheduledRun(id=given, workflow=name, due_ms=due_ms, run_id=run_id, worker=worker), [due_ms]
        )
        self.later.append(asked)
        try:
            schedule_run(self.engine(), asked.run)
            asked.sure = True
            pause(self.random.randrange(0, 900_000))
            self._change(asked)
        except GONE:
            self._note("a scheduled run's client died")

    def _change(self, asked: Later) -> None:
        """Perhaps it is put off, or deleted."""
        kind = self.random.random()
        if kind < 0.3:
            due_ms = self.clock.now_ms() + self.random.randrange(0, 1_500_000)
            before, asked.dues_ms = asked.dues_ms, [*asked.dues_ms, due_ms]
            if move_scheduled(self.engine(), asked.run.id, due_ms) is None:
                asked.dues_ms = before
            else:
                asked.dues_ms = [due_ms]
                self._note("a scheduled run was put off")
        elif kind < 0.6:
            asked.deleted = None
            asked.deleted = delete_scheduled(self.engine(), asked.run.id)
            self.met["a scheduled run was deleted"] += asked.deleted

    def _event(self, name: str) -> None:
        number, engine = self.random.randrange(12), self.engine()
        given = event_id(self.clock.now_ms(), self.random)
        self.pushed[given] = number, False
        push(
            engine,
            [
                Event(
                    event_id=given,
                    key="order:paid",
                    pushed_at_ms=engine.clock.now_ms(),
                    payload=json.dumps({"n": number}),
                    scope=SCOPE,
                )
            ],
        )
        self.pushed[given] = number, True
        self._note("an event")

    def _debounced(self, name: str) -> None:
        call_often(self, name)

    def _request(self, name: str) -> None:
        send_request(self)

    def _run_again(self, name: str) -> None:
        """Start a run; once it is over, replay it, perhaps two clients at once, and perhaps again."""
        run_id, _ = self._ask(self.flows[name], {"n": 1})
        for _ in range(self.random.choice((1, 1, 2))):
            if not self._is_over(run_id):
                return
            for _ in range(self.random.choice((1, 1, 2))):
                self.spawn("replayer", lambda: self._replay(run_id), self.random.choice((0, 0, 3)))
            pause(self.random.randrange(50, 20_000))

    def _is_over(self, run_id: str) -> bool:
        for _ in range(200):
            record = self.store.record(run_id)
            if record is not None and finished(record):
                return True
            pause(1_000)
        return False

    def _replay(self, run_id: str) -> None:
        self.asked_again[run_id] += 1
        number = f"{run_id[:8]}/{self.asked_again[run_id]}"
        try:
            record = replay_run(
                self.engine(),
                run_id,
                deployed=lambda name: self.flows[name].plan,
                only_failed=self.random.random() < 0.3,
                id=number,
            )
        except (RunNotOver, RunNotFound, NotDeployed):
            return
        if record.generation is not None and record.generation.id == number:
            self.replays.setdefault(run_id, []).append(number)
            self._note("a replay")

    def _insist(self, act: Callable[[], object]) -> None:
        while True:
            try:
                act()
                return
            except GONE:
                pause(1_000)

    def _note(self, what: str) -> None:
        self.met[what] += 1

    # ---------------------------------------------------------------- who serves them

    def _lambda(self, received: Received) -> None:
        if received.queue != EVENTS_QUEUE:
            Simulation._lambda(self, received)
            return
        has_ms(HANDLED_WITHIN_MS, self.clock)
        engine = self.engine()
        for event, page in events_of(received.body, str, now_ms=received.sent_at_ms):
            handled = handle(engine, event, page, start=door_of(self.app()), wake=wake_suspended)
            if handled.later_s:
                self.queues.hide(received, handled.later_s)
                return
        self.queues.delete(received)

    def app(self) -> Headrace:
        """An app without definitions, as a worker's process has it in a stack of others."""
        app = Headrace(config=Settings())
        clock = SkewedClock(self.clock, self.random.randrange(-400, 400))
        app.use(Ports(store=self.store, queues=self.queues, clock=clock, ids=self.ids))
        return app

    def _host(self, worker: str) -> Host:
        return replace(Simulation._host(self, worker), start=door_of(self.app()))

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
        self.ran_in[work.record.run_id, work.task, work.record.generation_number] += 1
        return runnable.run(engine, claimed, control, work)


# ---------------------------------------------------------------- at rest


def triggers_at_rest(sim: TriggerSimulation) -> None:
    """Every run is over as its scripts say, and there is each that was asked for, once."""
    at_rest(sim)
    records = sim.store.records()
    _crons(sim, records)
    _scheduled(sim, {record.run_id: record for record in records})
    _events(sim, records)
    no_forged_request_started_anything(records)
    debounced_runs_are_as_asked(sim, records)
    _replayed(sim)


def _crons(sim: TriggerSimulation, records: list[RunRecord]) -> None:
    for asked in sim.crons:
        job = asked.job
        fired = Counter(
            str(record.metadata["hatchet__cron_scheduled_at"])
            for record in records
            if record.metadata.get("hatchet__cron_name") == job.name
        )
        if any(count > 1 for count in fired.values()):
            raise Violation(f"cron {job.cron} fired twice: {fired}")
        sim.met["a cron fired"] += len(fired)
        if not asked.made_ms:
            if fired:
                raise Violation(f"cron {job.cron} was not made, and fired")
            continue
        known = {_text(due_ms) for due_ms in _dues(job, asked.made_ms - 1, asked.gone_ms + 60_000)}
        if not fired.keys() <= known:
            raise Violation(f"cron {job.cron} fired at {sorted(fired.keys() - known)}, when it was not due")
        sure = {_text(each) for each in _dues(job, asked.made_ms, asked.gone_ms - SURE_BEFORE_MS)}
        if asked.sure and not sure <= fired.keys():
            raise Violation(f"cron {job.cron} did not fire at {sorted(sure - fired.keys())}")


def _dues(job: CronJob, after_ms: int, before_ms: int) -> list[int]:
    out: list[int] = []
    for due_ms in due_after(job.cron, after_ms):
        if due_ms >= before_ms:
            break
        out.append(due_ms)
    return out


def _text(due_ms: int) -> str:
    return from_epoch_ms(due_ms).isoformat().replace("+00:00", "Z")


def _scheduled(sim: TriggerSimulation, records: dict[str, RunRecord]) -> None:
    for asked in sim.later:
        record = records.get(asked.run.run_id)
        kept = get_scheduled(_at_rest_engine(sim), asked.run.id)
        if kept is not None and kept.problem is not None:
            raise Violation(f"scheduled run {asked.run.id} could not start: {kept.problem}")
        if asked.deleted and record is not None:
            raise Violation(f"scheduled run {asked.run.id} was deleted, and has started")
        if record is None:
            if asked.sure and asked.deleted is False:
                raise Violation(f"scheduled run {asked.run.id} has not started")
            continue
        sim.met["a scheduled run"] += 1
        if record.created_at_ms < min(asked.dues_ms) - 1_000 and record.created_at_ms < min(asked.dues_ms):
            raise Violation(f"scheduled run {asked.run.id} started before it was due")


def _at_rest_engine(sim: TriggerSimulation) -> Engine:
    sim.store.faults = NoFaults()
    return Engine(store=sim.store, queues=sim.queues, clock=sim.clock, ids=sim.ids)


def _events(sim: TriggerSimulation, records: list[RunRecord]) -> None:
    started = Counter(
        (str(record.metadata["hatchet__event_id"]), record.plan.workflow)
        for record in records
        if "hatchet__event_id" in record.metadata
    )
    for given, (number, durable) in sim.pushed.items():
        wanted = {EVENTS: 1, FILTERED: sum(number % each == 0 for each in DIVISORS)}
        found = {workflow: started[given, workflow] for workflow in wanted}
        if found != wanted and (durable or any(found.values())):
            raise Violation(f"event {given} of {number} has started {found}, it is to start {wanted}")


def _replayed(sim: TriggerSimulation) -> None:
    for run_id, asked in sim.asked_again.items():
        record = sim.store.record(run_id)
        number = record.generation_number if record is not None else 0
        told = len(set(sim.replays.get(run_id, ())))
        if not told <= number <= asked:
            raise Violation(
                f"run {run_id} was replayed {number} times: {asked} were asked for, {told} told of"
            )
    for (run_id, task, generation), count in sim.ran_in.items():
        record = sim.store.record(run_id)
        if record is None or record.generation_number != generation or task not in record.tasks:
            continue
        script = sim.flow_of(run_id).scripts.get(task)
        row = record.tasks[task]
        if script is not None and not script.children and count > 1 + row.retry_count:
            raise Violation(
                f"{task} of run {run_id} ran {count} times, its record allows {1 + row.retry_count}"
            )


def simulate_triggers(seed: int, *, rates: Rates | None = None, trace: bool = False) -> TriggerSimulation:
    """Run one seed; raises AssertionError with its last steps."""
    return to_its_end(TriggerSimulation, triggers_at_rest, seed, rates=rates, trace=trace)
