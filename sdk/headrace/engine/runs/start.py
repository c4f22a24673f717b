"""Start runs: send first, then write.

The plan of a run is in the table before anything names it. The start messages carry the rest of the trigger, so a run exists once SQS
took them. The record is put after that, by the client
or, if it died, by the process that receives a message. A payload too large for the message is written before it is sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field

from headrace.core.changes import Applied, Write, Written
from headrace.core.run.idempotency import IdempotencyKey
from headrace.core.run.message import encode_message
from headrace.core.run.outgoing import message_for
from headrace.core.run.owed import first_messages
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import ParentLink, Payload, Place, RunRecord
from headrace.core.run.routing import AS_PLANNED, Routing
from headrace.core.run.transitions.claim import create
from headrace.core.sizes import check_metadata
from headrace.core.table import idempotency_partition, input_key
from headrace.core.values import dataclass, replace
from headrace.engine.attempts.payloads import place_input, save
from headrace.engine.catalog.plans import record_in, store_plans
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import delay_until
from headrace.engine.runs.idempotency import admit
from headrace.engine.timers import send_at
from headrace.engine.waits.keys import group_for
from headrace.errors import (
    BulkTriggerIdempotencyCollisionError,
    IdempotencyCollisionError,
    PayloadTooLargeError,
    StoreUnavailable,
)
from headrace.ports import Outgoing

CHUNK = 50
"""How many runs are sent before their records are put: a worker that is quicker than the puts makes the records itself, at the
price of two writes more. Five batches of messages, two of records."""


ADDED_BYTES = 4_096
"""Room for the metadata that triggers and tracing add to a caller's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a client asks for. `input` is JSON text or None; `run_id` only where it is derived (children)."""

    plan: RunPlan
    input: str | None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    priority: int = 1
    parent: ParentLink | None = None
    run_id: str | None = None
    routing: Routing = AS_PLANNED
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    record: RunRecord
    input: str | None
    carried: bool  # the input rides in the message and becomes an item of its own after the send
    idempotency: IdempotencyKey | None


def start(engine: Engine, new: NewRun) -> RunRecord:
    """Start one run; it is durably stored on return. PayloadTooLargeError before anything is sent.

    A run of that id which exists already is left as it is and returned. IdempotencyCollisionError where its key is held.
    """
    started, collisions = _start_chunk(engine, [_prepare(engine, new, now_ms=engine.clock.now_ms())])
    if collisions:
        raise collisions[0]
    return started[0]


def start_many(
    engine: Engine, news: Sequence[NewRun], *, progress: Callable[[int], None] | None = None
) -> list[RunRecord]:
    """Start many: messages in batches, records in parallel. All inputs are checked before the first is sent.

    Where idempotency keys are held, the other runs are started and BulkTriggerIdempotencyCollisionError names both.
    """
    now_ms = engine.clock.now_ms()
    prepared = [_prepare(engine, new, now_ms=now_ms, order=order) for order, new in enumerate(news)]
    records: list[RunRecord] = []
    collisions: list[IdempotencyCollisionError] = []
    for first in range(0, len(prepared), CHUNK):
        started, collided = _start_chunk(engine, prepared[first : first + CHUNK])
        records.extend(started)
        collisions.extend(collided)
        if progress is not None:
            progress(len(records) + len(collisions))
    if collisions:
        raise BulkTriggerIdempotencyCollisionError([record.run_id for record in records], collisions)
    return records


def start_elsewhere(engine: Engine, news: Sequence[tuple[str, NewRun]]) -> list[RunRecord]:
    """Start runs in other zones, each given with its zone, by their messages alone: the process that receives one makes the record, and has its plan from
    its own zone's catalog. PayloadTooLargeError, before anything is sent, for an input that a message cannot carry."""
    now_ms = engine.clock.now_ms()
    prepared = [_prepare(engine, new, now_ms=now_ms, order=order) for order, (_, new) in enumerate(news)]
    for each in prepared:
        if not each.carried and each.record.input.place not in (Place.NONE, Place.RECORD):
            what = f"the input of {each.record.plan.workflow}, which goes to another zone in a message,"
            raise PayloadTooLargeError(
                what, len((each.input or "").encode()), engine.limits.message_input_bytes
            )
    by_queue: dict[tuple[str, str], list[Outgoing]] = defaultdict(list)
    for (zone, _), each in zip(news, prepared, strict=True):
        for worker, outgoing in _messages(engine, each):
            by_queue[zone, worker].append(outgoing)
    for (zone, worker), messages in by_queue.items():
        engine.queues_of(zone).send(worker, messages)
    return [each.record for each in prepared]


def _prepare(engine: Engine, new: NewRun, *, now_ms: int, order: int = 0) -> _Prepared:
    check_metadata(new.plan.workflow, new.metadata, engine.limits.metadata_bytes + ADDED_BYTES)
    bare = RunRecord(
        run_id=new.run_id or engine.ids.run_id(),
        plan=new.plan,
        input=Payload(),
        metadata=new.metadata,
        priority=new.priority,
        parent=new.parent,
        created_at_ms=now_ms,
        expires_at_s=max(now_ms, new.routing.starts_at_ms or 0) // 1000 + engine.limits.retention_s,
        routing=_routing(engine, new, order),
    )
    # the item of an idempotency key holds every root's message, quoted
    copies = 2 * len(new.plan.tasks) if new.idempotency is not None else 1
    placed = place_input(engine, bare, new.input, copies=copies)
    size_bytes = copies * len(new.input.encode()) if new.input is not None else 0
    fits = 0 < size_bytes <= engine.limits.message_input_bytes
    carried = placed.place is Place.ITEM and fits
    return _Prepared(replace(bare, input=placed), new.input, carried, new.idempotency)


def _routing(engine: Engine, new: NewRun, order: int) -> Routing:
    """What the record says beside the plan: the keys of its gates and rate limits, its order, the idempotency key to release."""
    routing = new.routing
    gated = new.plan.gates or any(task.gates or task.rates for task in new.plan.tasks)
    if gated:
        from headrace.engine.waits.keys import evaluated

        keys, rates = evaluated(engine, new.plan, new.input, new.metadata)
        routing = replace(routing, keys=keys, rates=rates)
    if any(task.batch is not None for task in new.plan.tasks):
        from headrace.engine.waits.keys import batch_keys

        batches = batch_keys(engine, new.plan, new.input, new.metadata)
        routing = replace(routing, batch_keys=batches, input_bytes=len((new.input or "").encode()))
    if order and (gated or engine.gate_limits()):
        routing = replace(routing, order=order)
    if new.idempotency is not None and new.idempotency.until_over:
        routing = replace(routing, held_key=idempotency_partition(new.plan.workflow, new.idempotency.key))
    return routing


def _start_chunk(
    engine: Engine, wanted: Sequence[_Prepared]
) -> tuple[list[RunRecord], list[IdempotencyCollisionError]]:
    store_plans(engine, (each.record.plan for each in wanted))
    chunk: list[_Prepared] = []
    collisions: list[IdempotencyCollisionError] = []
    for each in wanted:
        collision = _admit(engine, each)
        if collision is None:
            chunk.append(each)
        else:
            collisions.append(collision)
    return _send_and_put(engine, chunk) if chunk else [], collisions


def _admit(engine: Engine, each: _Prepared) -> IdempotencyCollisionError | None:
    """A key is taken before the run is sent; its item carries the start messages, in case we die in between."""
    if each.idempotency is None:
        return None
    if not each.carried:
        _save_input(engine, each)
    starts = [(worker, outgoing.body) for worker, outgoing in _messages(engine, each)]
    due_ms = each.record.routing.starts_at_ms
    return admit(engine, each.record.plan.workflow, each.idempotency, each.record.run_id, starts, due_ms)


def _send_and_put(engine: Engine, chunk: Sequence[_Prepared]) -> list[RunRecord]:
    for each in chunk:
        if not each.carried:
            _save_input(engine, each)
    puts = [
        create(each.record) for each in chunk
    ]  # before the messages: a worker is not to be quicker than the puts
    by_worker: dict[str, list[Outgoing]] = defaultdict(list)
    for each in chunk:
        due_ms = each.record.routing.starts_at_ms
        for worker, outgoing in _messages(engine, each):
            if due_ms is None:
                by_worker[worker].append(outgoing)
            else:
                send_at(engine, worker, due_ms, outgoing.body, group=outgoing.group)
    for worker, messages in by_worker.items():
        engine.queues.send(worker, messages)
    for each in chunk:
        if each.carried:
            _save_input(engine, each)
    written = _put_all(engine, puts)
    return [_stored(engine, each.record, result) for each, result in zip(chunk, written, strict=True)]


def _save_input(engine: Engine, each: _Prepared) -> None:
    key = input_key(each.record.run_id)
    save(engine, each.record.input, key, each.input, expires_at_s=each.record.expires_at_s)


def _messages(engine: Engine, each: _Prepared) -> Iterator[tuple[str, Outgoing]]:
    for send in first_messages(each.record):
        message = replace(
            message_for(each.record, send), record=each.record, input=each.input if each.carried else None
        )
        group = group_for(each.record, send.task)
        delay_s = delay_until(engine, send.due_at_ms)  # what is due later goes on waiting when it arrives
        yield send.worker, Outgoing(body=encode_message(message), delay_s=delay_s, group=group)


def _put_all(engine: Engine, puts: Sequence[Write]) -> list[Written]:
    try:
        if len(puts) == 1:
            return [engine.store.write(puts[0])]
        return engine.store.write_many(puts)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"the start messages of {len(puts)} run(s) were accepted, so the runs will take place, but their records "
            f"could not be stored yet: {error}"
        ) from error


def _stored(engine: Engine, record: RunRecord, written: Written) -> RunRecord:
    if isinstance(written, Applied) or written.item is None:
        return record
    return record_in(engine, written.item)
