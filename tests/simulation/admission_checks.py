"""What must hold of gates and rate limits: while code runs, whenever nothing is under way, and at rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.core.changes import Item
from headrace.core.points import encode_point
from headrace.core.run.derived.progress import finished
from headrace.core.run.owed import worker_of
from headrace.core.run.plans.plan import GatePlan, GateStrategy
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.run.transitions.settle import SCHEDULING_TIMED_OUT
from headrace.core.waits.holders import GateState, state_of
from headrace.core.waits.passes import Pass, passes
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from simulation.gate_watch import Violation, alive, name_of, place
from simulation.gates_workload import gates_of, key_of, strategy_of

if TYPE_CHECKING:
    from simulation.world import Simulation

CONCURRENCY = "CONCURRENCY"
TURNED_AWAY = (CONCURRENCY, SCHEDULING_TIMED_OUT)


# ---------------------------------------------------------------- while code runs


def while_code_runs(sim: Simulation, engine: Engine, claimed: Claimed) -> None:
    """A run that begins is in every gate; and of those that run, no gate has more than its limit."""
    if not _owns(sim, claimed):
        return
    running = [
        other
        for engine_of, each in sim.executions.values()
        if _owns(sim, each)
        for other in _passes(engine_of, each)
    ]
    running += [other for engine_of, each in sim.outlasting() for other in _passes(engine_of, each)]
    for of in _passes(engine, claimed):
        gate, states = of.gate, sim.store.states_of(of.gate)
        held = [state.holders.get(of.member) for state in states]
        inside = any(each is not None and (of.of_run or each.ticket == of.ticket) for each in held)
        if not inside and of.run_id not in states[0].evicted:
            raise Violation(f"{of.member} runs, and is not in {gate}")
        most = max(sim.gates.of(of.name, of.planned or of.limit))
        costs = {
            (other.member, other.ticket): other.cost
            for other in running
            if other.gate == gate and other.run_id not in states[0].evicted
        }
        if sum(costs.values()) > most:
            raise Violation(
                f"{sum(costs.values())} run at once of {of.gate}, which admits {most}: {sorted(costs)}"
            )


def _owns(sim: Simulation, claimed: Claimed) -> bool:
    """Whether the attempt is the one that counts."""
    record = sim.store.record(claimed.record.run_id)
    if record is None or record.cancelled_at_ms is not None:
        return False
    row = record.tasks[claimed.attempt.task]
    return (
        row.status is TaskStatus.RUNNING
        and row.owner == claimed.attempt.owner
        and (row.lease_until_ms or 0) > sim.clock.now_ms()
    )


def _passes(engine: Engine, claimed: Claimed) -> tuple[Pass, ...]:
    record, attempt = claimed.record, claimed.attempt
    worker = worker_of(record, attempt.task)
    return passes(record, attempt.task, attempt.ticket, worker=worker, limits=engine.gate_limits())


# ---------------------------------------------------------------- whenever nothing is under way


def at_a_calm_moment(sim: Simulation) -> None:
    """No process is there, and no message that anybody has received: what was owed is paid, without the clock.

    Not after a zombie, a deployment, or a client that died while it cancelled: what these leave behind the clock repairs. Nor with
    children of a cancelled parent.
    """
    if sim.faults["freeze"] or sim.faults["deployment"] or sim.loose or sim.queues.received():
        return
    for key, item in sim.store.gate_items():
        gate, number = place(key)
        if gate.startswith("gate#"):
            _holders_are_alive(sim, gate, state_of(item))
            if number == 0:
                _nobody_waits_in_vain(sim, gate)
        elif gate.startswith("rate#") and sim.store.line(gate):
            bodies = (body for queue in sim.queues.known() for body in sim.queues.bodies(queue))
            if not any(json.loads(body).get("refill") == gate for body in bodies):
                raise Violation(f"{len(sim.store.line(gate))} wait at {gate}, and no refill is due")
    _the_parked_are_in_line(sim)


def _holders_are_alive(sim: Simulation, gate: str, state: GateState) -> None:
    for held in state.holders.values():
        if held.until_ms is not None:
            continue  # its code goes on, or has died with its process and is removed by the clock
        record = sim.store.record(held.run_id)
        parked = (
            record is not None and held.task is not None and _status(record, held.task) is TaskStatus.PARKED
        )
        comes = _is_handed(sim, f"{held.member}/{held.ticket}")
        if not comes and (parked or not alive(record, held, gate)):
            raise Violation(f"{held.member} does not run, and keeps its place in {gate}")
    if state.evicted:
        raise Violation(f"{gate}: {state.evicted} were put out, and nothing has cancelled them")


def _status(record: RunRecord, task: str) -> TaskStatus | None:
    row = record.tasks.get(task)
    return None if row is None else row.status


def _is_handed(sim: Simulation, ticket: str) -> bool:
    """Whether a message is on its way to a ticket that a place was handed over to."""
    bodies = (json.loads(body) for queue in sim.queues.known() for body in sim.queues.bodies(queue))
    return any(
        "seat" in body and f"{body['run']}/{body['task']}/{body['ticket']}" == ticket for body in bodies
    )


def _nobody_waits_in_vain(sim: Simulation, gate: str) -> None:
    line = [item for item in sim.store.line(gate) if not _is_over(sim, item)]
    if not line:
        return
    states = sim.store.states_of(gate)
    if states[0].waiting is None:
        raise Violation(f"{len(line)} wait at {gate}, and no mark says so")
    planned = states[0].limit
    limit = sim.gates.limits.get(name_of(gate), planned)
    cost = line[0].get("k", 1)
    assert isinstance(cost, int)
    if any(room >= cost for room in _rooms(sim, gate, limit, states)):
        raise Violation(f"{len(line)} wait at {gate}, which has room")


def _rooms(sim: Simulation, gate: str, limit: int, states: list[GateState]) -> Iterator[int]:
    split = strategy_of(name_of(gate)) is not GateStrategy.CANCEL_IN_PROGRESS
    items = max(1, -(-limit // sim.places_an_item)) if split else 1
    for number in range(items):
        taken = states[number].taken if number < len(states) else 0
        yield len(range(number, limit, items)) - taken


def _the_parked_are_in_line(sim: Simulation) -> None:
    for record in sim.store.records():
        for name, row in record.tasks.items():
            gate = encode_point(row.waits_at) if row.waits_at is not None else ""
            if row.status is not TaskStatus.PARKED or record.cancelled_at_ms is not None:
                continue
            if _is_handed(sim, f"{record.run_id}/{name}/{row.ticket}"):
                continue
            if gate.startswith(("gate#", "rate#", "pause#")):
                tail = f"#{record.run_id}#{name}"
                if not any(
                    str(item["sk"]).endswith(tail) and item["t"] == row.ticket
                    for item in sim.store.line(gate)
                ):
                    raise Violation(f"{name} of run {record.run_id} is parked at {gate}, and not in its line")


# ---------------------------------------------------------------- at rest


def admission_at_rest(sim: Simulation) -> None:
    """Nothing is left: no waiter, no mark, no eviction unpaid; and no dead holder where the clock would have looked."""
    loose = sim.faults["freeze"] or sim.faults["deployment"] or sim.loose
    doubled = sim.faults["freeze"] or sim.faults["duplicate"]
    for key, item in sim.store.gate_items():
        gate, _ = place(key)
        waiting = [item for item in sim.store.line(gate) if not (doubled and _is_over(sim, item))]
        if waiting:
            raise Violation(f"{len(waiting)} wait at {gate} at rest")
        if "w" in item or "lpk" in item:
            raise Violation(f"{gate} says that tasks wait, at rest")
        state = state_of(item)
        if state.evicted:
            raise Violation(f"{gate}: {state.evicted} were put out, and nothing has cancelled them")
        if state.holders and not loose:
            raise Violation(f"{sorted(state.holders)} are left in {gate}")


def _is_over(sim: Simulation, waiter: Item) -> bool:
    """Whether the waiter is a ghost: one who slept put it, and died before the mark. The next who looks wakes it, and it goes."""
    record = sim.store.record(str(waiter["sk"]).split("#")[3])
    return record is None or finished(record)


def turned_away(record: RunRecord) -> dict[str, int]:
    """The tasks that were not admitted, and after how many retries."""
    return {
        name: row.app_retry_count
        for name, row in record.tasks.items()
        if row.status is TaskStatus.CANCELLED and row.error is not None and row.error.type in TURNED_AWAY
    }


def rightly_turned_away(sim: Simulation, record: RunRecord) -> None:
    """Only where that is what the workflow asks for, and only by others of its key."""
    flow, asked = sim.flow_of(record.run_id), sim.started.get(record.run_id)
    for name, row in record.tasks.items():
        reason = row.error.type if row.error is not None and row.status is TaskStatus.CANCELLED else ""
        if reason == SCHEDULING_TIMED_OUT and not flow.impatient:
            raise Violation(f"{name} of run {record.run_id} waited too long, and had all the time")
        if reason == CONCURRENCY:
            own = flow.plan.task(name).gates
            gates = (*own, *flow.plan.gates) if flow.plan.standalone else own
            _has_cause(sim, record, gates, GateStrategy.CANCEL_NEWEST)
    why = record.cancel_reason or ""
    if why.startswith(CONCURRENCY):
        newest = tuple(flow.plan.gates) if "CANCEL_NEWEST" in why else tuple(gates_of(flow.plan))
        strategy = GateStrategy.CANCEL_NEWEST if "CANCEL_NEWEST" in why else GateStrategy.CANCEL_IN_PROGRESS
        _has_cause(sim, record, newest, strategy)
    elif why == "CANCELLED_BY_USER" and record.run_id not in sim.cancelled:
        raise Violation(f"nothing has cancelled run {record.run_id}")
    if asked is not None and asked.probe and (why or turned_away(record)) and not flow.impatient:
        raise Violation(
            f"run {record.run_id} met no other run, and was not admitted: {why or turned_away(record)}"
        )


def _has_cause(
    sim: Simulation, record: RunRecord, gates: tuple[GatePlan, ...], strategy: GateStrategy
) -> None:
    """As many other runs of one of its keys as that gate has places; newer ones, where newer ones take the place."""
    if not any(
        len(_others(sim, record, gate, newer=strategy is GateStrategy.CANCEL_IN_PROGRESS))
        >= min(_least(sim, gate), sim.places_an_item)
        for gate in gates
        if gate.strategy is strategy
    ):
        raise Violation(f"run {record.run_id} was not admitted ({strategy.name}), and met too few of its key")


def _least(sim: Simulation, gate: GatePlan) -> int:
    """The fewest places that it has had. Those of a split gate are not looked at all at once, so less is enough."""
    least = min(sim.gates.of(gate.name, gate.max_runs))
    most = max(sim.gates.of(gate.name, gate.max_runs))
    split = gate.strategy is not GateStrategy.CANCEL_IN_PROGRESS and most > sim.places_an_item
    return 1 if split else least


def _others(sim: Simulation, record: RunRecord, gate: GatePlan, *, newer: bool) -> list[str]:
    mine = key_of(gate, sim.started[record.run_id].input)
    out: list[str] = []
    for run_id, asked in sim.started.items():
        other = sim.store.record(run_id)
        if run_id == record.run_id or other is None or asked.flow.plan.workflow != record.plan.workflow:
            continue
        is_newer = (other.created_at_ms, run_id) > (record.created_at_ms, record.run_id)
        if key_of(gate, asked.input) == mine and (is_newer or not newer):
            out.append(run_id)
    return out
