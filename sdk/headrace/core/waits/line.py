"""The line before a gate, a rate limit, a paused workflow, or for a worker with the right labels.

A waiter is an item of its own, whose sort key is its place. The mark on the gate's item says that a task may wait: a nonce, set
after the waiter was put, unless there is one, and removed in two steps by a process that finds no waiter (see `closing`), if it is still
the one from before the look. (A count would do only if it never began again: two marks must never look the same to a process that slept
in between.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.changes import (
    ITEM_EXISTS,
    ITEM_MISSING,
    AtMost,
    Delete,
    Equal,
    Item,
    Key,
    Missing,
    Path,
    Put,
    Update,
    Value,
    either,
    every,
)
from headrace.core.table import WAIT, gate_key, gate_of_line, gate_shard, gates_listed, waiter_key
from headrace.core.values import dataclass

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord, TaskRow

RETRY_RANK = 4
"""A task that is tried again waits ahead of HIGH (Hatchet: queue priority 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A parked task. `number` is the task's place in the plan; `sk` is its place in the order of admission; `cost` the places or units that it needs."""

    gate: str
    sk: str
    run_id: str
    task: str
    number: int
    ticket: int
    worker: str
    queued_at_ms: int
    start_by_ms: int
    cost: int = 1
    required_labels: str = ""
    group: str = ""
    woken_at_ms: int = 0  # the note that its message is owed or on its way; 0: there is none
    woken_by: str = ""  # the message that answers for the note
    note_queued_ms: int = 0  # how long that one had waited in its queue
    repeats: int = 0  # how often its message was sent again
    expires_at_s: int = 0

    @property
    def member(self) -> str:
        """What it is called among the holders of a gate."""
        return f"{self.run_id}/{self.task}"

    @property
    def name(self) -> tuple[str, str, int]:
        """What a wake-up of it is known by."""
        return self.gate, self.sk, self.ticket

    @property
    def key(self) -> Key:
        return waiter_key(self.gate, self.sk)


def place_of(record: RunRecord, task: str, row: TaskRow) -> str:
    """The sort key of a task's waiter: by priority, then by age. The same at every gate, until its next commit."""
    rank = RETRY_RANK if row.app_retry_count else record.priority
    since_ms = row.queued_at_ms or record.starts_at_ms
    return f"{WAIT}{RETRY_RANK - rank}#{since_ms:013d}.{record.routing.order:06d}#{record.run_id}#{task}"


def put_waiter(waiter: Waiter, *, expires_at_s: int) -> Put:
    """Line up, unless this ticket or a later one has done so: a note on the waiter stays."""
    item: Item = {
        "t": waiter.ticket,
        "n": waiter.number,
        "worker": waiter.worker,
        "q": waiter.queued_at_ms,
        "by": waiter.start_by_ms,
        "expires_at": expires_at_s,
    }
    if waiter.cost > 1:
        item["k"] = waiter.cost
    if waiter.required_labels:
        item["d"] = waiter.required_labels
    if waiter.group:
        item["g"] = waiter.group
    return Put(key=waiter.key, item=item, require=either(ITEM_MISSING, AtMost(("t",), waiter.ticket - 1)))


def decode_waiter(item: Item) -> Waiter:
    sk = str(item["sk"])
    _, _, _, run_id, task = sk.split("#", 4)
    return Waiter(
        gate=gate_of_line(str(item["pk"])),
        sk=sk,
        run_id=run_id,
        task=task,
        number=_int(item.get("n")),
        ticket=_int(item.get("t")),
        worker=str(item["worker"]),
        queued_at_ms=_int(item.get("q")),
        start_by_ms=_int(item.get("by")),
        cost=_int(item.get("k"), 1),
        required_labels=_str(item.get("d")),
        group=_str(item.get("g")),
        woken_at_ms=_int(item.get("u")),
        woken_by=_str(item.get("ub")),
        note_queued_ms=_int(item.get("uq")),
        repeats=_int(item.get("ur")),
        expires_at_s=_int(item.get("expires_at")),
    )


def _int(value: Value, default: int = 0) -> int:
    return value if isinstance(value, int) else default


def _str(value: Value) -> str:
    return value if isinstance(value, str) else ""


def woken(waiter: Waiter, *, by: str, queued_ms: int, now_ms: int) -> Update:
    """Note that its message is about to be sent, so that no other message sends one: unless the note has changed since it was seen."""
    unchanged = Equal(("u",), waiter.woken_at_ms) if waiter.woken_at_ms else Missing(("u",))
    sets: dict[Path, Value] = {("u",): now_ms, ("ub",): by, ("uq",): queued_ms}
    if waiter.woken_at_ms:
        sets[("ur",)] = waiter.repeats + 1
    return Update(key=waiter.key, require=every(Equal(("t",), waiter.ticket), unchanged), sets=sets)


def strike(waiter: Waiter) -> Delete:
    """Take an heir out of the line, unless another process has woken it, or a later ticket has taken its place."""
    return Delete(key=waiter.key, require=every(Equal(("t",), waiter.ticket), Missing(("u",))))


def unwait(gate: str, sk: str, ticket: int) -> Delete:
    """Leave the line, unless a later ticket has taken the place."""
    return Delete(key=waiter_key(gate, sk), require=either(ITEM_MISSING, AtMost(("t",), ticket)))


# ---------------------------------------------------------------- the mark


def mark(gate: str, nonce: str, *, limit: int | None = None, expires_at_s: int) -> Update:
    """A task waits. The gate enters the index of those that the clock looks at. `limit`: of its places, where it has any."""
    sets: dict[Path, Value] = {
        ("w",): nonce,
        ("lpk",): gates_listed(gate_shard(gate)),
        ("lsk",): gate,
        ("expires_at",): expires_at_s,
    }
    if limit is not None:
        sets[("n",)] = limit
    return Update(key=gate_key(gate), sets=sets)


_CLOSING = "!"


def is_closing(mark: str) -> bool:
    """Whether a mark is about to be taken away."""
    return mark.endswith(_CLOSING)


def closing(gate: str, seen: str) -> Update:
    """No task was seen to wait: a task that parks from here on writes a new mark. The mark is cleared after one more look at the line.

    So a task that parks and finds a mark that is not closing need not write one: it is in line before that look."""
    return Update(key=gate_key(gate), require=Equal(("w",), seen), sets={("w",): seen + _CLOSING})


def clear(gate: str, seen: str) -> Update:
    """No task waits, if none has parked since `seen`. The index keeps the gate: the clock removes it."""
    return Update(key=gate_key(gate), require=Equal(("w",), seen), removes=(("w",),))


def unlisted(gate: str) -> Update:
    """No task waits: the clock need not look any more."""
    return Update(
        key=gate_key(gate),
        require=every(ITEM_EXISTS, Missing(("w",))),
        removes=(("lpk",), ("lsk",)),
    )
