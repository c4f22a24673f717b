"""What the clock does once a minute: send the timers that are due soon, and look after the gates that tasks wait at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from headrace.core.changes import ALWAYS, ITEM_MISSING, AtMost, Delete, Item, Missing, Update, either
from headrace.core.run.message import FiringKind, TimersMessage, encode_timers
from headrace.core.table import CURSOR, timer_partition
from headrace.core.values import dataclass
from headrace.engine.clock.reply_queues import sweep_queues
from headrace.engine.clock.sweep import sweep_gates
from headrace.engine.engine import Engine
from headrace.engine.timers import HORIZON_S, SHARDS, LookAt, SendMessage, Timer, decode_timer
from headrace.engine.waits.lines import Line
from headrace.ports import MAX_DELAY_S, Outgoing

FIRST_LOOK_BACK_MINUTES = 60
"""Where no cursor is: nothing was published, as a deployment does, so the clock was not begun."""

STRIDE_MINUTES = 10
"""How far the clock goes, while it catches up, before it moves its cursor."""

PAGE = 1_000
"""How many timers are sent before they are deleted: what is done again where the clock dies in between. A shard with more is handed to
a worker."""

SEND_FOR_MS = 20_000
"""How long one delivery sends timers: well within the visibility of any worker's queue."""

MARGIN_MS = 10_000
"""What is left of an invocation when it hands the rest on: more than a page takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """What a tick came to: how many messages were sent, and the lines that it saw, by name of gate."""

    sent: int
    lines: Mapping[str, Line]


def begin(engine: Engine) -> None:
    """From now on timers are looked for. Done before any is put, the first tick has to look no further back. A read, once it is done."""
    if engine.store.get(CURSOR) is None:
        minute = engine.clock.now_ms() // 60_000
        engine.store.write(Update(key=CURSOR, require=ITEM_MISSING, sets={("minute",): minute}))


def tick(engine: Engine, *, until_ms: int | None = None) -> Ticked:
    """Send, with exact delays, every timer due within the next minutes; then tend the gates, until the clock passes `until_ms`.

    The cursor names the first minute not yet done, so a clock that stood still for a day catches up, and one that is stopped
    while it does goes on from where it was. It names also the gate to go on behind, where there are more than one tick looks at.
    """
    now_ms = engine.clock.now_ms()
    until = (now_ms + HORIZON_S * 1000) // 60_000
    cursor = engine.store.get(CURSOR)
    start = _int(cursor, "minute", (now_ms // 60_000) - FIRST_LOOK_BACK_MINUTES)
    sent = 0
    for minute in range(start, until):
        sent += send_minute(engine, minute)
        if minute + 1 == until or (minute + 1) % STRIDE_MINUTES == 0:
            _move_cursor(engine, minute + 1)
    sweep_queues(engine)
    behind = _str(cursor, "gate")
    swept = sweep_gates(engine, behind=behind, until_ms=until_ms)
    if swept.stopped_at != behind:
        engine.store.write(Update(key=CURSOR, sets={("gate",): swept.stopped_at}))
    return Ticked(sent=sent + swept.woken, lines=swept.lines)


def skip_to(engine: Engine, minute: int) -> None:
    """Go on with this minute: for a runtime that moves time at will, and knows that no timer is due before."""
    _move_cursor(engine, minute)


def _move_cursor(engine: Engine, minute: int) -> None:
    forward = either(Missing(("minute",)), AtMost(("minute",), minute))
    engine.store.write(Update(key=CURSOR, require=forward, sets={("minute",): minute}))


def _int(item: Item | None, name: str, default: int) -> int:
    value = item.get(name) if item is not None else None
    return value if isinstance(value, int) else default


def _str(item: Item | None, name: str) -> str | None:
    value = item.get(name) if item is not None else None
    return value if isinstance(value, str) else None


def send_minute(engine: Engine, minute: int) -> int:
    """Do what the timers of a minute say: its shards are read in parallel. Returns how many messages were sent."""
    shards = [timer_partition(minute, shard) for shard in range(SHARDS)]
    found = engine.store.query_many(shards, limit=PAGE + 1)
    return sum(
        _send_shard(engine, minute, shard, [decode_timer(item) for item in items])
        for shard, items in enumerate(found)
    )


def _send_shard(engine: Engine, minute: int, shard: int, timers: list[Timer]) -> int:
    """Do what the timers of one shard say, of which these are the first; or have a worker do it where they are more than a page."""
    if len(timers) <= PAGE:
        return _send_and_delete(engine, timers)
    worker = next((timer.action.worker for timer in timers if timer.action.worker), None)
    if worker is not None:
        message = encode_timers(TimersMessage(minute=minute, shard=shard))
        engine.send(worker, [Outgoing(body=message)])
        return 1
    sent = 0
    while timers:
        sent += _send_and_delete(engine, timers)
        timers = _page(engine, minute, shard, PAGE)
    return sent


def go_on_sending(
    engine: Engine, message: TimersMessage, queue: str, time_left_ms: Callable[[], int]
) -> None:
    """Send a shard's timers page by page for SEND_FOR_MS, or as long as there is time; then hand the rest on by the same message.

    What was sent is deleted, so the next delivery, also after a death in between, begins with what is left.
    """
    until_ms = engine.clock.now_ms() + min(SEND_FOR_MS, time_left_ms() - MARGIN_MS)
    while timers := _page(engine, message.minute, message.shard, PAGE):
        _send_and_delete(engine, timers)
        if engine.clock.now_ms() >= until_ms:
            engine.send(queue, [Outgoing(body=encode_timers(message))])
            return


def _page(engine: Engine, minute: int, shard: int, limit: int) -> list[Timer]:
    return [decode_timer(item) for item in engine.store.query(timer_partition(minute, shard), limit=limit)]


def _send_and_delete(engine: Engine, timers: Sequence[Timer]) -> int:
    """Send first, then delete: a timer done twice is a stale message, a timer lost is a lost run."""
    if not timers:
        return 0
    sent = _do(engine, timers)
    engine.store.write_many([Delete(key=timer.key, require=ALWAYS) for timer in timers])
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
        engine.send(worker, messages)
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
