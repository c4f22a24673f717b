"""Replay: a run that is over goes on, all of it or some of its tasks, under the same id. Pure.

Each task that is to run again waits for the ticket after its last one, so that no message of an earlier generation can claim. The
order of a replay is in its messages: a process that receives one and finds the record as the client found it makes the client's write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace

from headrace.core.changes import ITEM_EXISTS, Equal, Missing, Path, Update, Value, every
from headrace.core.run.attempts.error_text import cut
from headrace.core.run.attempts.history import Ending, PastAttempt, past_attempt, with_attempt
from headrace.core.run.derived.graph import ancestors, states
from headrace.core.run.derived.progress import finished
from headrace.core.run.generation import Generation, generation_of
from headrace.core.run.plans.plan import Json, TaskKind
from headrace.core.run.record import Payload, Place, RunRecord, TaskRow, TaskStatus
from headrace.core.run.stored.record import encode_rows, stored_routing
from headrace.core.run.stored.texts import encode_payload
from headrace.core.values import dataclass

KEPT = frozenset({TaskStatus.COMPLETED, TaskStatus.SKIPPED})
"""What a replay of the failed tasks leaves as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOrder:
    """What a replay is to make of a record.

    `after`: the token of the generation that it was read at (None: it was never replayed). `tasks`: which run again (None: all).
    `input`: another input (None: as before). `logs`: the log that a durable task goes on with, where it is not its own. `workers`: of tasks whose
    workflow has moved since.
    """

    generation: Generation
    after: str | None
    tasks: tuple[str, ...] | None = None
    input: Payload | None = None
    logs: Mapping[str, str] = field(default_factory=dict)
    workers: Mapping[str, str] = field(default_factory=dict)


def fits(record: RunRecord, order: ReplayOrder) -> bool:
    """Whether the record is still what the replay was asked for: its end of that generation."""
    now = record.generation.token if record.generation is not None else None
    return now == order.after and finished(record)


def failed_tasks(record: RunRecord) -> tuple[str, ...]:
    """The tasks that a replay of what failed runs again: all that neither returned nor was skipped, and whatever comes after those."""
    found = states(record)
    bad = {name for name, state in found.items() if state.status not in KEPT}
    return with_followers(record, bad) if bad else ()


def with_followers(record: RunRecord, tasks: Iterable[str]) -> tuple[str, ...]:
    """These tasks and all that depend on them, in plan order; the on-failure task with any."""
    chosen = set(tasks)
    return tuple(
        task.name
        for task in record.plan.tasks
        if task.name in chosen
        or task.kind is TaskKind.ON_FAILURE
        or ancestors(record.plan, task.name) & chosen
    )


def replayed(record: RunRecord, order: ReplayOrder, *, starter: str | None = None) -> RunRecord:
    """The record of the next generation. `starter`: the task whose message makes this write in the client's stead."""
    again = set(record.plan.by_name if order.tasks is None else order.tasks)
    rows = {name: _again(record, name, order.logs.get(name)) for name in record.plan.by_name if name in again}
    kept = {name: row for name, row in record.tasks.items() if name not in again}
    before = {name: row for name, row in record.again.items() if name not in again}
    workers = {**record.routing.workers, **order.workers}
    given = order.input
    return replace(
        record,
        generation=order.generation,
        starter=starter,
        cancelled_at_ms=None,
        cancel_reason=None,
        tasks=kept,
        again={**before, **rows},
        input=record.input if given is None else given,
        input_of=_input_of(record, order),
        routing=replace(record.routing, workers=workers, starts_at_ms=None),
    )


def _input_of(record: RunRecord, order: ReplayOrder) -> str | None:
    if order.input is None:
        return record.input_of
    return order.generation.id if order.input.place in (Place.ITEM, Place.BLOB) else None


def _again(record: RunRecord, task: str, log: str | None) -> TaskRow:
    """A task that waits to run again: what outlives a generation, and the next ticket."""
    row = record.tasks.get(task) or record.again.get(task) or TaskRow(status=TaskStatus.WAITING)
    past = row.past
    if task in record.tasks:
        past = with_attempt(past, _ended(record, row))
    return TaskRow(
        status=TaskStatus.WAITING,
        ticket=row.ticket + 1,
        retry_count=row.retry_count + 1,
        spawned=row.spawned,
        log=row.log if log is None else log,
        invocations=row.invocations,
        past=past,
        notes=row.notes,
    )


ENDINGS = {
    TaskStatus.COMPLETED: Ending.COMPLETED,
    TaskStatus.SKIPPED: Ending.COMPLETED,
    TaskStatus.FAILED: Ending.FAILED,
}

ERROR_BYTES = 2_000
"""What of an error is kept once its task was replayed."""


def _ended(record: RunRecord, row: TaskRow) -> PastAttempt:
    """The last attempt of a generation: one that a cancellation met is CANCELLED."""
    ended_ms = row.finished_at_ms or record.cancelled_at_ms or record.created_at_ms
    error = cut(row.error, ERROR_BYTES) if row.error is not None else None
    return past_attempt(row, ENDINGS.get(row.status, Ending.CANCELLED), ended_at_ms=ended_ms, error=error)


def replay(record: RunRecord, order: ReplayOrder, *, starter: str | None = None) -> Update:
    """The one write: the record of the next generation, if it is still what `fits` saw. The run leaves the index of failures."""
    after = replayed(record, order, starter=starter)
    generation = Missing(("rp",)) if order.after is None else Equal(("rp",), order.after)
    sets: dict[Path, Value] = {("tasks",): encode_rows(after), ("rp",): order.generation.token}
    removes: list[Path] = [("x",), ("xr",), ("fpk",), ("fsk",)]
    for name, value in (("st", after.starter), ("ig", after.input_of)):
        _set(sets, removes, name, value)
    if order.input is not None:
        stored = encode_payload(order.input, "ip", "in")
        for name in ("ip", "in"):
            _set(sets, removes, name, stored.get(name))
    if after.routing != record.routing:
        sets["ex",] = stored_routing(after.routing)
    return Update(key=record.key, require=every(ITEM_EXISTS, generation), sets=sets, removes=tuple(removes))


def _set(sets: dict[Path, Value], removes: list[Path], name: str, value: Value) -> None:
    if value is None:
        removes.append((name,))
    else:
        sets[name,] = value


# ---------------------------------------------------------------- in a message


def encode_order(order: ReplayOrder) -> dict[str, Json]:
    out: dict[str, Json] = {"to": order.generation.token}
    if order.after is not None:
        out["after"] = order.after
    if order.tasks is not None:
        out["tasks"] = list(order.tasks)
    if order.input is not None:
        out["input"] = [order.input.place.value, order.input.text]
    if order.logs:
        out["logs"] = dict(order.logs)
    if order.workers:
        out["workers"] = dict(order.workers)
    return out


def decode_order(raw: Mapping[str, Json]) -> ReplayOrder:
    """The order that `encode_order` wrote. LookupError, TypeError or ValueError where it is none."""
    given = raw.get("input")
    place, text = given if isinstance(given, list) else (None, None)
    tasks = raw.get("tasks")
    return ReplayOrder(
        generation=generation_of(str(raw["to"])),
        after=str(raw["after"]) if "after" in raw else None,
        tasks=tuple(str(each) for each in tasks) if isinstance(tasks, list) else None,
        input=Payload(place=Place(str(place)), text=text if isinstance(text, str) else None)
        if place is not None
        else None,
        logs=_texts(raw.get("logs")),
        workers=_texts(raw.get("workers")),
    )


def _texts(raw: Json) -> dict[str, str]:
    return {str(name): str(text) for name, text in raw.items()} if isinstance(raw, dict) else {}
