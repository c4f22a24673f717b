"""What must hold: at a write, in every state, and at rest. The same as in `protocol`, read off the real table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from exploration.durable import judge_waits
from exploration.plan import CANCEL, CRASH, DUP, WORKER, ZOMBIE, Plan
from exploration.rows import Row, Table
from exploration.state import Process, State, read, subject_of
from headrace.core.changes import Update, Write
from headrace.core.points import encode_point, point_at
from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import finished
from headrace.core.run.message import RefillMessage
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import RATE, gate_key, line_partition
from headrace.core.waits.heirs import decode_heir
from headrace.core.waits.holders import GateState, Holder, state_of
from headrace.core.waits.line import decode_waiter
from headrace.core.waits.passes import Pass, items_of, passes
from headrace.core.waits.rate_limit import takes, window_of

Taken = tuple[tuple[str, int, int], ...]
NO_GATE = state_of(None)

# ---------------------------------------------------------------- a write


def judge_write(
    s: State, process: Process, write: Write, before: Row | None, after: Row | None
) -> tuple[str, Taken]:
    """What a write breaks, and the units taken after it."""
    if before is None or after is None or after.key.sk != "gate":
        return "", s.taken
    if after.key.pk.startswith(RATE):
        return _units(s, process, write, before, after) if isinstance(write, Update) else ("", s.taken)
    if before.gate is None or after.gate is None or before.gate.waiting is None or process.frozen:
        return "", s.taken
    if items_of(after.gate.limit) > 1:
        return "", s.taken  # its mark is read before, not held to
    new = [held for name, held in after.gate.holders.items() if name not in before.gate.holders]
    if any(not _waited(s.table, held.member, after.key.pk) and not _is_spent(s.table, held) for held in new):
        return "a newcomer overtakes", s.taken
    return "", s.taken


def _units(s: State, process: Process, update: Update, before: Row, after: Row) -> tuple[str, Taken]:
    """A task takes what its plan says, whatever the write makes of the item."""
    gave = isinstance(amount := update.adds.get(("left",), 0), int) and amount > 0
    if ("left",) not in {*update.sets, *update.adds}:
        return "", s.taken
    member = process.node.spec.subject.rsplit("/", 1)[0]
    run_id, _, task = member.partition("/")
    cost = sum(each.units for each in takes(s.table.records()[run_id], task) if each.gate == after.key.pk)
    window = window_of(after.item)
    start_ms, limit = window.start_ms or 0, window.limit or 0
    known = {(gate, start): number for gate, start, number in s.taken}
    used = known.get((after.key.pk, start_ms), 0) + (-cost if gave else cost)
    taken = (*(each for each in s.taken if each[0] != after.key.pk), (after.key.pk, start_ms, used))
    if used > limit:
        return "more units taken than the window has", taken
    waiting = window_of(before.item).waiting
    if waiting is not None and not gave and not process.frozen and not _waited(s.table, member, after.key.pk):
        return "a newcomer overtakes", taken
    return "", taken


def _is_spent(table: Table, held: Holder) -> bool:
    """Whether it is a place that is handed over to a ticket that was used: it is freed, which is seen at rest."""
    record = table.records().get(held.run_id)
    row = record.tasks.get(held.task) if record is not None and held.task is not None else None
    return row is not None and (row.settled or row.ticket > held.ticket)


def _waited(table: Table, member: str, gate: str) -> bool:
    run_id, _, task = member.partition("/")
    record = table.records().get(run_id)
    rows = {} if record is None else record.tasks
    return any(point_at(gate) in row.lined_up for name, row in rows.items() if name == task or not task)


# ---------------------------------------------------------------- every state


def judge_state(plan: Plan, s: State) -> str | None:
    """What is wrong with a state; None: nothing."""
    if plan.program:
        return _livelock(plan, s)
    records = s.table.records()
    told = {subject_of(message.body) for message in s.messages}
    if not plan.allowed and not plan.rates and len(told) < len(s.messages):
        return "a ticket has two messages"
    for row in s.table.rows.values():
        if row.record is not None and any(each.ticket > plan.tickets for each in row.record.tasks.values()):
            return "livelock: a task is refused again and again"
        if row.gate is not None:
            held = sum(holder.cost for holder in row.gate.holders.values())
            if row.gate.taken != held:
                return f"{row.gate.taken} places are counted and {held} are held"
            if row.gate.taken > max(row.gate.limit, 0) and row.gate.holders:
                return "gate over its limit"
    found = _user_code(plan, s, records)
    if found is not None or plan.allows(ZOMBIE):
        return found
    idle = (
        not plan.split
    )  # at a limit of several items a task may be refused by one while another is left: the clock sees to it
    if idle and all(_is_live(records, process) for process in s.processes):
        found = _idle(plan, s, records)
    return found if found is not None or plan.allows(DUP) else _held_in_sleep(s, records)


def _livelock(plan: Plan, s: State) -> str | None:
    rows = [row for record in s.table.records().values() for row in record.tasks.values()]
    return (
        "livelock: a task goes on again and again" if any(row.ticket > plan.tickets for row in rows) else None
    )


def _held_in_sleep(s: State, records: dict[str, RunRecord]) -> str | None:
    awake = {process.node.spec.subject.rsplit("/", 1)[0] for process in s.processes}
    awake |= {subject_of(message.body).rsplit("/", 1)[0] for message in s.messages}
    awake |= {heir for owner, heir in _heirs(records) if owner in awake}
    awake |= {
        decode_waiter(row.item).member
        for row in s.table.rows.values()
        if row.key.sk.startswith("wait#") and "u" in row.item
    }
    parked = {f"{record.run_id}/{task}" for record, task, _ in _parked(records)} - awake
    held = {member for row in s.table.rows.values() if row.gate is not None for member in row.gate.holders}
    return "a parked task holds a place" if parked & held else None


def _heirs(records: dict[str, RunRecord]) -> Iterator[tuple[str, str]]:
    """Tasks that have ended, and those that their places go to."""
    for record in records.values():
        for task, row in record.tasks.items():
            if row.heir is not None:
                heir = decode_heir(row.heir)
                yield f"{record.run_id}/{task}", f"{heir.run_id}/{heir.task}"


def _user_code(plan: Plan, s: State, records: dict[str, RunRecord]) -> str | None:
    """Whose code runs has its places, and no more than the limit run."""
    running: Counter[str] = Counter()
    counted: set[tuple[str, str]] = set()
    for process in s.processes:
        code = process.user_code
        if code is None or not _is_live(records, process):
            continue
        for of in _passes(plan, records[code.run_id], code.task, code.ticket):
            state = _gate(s.table, of)
            held = state.holders.get(of.member)
            if held is None or held.ticket != of.ticket:
                if code.run_id not in state.evicted:
                    return f"{of.member} runs without a place at {of.name}"
            elif (of.gate, of.member) not in counted:
                counted.add((of.gate, of.member))
                running[of.gate] += of.cost
                if running[of.gate] > of.limit:
                    return f"more than {of.limit} run at {of.name}"
    return None


def _is_live(records: dict[str, RunRecord], process: Process) -> bool:
    """Whether it is in user code, and its heartbeats do not tell it to end."""
    code = process.user_code
    if code is None or process.frozen:
        return False
    record = records[code.run_id]
    row = record.tasks.get(code.task)
    owns = row is not None and row.status is TaskStatus.RUNNING and row.owner == code.owner
    return owns and record.cancelled_at_ms is None


def _passes(plan: Plan, record: RunRecord, task: str, ticket: int) -> tuple[Pass, ...]:
    return passes(record, task, ticket, worker=WORKER, limits=plan.limits)


def _idle(plan: Plan, s: State, records: dict[str, RunRecord]) -> str | None:
    """All that lives is in user code, for hours maybe: no task may wait for a place that is free."""
    busy = {(p.user_code.run_id, p.user_code.task) for p in s.processes if p.user_code is not None}
    for message in s.messages:
        of = read(message.body)
        if isinstance(of, RefillMessage):
            if message.due_ms <= s.now_ms:
                return None
            continue
        row = records[of.run_id].tasks.get(of.task)
        if (of.run_id, of.task) not in busy or row is None or row.ticket != of.ticket:
            return None
    for record, task, gate in _parked(records):
        if gate.startswith(RATE):
            awake = s.processes or any(message.due_ms <= s.now_ms for message in s.messages)
            if not plan.allowed and not awake and _units_are_left(plan, s, gate):
                return "units are left and a run waits for the window's end"
        elif all(_has_room(s.table, of) for of in _passes(plan, record, task, 1)):
            return "a place is free and a run waits"
    return None


def _parked(records: dict[str, RunRecord]) -> Iterator[tuple[RunRecord, str, str]]:
    for record in records.values():
        if record.cancelled_at_ms is None:
            for task, row in record.tasks.items():
                if row.status is TaskStatus.PARKED:
                    assert row.waits_at is not None
                    yield record, task, encode_point(row.waits_at)


def _gate(table: Table, of: Pass) -> GateState:
    """The items of a limit as one."""
    rows = [table.rows.get(gate_key(of.gate, number)) for number in range(of.widest)]
    states = [NO_GATE if row is None or row.gate is None else row.gate for row in rows]
    if len(states) == 1:
        return states[0]
    holders = {member: held for state in states for member, held in state.holders.items()}
    return replace(states[0], holders=holders, taken=sum(state.taken for state in states))


def _has_room(table: Table, of: Pass) -> bool:
    state = _gate(table, of)
    return of.member in state.holders or state.taken + of.cost <= of.limit


def _units_are_left(plan: Plan, s: State, gate: str) -> bool:
    heads = [row for row in s.table.partition(line_partition(gate)) if row.key.sk.startswith("wait#")]
    room = window_of(s.table.rows[gate_key(gate)].item).room(s.now_ms)
    return bool(heads) and int(str(heads[0].item.get("k", 1))) <= room


# ---------------------------------------------------------------- rest


def judge_rest(plan: Plan, s: State) -> str | None:
    """What is left undone where nothing is left to happen."""
    if plan.program:
        return judge_waits(s.table, s.told)
    records = s.table.records()
    for run_id, record in records.items():
        if not finished(record):
            return f"run {run_id} is lost"
    rows = list(s.table.rows.values())
    gates = [state_of(row.item) for row in rows if row.key.sk == "gate"]
    if any(gate.holders for gate in gates):
        return "a place is leaked"
    if any(gate.evicted for gate in gates):
        return "a victim is left listed"
    wrong = _outcomes(plan, records)
    if wrong is not None or plan.allows(ZOMBIE):
        return wrong
    twice = plan.allows(DUP) or plan.allows(CANCEL) or plan.budget.crash > 1
    if plan.allows(CRASH) and twice:
        return None  # a waiter of a run that is over, or a mark, may stay: the next look removes it
    if any(row.key.sk.startswith("wait#") for row in rows):
        return "a waiter is left behind"
    if plan.allows(CANCEL):
        return None  # a cancelled waiter leaves the line during a look: then the mark may stay
    return "a mark is left behind" if any(gate.waiting is not None for gate in gates) else None


def leaks(plan: Plan, s: State) -> bool:
    """All runs are over and a zombie has left a place taken, where no task waits and the clock does not look. The next that comes has to
    get in."""
    records = s.table.records()
    held = any(row.gate is not None and row.gate.holders for row in s.table.rows.values())
    listed = any("lpk" in row.item for row in s.table.rows.values() if row.gate is not None)
    return held and not listed and len(records) == plan.runs and all(map(finished, records.values()))


def _outcomes(plan: Plan, records: dict[str, RunRecord]) -> str | None:
    done = [
        all(each.status is TaskStatus.COMPLETED for each in states(record).values())
        for _, record in sorted(records.items())
    ]
    if plan.allows(CANCEL):
        return None
    strategies = {gate.strategy for gate in plan.workflow.gates}
    if GateStrategy.CANCEL_IN_PROGRESS in strategies:
        return None if done[-1] else "the newest run did not complete"
    if GateStrategy.CANCEL_NEWEST in strategies:
        later = done[plan.runs :]
        return None if any(done) and all(later) else "no run completed, or not the later one"
    return None if all(done) else "a run did not complete"
