"""Scheduled and debounced runs: an item each until its run has started, which says when that is due.

The item holds the truth; timers and messages only point to it. The process that receives the message marks the item as started on condition
that it is still due then, which update and delete require it not to be; then it starts the run, whose id the item names.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import field, replace

from headrace.core.changes import (
    ITEM_EXISTS,
    ITEM_MISSING,
    Applied,
    Condition,
    Delete,
    Equal,
    Item,
    Key,
    Missing,
    Put,
    Update,
    every,
)
from headrace.core.run.message import FireMessage, FiringKind
from headrace.core.run.plans.plan import Json
from headrace.core.sizes import MAX_KEPT_BYTES, check_metadata, check_size
from headrace.core.table import SCHEDULED, debounced_key, scheduled_key
from headrace.core.values import dataclass
from headrace.engine.clock.firing import send_firings, worker_for
from headrace.engine.engine import Engine
from headrace.engine.timers import LATEST_S, LookAt, put_timer

OVERDUE_MS = 60_000
"""A debounced run that is so late has lost its message: the next call sends another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRun:
    """A run that is to start at `due_ms`. `run_id` is chosen with it. `started`: it was marked; `problem`: why it could not start.

    `latest_ms`: a debounced run is put off to then and no further.
    """

    id: str
    workflow: str
    due_ms: int
    run_id: str
    input: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    priority: int | None = None
    worker: str = ""
    created_at_ms: int = 0
    started: bool = False
    problem: str | None = None
    latest_ms: int | None = None
    expected_ms: int = 0
    """Of a debounced run: when the message that is on its way arrives."""

    @property
    def kind(self) -> FiringKind:
        return FiringKind.SCHEDULE if self.latest_ms is None else FiringKind.DEBOUNCE

    @property
    def key(self) -> Key:
        return key_of(self.kind, self.id)


def key_of(kind: FiringKind, given: str) -> Key:
    return scheduled_key(given) if kind is FiringKind.SCHEDULE else debounced_key(given)


def schedule_run(engine: Engine, wanted: ScheduledRun) -> ScheduledRun:
    """Store a run that is due later (or at once, where its time has passed). PayloadTooLargeError before anything is stored."""
    made = _made(engine, wanted)
    _point_to(engine, made.id, made.due_ms, made.worker)
    engine.store.write(Put(key=made.key, item=_encode(engine, made), require=ITEM_MISSING))
    _send_if_soon(engine, made)
    return made


def _made(engine: Engine, wanted: ScheduledRun) -> ScheduledRun:
    check_size(f"the input of a later run of {wanted.workflow}", wanted.input, MAX_KEPT_BYTES)
    check_metadata(f"a later run of {wanted.workflow}", wanted.metadata, engine.limits.metadata_bytes)
    worker = worker_for(engine, wanted.workflow, wanted.worker)
    return replace(wanted, created_at_ms=engine.clock.now_ms(), worker=worker)


def _point_to(engine: Engine, given: str, due_ms: int, worker: str = "") -> None:
    """The clock is to look at it, in a minute that it cannot have passed: it counts where the message below is never sent."""
    at_ms = max(due_ms, engine.clock.now_ms() + LATEST_S * 1000)
    put_timer(engine, at_ms, LookAt(kind=FiringKind.SCHEDULE, id=given, worker=worker))


def _send_if_soon(engine: Engine, run: ScheduledRun) -> None:
    if run.due_ms - engine.clock.now_ms() <= LATEST_S * 1000:
        send_firings(engine, run.worker, [firing_of(run)])


def send_due(engine: Engine, ids: list[str]) -> int:
    """Of scheduled runs, send those that have not started and are due soon; returns how many. A later one has a timer of its own."""
    by_worker: dict[str, list[FireMessage]] = defaultdict(list)
    soon_ms = engine.clock.now_ms() + LATEST_S * 1000
    for run in scheduled_by_id(engine, ids).values():
        if not run.started and run.problem is None and run.due_ms <= soon_ms:
            by_worker[worker_for(engine, run.workflow, run.worker)].append(firing_of(run))
    return sum(send_firings(engine, worker, firings) for worker, firings in by_worker.items())


def firing_of(run: ScheduledRun) -> FireMessage:
    return FireMessage(kind=run.kind, id=run.id, due_ms=run.due_ms)


def get_scheduled(engine: Engine, given: str, kind: FiringKind = FiringKind.SCHEDULE) -> ScheduledRun | None:
    item = engine.store.get(key_of(kind, given))
    return _decode(item) if item is not None else None


def scheduled_by_id(engine: Engine, ids: list[str]) -> dict[str, ScheduledRun]:
    """Scheduled runs by their ids: one batch of reads."""
    items = engine.store.get_many([key_of(FiringKind.SCHEDULE, each) for each in ids])
    return {each: _decode(item) for each, item in zip(ids, items, strict=True) if item is not None}


def list_scheduled(engine: Engine) -> list[ScheduledRun]:
    """All scheduled runs of the stack that are kept, the next one first: one query."""
    found = [_decode(item) for item in engine.store.query(SCHEDULED)]
    return sorted(found, key=lambda each: (each.due_ms, each.id))


NOT_STARTED = every(ITEM_EXISTS, Missing(("started",)), Missing(("problem",)))


def move_scheduled(engine: Engine, given: str, due_ms: int) -> ScheduledRun | None:
    """Have it start at another time. None where there is none, or its run has started."""
    _point_to(engine, given, due_ms)
    written = engine.store.write(
        Update(key=key_of(FiringKind.SCHEDULE, given), require=NOT_STARTED, sets={("due",): due_ms})
    )
    if not isinstance(written, Applied) or written.item is None:
        return None
    moved = _decode(written.item)
    _send_if_soon(engine, moved)
    return moved


def delete_scheduled(engine: Engine, given: str) -> bool:
    """Forget a run that has not started; its messages start nothing. False where there is none, or it has started."""
    written = engine.store.write(Delete(key=key_of(FiringKind.SCHEDULE, given), require=NOT_STARTED))
    return isinstance(written, Applied)


def mark_started(engine: Engine, run: ScheduledRun) -> ScheduledRun | None:
    """The run starts now, at the time for which it is due; as it was stored last. None where it was moved or deleted meanwhile."""
    require: Condition = every(ITEM_EXISTS, Equal(("due",), run.due_ms), Missing(("problem",)))
    written = engine.store.write(Update(key=run.key, require=require, sets={("started",): True}))
    return _decode(written.item) if isinstance(written, Applied) and written.item is not None else None


def mark_problem(engine: Engine, run: ScheduledRun, problem: str) -> None:
    """The run cannot start, and why."""
    engine.store.write(Update(key=run.key, require=ITEM_EXISTS, sets={("problem",): problem[:2_000]}))


# ---------------------------------------------------------------- debounced


def put_off(engine: Engine, wanted: ScheduledRun) -> ScheduledRun | None:
    """Start one run after things went quiet: put the pending one off to `wanted.due_ms`, with the new input, or begin one.

    None where the pending one is just being started: start it as well, then ask again.
    """
    pending = engine.store.write(_later(wanted))
    if isinstance(pending, Applied) and pending.item is not None:
        found = _decode(pending.item)
        if found.due_ms > (found.latest_ms or 0):  # waited long enough
            found = _at_the_latest(engine, found)
        if found.expected_ms < engine.clock.now_ms() - OVERDUE_MS:
            chase(engine, found)  # its caller died before it sent the message
        return found
    if pending.item is not None and "started" in pending.item:
        return None
    made = _made(engine, wanted)
    send_firings(engine, made.worker, [firing_of(made)])  # first: later calls count on it
    written = engine.store.write(Put(key=made.key, item=_encode(engine, made), require=ITEM_MISSING))
    if not isinstance(written, Applied):
        return None
    if made.due_ms <= engine.clock.now_ms():  # the message may have come before there was anything
        send_firings(engine, made.worker, [firing_of(made)])
    return made


def _later(wanted: ScheduledRun) -> Update:
    return Update(
        key=wanted.key,
        require=every(ITEM_EXISTS, Missing(("started",))),
        sets={
            ("due",): wanted.due_ms,
            ("input",): wanted.input,
            ("meta",): _compact(wanted.metadata),
            ("prio",): wanted.priority,
        },
    )


def _at_the_latest(engine: Engine, found: ScheduledRun) -> ScheduledRun:
    latest_ms = found.latest_ms or found.due_ms
    written = engine.store.write(
        Update(key=found.key, require=Equal(("due",), found.due_ms), sets={("due",): latest_ms})
    )
    return replace(found, due_ms=latest_ms) if isinstance(written, Applied) else found


def chase(engine: Engine, run: ScheduledRun) -> None:
    """Send a debounced run's message to the time to which it was put off."""
    send_firings(engine, worker_for(engine, run.workflow, run.worker), [firing_of(run)])
    require = every(ITEM_EXISTS, Equal(("run",), run.run_id))
    engine.store.write(Update(key=run.key, require=require, sets={("expected",): run.due_ms}))


def forget_debounced(engine: Engine, run: ScheduledRun) -> None:
    """Its run has started: the next call begins another."""
    engine.store.write(Delete(key=run.key, require=every(ITEM_EXISTS, Equal(("run",), run.run_id))))


# ---------------------------------------------------------------- encoding


def _encode(engine: Engine, run: ScheduledRun) -> Item:
    item: Item = {
        "flow": run.workflow,
        "due": run.due_ms,
        "run": run.run_id,
        "input": run.input,
        "meta": _compact(run.metadata),
        "prio": run.priority,
        "worker": run.worker,
        "made": run.created_at_ms,
        "expires_at": max(run.due_ms, run.created_at_ms) // 1000 + engine.limits.retention_s,
    }
    if run.latest_ms is not None:
        item |= {"latest": run.latest_ms, "expected": run.due_ms}
    return item


def _decode(item: Item) -> ScheduledRun:
    prio, text, latest, problem = item.get("prio"), item.get("input"), item.get("latest"), item.get("problem")
    return ScheduledRun(
        id=str(item["sk"]),
        workflow=str(item["flow"]),
        due_ms=int(str(item["due"])),
        run_id=str(item["run"]),
        input=text if isinstance(text, str) else None,
        metadata=json.loads(str(item["meta"])),
        priority=prio if isinstance(prio, int) else None,
        worker=str(item["worker"]),
        created_at_ms=int(str(item["made"])),
        started="started" in item,
        problem=str(problem) if problem is not None else None,
        latest_ms=latest if isinstance(latest, int) else None,
        expected_ms=int(str(item.get("expected", 0))),
    )


def _compact(value: Mapping[str, Json]) -> str:
    return json.dumps(dict(value), separators=(",", ":"), ensure_ascii=False)
