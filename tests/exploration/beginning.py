"""The first state of a plan: its runs are started by the real engine, and nothing has been delivered."""

from __future__ import annotations

from exploration.durable import event_message
from exploration.plan import WORKER, Plan
from exploration.rows import Rows, store_of
from exploration.state import Message, State
from exploration.words import name_of
from headrace.core.changes import Update
from headrace.core.run.message import RefillMessage, encode_refill
from headrace.core.table import CURSOR, RATE, gate_key
from headrace.core.waits.rate_limit import Window, put_limit
from headrace.engine.engine import Engine
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.engine.runs.start import NewRun, start
from headrace.engine.timers import HORIZON_S
from headrace.memory.clock import SeededIds, VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.memory.store import MemoryStore

WINDOW_MS = 60_000
START_MS = 1_750_000_040_000
"""20 s into a window."""


def started(plan: Plan, rows: Rows) -> State:
    """All runs are asked for, a second apart."""
    clock = VirtualClock(START_MS)
    store, queues = MemoryStore(), MemoryQueues(clock)
    engine = Engine(store=store, queues=queues, clock=clock, ids=SeededIds())
    for key, limit in plan.rates.items():
        store.write(put_limit(key, limit, WINDOW_MS, seen=Window()))
    minute = (START_MS + HORIZON_S * 1000) // 60_000
    store.write(Update(key=CURSOR, sets={("minute",): minute}))
    for n in range(plan.runs):
        last = plan.last_first and n == plan.runs - 1
        new = NewRun(plan=plan.workflow, input=None, run_id=name_of(n), priority=3 if last else 1)
        start(engine, new)
        clock.advance(1000)
    messages = tuple(Message(n, WORKER, body, 0) for n, body in enumerate(queues.bodies(WORKER), 1))
    if plan.event:
        pushed = event_message(clock.now_ms()).body
        messages = (*messages, Message(len(messages) + 1, EVENTS_QUEUE, pushed, 0))
    return State(
        table=rows.table(store.items()),
        messages=messages,
        processes=(),
        budget=plan.budget.counts,
        now_ms=clock.now_ms(),
        early=plan.early,
    )


def with_another(plan: Plan, rows: Rows, s: State, after_ms: int) -> State:
    """A later run is asked for, and nothing goes wrong any more."""
    clock = VirtualClock(s.now_ms + after_ms)
    store, queues = store_of(s.table.rows.values()), MemoryQueues(clock)
    engine = Engine(store=store, queues=queues, clock=clock, ids=SeededIds())
    start(engine, NewRun(plan=plan.workflow, input=None, run_id=name_of(len(s.table.records()))))
    messages = tuple(Message(n, WORKER, body, 0) for n, body in enumerate(queues.bodies(WORKER), 1))
    table, calm = rows.table(store.items()), (0,) * len(s.budget)
    return s._replace(table=table, messages=messages, budget=calm, now_ms=clock.now_ms(), ticks=0)


def with_refill(plan: Plan, rows: Rows, s: State) -> State:
    """The refill of the window that has just begun is on its way, and the mark of who waited is there still."""
    for key in plan.rates if plan.refill else ():
        gate, due_ms = f"{RATE}{key}", s.now_ms - s.now_ms % WINDOW_MS
        row = s.table.rows[gate_key(gate)]
        marked = rows.of({**row.item, "w": "old", "sched": due_ms})
        body = encode_refill(RefillMessage(gate=gate, at_ms=due_ms, worker=WORKER))
        message = Message(len(s.messages) + 1, WORKER, body, 0)
        s = s._replace(table=s.table.put(row.key, marked), messages=(*s.messages, message))
    return s
