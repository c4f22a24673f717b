"""What the clock does once a minute: send the timers that are due soon, and look after the gates that somebody waits at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from headrace.core.changes import ALWAYS, AtMost, Delete, Item, Missing, Update, either
from headrace.core.run.message import FiringKind
from headrace.core.table import CURSOR, timer_partition
from headrace.engine.clock.timers import HORIZON_S, SHARDS, LookAt, SendMessage, Timer, decode_timer
from headrace.engine.engine import Engine
from headrace.engine.waits.sweep import tend_gates
from headrace.ports import MAX_DELAY_S, Outgoing

FIRST_LOOK_BACK_MINUTES = 60
STRIDE_MINUTES = 10
"""How far the clock goes, while it catches up, before it moves its cursor."""

PAGE = 1_000
"""How many timers are sent before they are deleted: what is done again where the clock dies in between."""


def tick(engine: Engine) -> int:
    """Send, with exact delays, every timer due within the next minutes; then tend the gates. Returns how many messages were sent.

    The cursor names the first minute not yet done, so a clock that stood still for a day catches up, and one that is stopped
    while it does goes on from where it was.
    """
    now_ms = engine.clock.now_ms()
    until = (now_ms + HORIZON_S * 1000) // 60_000
    cursor = engine.store.get(CURSOR)
    start = _int(cursor, "minute", (now_ms // 60_000) - FIRST_LOOK_BACK_MINUTES)
    sent = 0
    for minute in range(start, until):
        sent += sum(send_shard(engine, minute, shard) for shard in range(SHARDS))
        if minute + 1 == until or (minute + 1) % STRIDE_MINUTES == 0:
            _move_cursor(engine, minute + 1)
    return sent + tend_gates(engine)


def _move_cursor(engine: Engine, minute: int) -> None:
    forward = either(Missing(("minute",)), AtMost(("minute",), minute))
    engine.store.write(Update(key=CURSOR, require=forward, sets={("minute",): minute}))


def _int(item: Item | None, name: str, default: int) -> int:
    value = item.get(name) if item is not None else None
    return value if isinstance(value, int) else default


def send_shard(engine: Engine, minute: int, shard: int) -> int:
    """Do what the timers of one shard of a minute say: send first, then delete. A timer done twice is a stale message, a timer lost is a
    lost run."""
    timers = [decode_timer(item) for item in engine.store.query(timer_partition(minute, shard))]
    sent = 0
    for first in range(0, len(timers), PAGE):
        page = timers[first : first + PAGE]
        sent += _do(engine, page)
        engine.store.write_many([Delete(key=timer.key, require=ALWAYS) for timer in page])
    return sent


def _do(engine: Engine, timers: Sequence[Timer]) -> int:
    by_worker: dict[str, list[Outgoing]] = defaultdict(list)
    looks: dict[FiringKind, list[str]] = defaultdict(list)
    now_ms = engine.clock.now_ms()
    for timer in timers:
        match timer.action:
            case SendMessage(worker=worker, body=body):
                delay_s = max(0, -(-(timer.due_ms - now_ms) // 1000))
                by_worker[worker].append(Outgoing(body=body, delay_s=min(delay_s, MAX_DELAY_S)))
            case LookAt(kind=kind, id=given):
                looks[kind].append(given)
    for worker, messages in by_worker.items():
        engine.queues.send(worker, messages)
    looked = sum(_look(engine, kind, ids) for kind, ids in looks.items())
    return sum(map(len, by_worker.values())) + looked


def _look(engine: Engine, kind: FiringKind, ids: Iterable[str]) -> int:
    """The items say what is due. Imported only where there is any: most apps have none."""
    given = list(dict.fromkeys(ids))
    if kind is FiringKind.CRON:
        from headrace.engine.clock.crons import advance, jobs_by_id

        return sum(advance(engine, job) for job in jobs_by_id(engine, given).values())
    from headrace.engine.clock.scheduled import send_due

    return send_due(engine, given)
