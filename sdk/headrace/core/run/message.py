"""The message of a task: a single-use ticket. A start message carries the whole trigger, as the record it will be."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TypeAlias

from headrace.core.run.plans.plan import Json
from headrace.core.run.record import RunRecord
from headrace.core.run.reset import ReplayOrder, decode_order, encode_order
from headrace.core.run.stored.record import decode_record, encode_record
from headrace.core.values import dataclass

MAX_REASON_CHARS = 500
"""What of a reason is kept where a message may have made it as long as it likes."""


class BadMessage(Exception):
    """The body is no message of ours, and why."""


class Conditions(StrEnum):
    """What a first message of a task that waits for time or for events is for."""

    ARM = "arm"  # have events find the task, then as TIME: of a root, which no commit does that for
    TIME = "time"  # a sleep is over: it sends the next such message where another sleep goes on
    EVENT = "event"  # an event satisfied a condition


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMessage:
    """`ticket` of `task` in run `run_id`; `number` is the task's place in the plan, by which its row is addressed.

    `queued_at_ms` is when the task became due, `start_by_ms` the end of its schedule timeout. A start message carries
    `record`, to be put if the client died before it did, and `input` where that is to be an item of its own.
    """

    run_id: str
    task: str
    number: int
    ticket: int = 1
    queued_at_ms: int
    start_by_ms: int
    record: RunRecord | None = None
    input: str | None = None
    place: tuple[str, str] | None = (
        None  # the gate and the place in its line of the waiter that this message wakes
    )
    seat: int | None = None  # the item of that gate in which it may have been handed a place
    required_labels: str | None = None  # what a process must be labelled with to take it
    resumes: bool = False  # the ticket of a suspended durable task
    restored: bool = False  # it goes on though nothing that it waits for has come: a person asked
    conditions: Conditions | None = None  # its task may wait for time or for events
    replay: ReplayOrder | None = None  # of a task that a replay runs again
    batched: bool = False  # the task joins a batch

    @property
    def name(self) -> str:
        """What a row's `via` calls this message."""
        return f"{self.number}.{self.ticket}"

    @property
    def account(self) -> str:
        """What the notes that are written on its account call this message."""
        return f"{self.run_id}/{self.task}/{self.ticket}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefillMessage:
    """A window of a rate limit begins at `at_ms`: whom it admits is to be woken, and the next such message to be sent."""

    gate: str
    at_ms: int
    worker: str

    @property
    def account(self) -> str:
        """What the notes that are written on its account call this message."""
        return f"{self.gate}@{self.at_ms}"


class FiringKind(StrEnum):
    """What is due: a tick of a cron, a scheduled run, a debounced run."""

    CRON = "cron"
    SCHEDULE = "schedule"
    DEBOUNCE = "debounce"


@dataclass(frozen=True, slots=True, kw_only=True)
class FireMessage:
    """`id` of `kind` is due at `due_ms`: the worker that receives this checks that it still is, and starts its run."""

    kind: FiringKind
    id: str
    due_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchMessage:
    """Batch `number` of a line is full or due: the worker that receives this closes it, and runs its members."""

    line: str
    number: int

    @property
    def account(self) -> str:
        """What the notes that are written on its account call this message."""
        return f"{self.line}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimersMessage:
    """One shard of a minute has more timers than the clock sends by itself: the worker that receives this sends them."""

    minute: int
    shard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkMessage:
    """A bulk operation is to go on: the worker that receives this works off some of its runs. `turn` counts its messages."""

    id: str
    turn: int


def riders(record: RunRecord, message: TaskMessage) -> list[str]:
    """The tasks that this message answers for besides its own ticket: those that rode on it in a fused chain, and later attempts of its own
    task that went on in the same invocation.

    A duplicate of a chain's message that comes in the gap between a commit and the claim of what follows finds nothing running,
    sends what is ready, and deletes the message under the chain's feet. What it sent carries the chain from there: so a
    message also answers for whatever rides on the message that its own task rode on.
    """
    own = record.tasks.get(message.task)
    carriers = {message.name, f"{message.task}/{message.ticket}"}  # the second: as earlier commits wrote it
    if own is not None and own.via is not None:
        carriers.add(own.via)
    return [
        name
        for name, row in record.tasks.items()
        if row.via in carriers and (name != message.task or row.ticket > message.ticket)
    ]


def encode_message(message: TaskMessage) -> str:
    out: dict[str, Json] = {
        "run": message.run_id,
        "task": message.task,
        "n": message.number,
        "ticket": message.ticket,
        "queued": message.queued_at_ms,
        "by": message.start_by_ms,
    }
    if message.place is not None:
        out["place"] = list(message.place)
    if message.seat is not None:
        out["seat"] = message.seat
    if message.required_labels:
        out["wishes"] = message.required_labels
    if message.resumes:
        out["resumes"] = True
    if message.restored:
        out["restored"] = True
    if message.batched:
        out["batched"] = True
    if message.conditions is not None:
        out["conditions"] = message.conditions.value
    if message.replay is not None:
        out["replay"] = encode_order(message.replay)
    if message.record is not None:
        start = {
            k: v
            for k, v in encode_record(message.record, plain=True).items()
            if k not in ("lpk", "lsk", "tasks")
        }
        out["start"] = start  # type: ignore[assignment]  # a record without rows holds JSON values only
        if message.input is not None:
            out["input"] = message.input
    return json.dumps(out, separators=(",", ":"), ensure_ascii=False)


def encode_refill(message: RefillMessage) -> str:
    out: dict[str, Json] = {"refill": message.gate, "at": message.at_ms, "worker": message.worker}
    return json.dumps(out, separators=(",", ":"), ensure_ascii=False)


def encode_firing(message: FireMessage) -> str:
    out: dict[str, Json] = {"fire": message.kind.value, "id": message.id, "due": message.due_ms}
    return json.dumps(out, separators=(",", ":"), ensure_ascii=False)


def encode_batch(message: BatchMessage) -> str:
    return json.dumps(
        {"batch": message.line, "number": message.number}, separators=(",", ":"), ensure_ascii=False
    )


def encode_timers(message: TimersMessage) -> str:
    out: dict[str, Json] = {"timers": message.minute, "shard": message.shard}
    return json.dumps(out, separators=(",", ":"))


def encode_bulk(message: BulkMessage) -> str:
    return json.dumps({"bulk": message.id, "turn": message.turn}, separators=(",", ":"))


Message: TypeAlias = TaskMessage | RefillMessage | FireMessage | TimersMessage | BatchMessage | BulkMessage


def decode_message(body: str) -> Message:
    """Raises BadMessage with the reason."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"the body is not JSON: {str(error)[:MAX_REASON_CHARS]}") from error
    if not isinstance(raw, dict):
        raise BadMessage(f"the body is a JSON {type(raw).__name__}, not an object")
    try:
        if "batch" in raw:
            return BatchMessage(line=str(raw["batch"]), number=int(raw["number"]))
        if "refill" in raw:
            return RefillMessage(gate=str(raw["refill"]), at_ms=int(raw["at"]), worker=str(raw["worker"]))
        if "timers" in raw:
            return TimersMessage(minute=int(raw["timers"]), shard=int(raw["shard"]))
        if "bulk" in raw:
            return BulkMessage(id=_named(raw["bulk"]), turn=int(raw["turn"]))
        if "fire" in raw:
            return FireMessage(kind=FiringKind(raw["fire"]), id=_named(raw["id"]), due_ms=int(raw["due"]))
        run_id, task = raw["run"], raw["task"]
        if not (isinstance(run_id, str) and isinstance(task, str) and run_id and task):
            raise BadMessage("`run` and `task` must be non-empty strings")
        start, place = raw.get("start"), raw.get("place")
        return TaskMessage(
            run_id=run_id,
            task=task,
            number=int(raw["n"]),
            ticket=int(raw["ticket"]),
            queued_at_ms=int(raw["queued"]),
            start_by_ms=int(raw["by"]),
            record=decode_record(run_id, {**start, "tasks": {}}) if start is not None else None,
            input=raw.get("input"),
            place=(str(place[0]), str(place[1])) if place else None,
            seat=int(raw["seat"]) if "seat" in raw else None,
            required_labels=raw.get("wishes"),
            resumes=raw.get("resumes") is True,
            restored=raw.get("restored") is True,
            conditions=Conditions(raw["conditions"]) if "conditions" in raw else None,
            replay=decode_order(raw["replay"]) if "replay" in raw else None,
            batched=raw.get("batched") is True,
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        raise BadMessage(f"the body is no Headrace message: {why[:MAX_REASON_CHARS]}") from error


def _named(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("`id` must be a non-empty string")
    return value
