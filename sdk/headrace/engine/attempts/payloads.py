"""Where payloads go: the record, an item of its own, or an object; and back."""

from __future__ import annotations

from headrace.core.changes import Key, Put
from headrace.core.run.derived.progress import finished
from headrace.core.run.record import Payload, Place, RunRecord, TaskRow, TaskStatus
from headrace.core.run.routing import AS_PLANNED, encode_routing
from headrace.core.run.stored.packed import pack
from headrace.core.run.stored.record import BARE_BYTES
from headrace.core.run.stored.rows import marked
from headrace.core.run.stored.texts import ZIPPED_OVER, payload_item, payload_text, zipped
from headrace.core.table import output_key
from headrace.engine.engine import Engine
from headrace.errors import PayloadTooLargeError

ROW_BYTES = 25
"""About what a settled row takes in the record."""

MOST_INSIDE_BYTES = 4_096
"""Up to this weight of the record an output may sit in it at the price of later writes."""

MOST_PLAIN_BYTES = 16_384
"""Up to this size a payload may sit in the record because it is small when compressed: each reader of the record decompresses it, and a
start message carries an input as it is."""


def check_size(engine: Engine, what: str, text: str) -> int:
    """The size of a payload; PayloadTooLargeError above the limit."""
    size = len(text.encode())
    if size > engine.limits.payload_bytes:
        raise PayloadTooLargeError(what, size, engine.limits.payload_bytes)
    return size


def place_input(engine: Engine, record_without: RunRecord, text: str | None, *, copies: int = 1) -> Payload:
    """Where the input of a new run belongs. Nothing is written. `copies`: how often one item holds it as it is, with a key of its run."""
    if text is None:
        return Payload()
    size = check_size(engine, f"the input of {record_without.plan.workflow}", text)
    weight = _bare_weight(record_without) + ROW_BYTES * min(len(record_without.plan.tasks), 4)
    rides = size <= MOST_PLAIN_BYTES and size * copies <= engine.limits.message_input_bytes
    if rides and weight + _stored_bytes(text, size) <= engine.limits.record_target_bytes:
        return Payload.inline(text)
    return Payload(place=Place.ITEM if size <= engine.limits.item_bytes else Place.BLOB)


def _bare_weight(record: RunRecord) -> int:
    """About what a new record without its input will weigh."""
    parent = record.parent
    known = 2 * len(record.run_id) + len(record.plan.workflow)
    known += len(encode_routing(record.routing)) if record.routing != AS_PLANNED else 0
    known += sum(len(name) + len(str(value)) + 4 for name, value in record.metadata.items())
    known += (
        2 * len(parent.run_id) + len(parent.task) + len(parent.join or "") + 20 if parent is not None else 0
    )
    return BARE_BYTES + known


def _stored_bytes(text: str, size: int) -> int:
    """What a text takes in an item: long ones are compressed."""
    return size if size <= ZIPPED_OVER else len(zipped(text))


def place_output(engine: Engine, record: RunRecord, task: str, text: str | None) -> Payload:
    """Where an output belongs, in the record as the commit will leave it. Nothing is written."""
    if text is None:
        return Payload()
    size = check_size(engine, f"the output of {task}", text)
    if len(record.plan.tasks) == 1 and size <= engine.limits.inline_final_bytes:
        return Payload.inline(text)
    inside = _inside(engine, record, task, text, size)
    stored = _stored_bytes(text, size) if inside.packed is None else len(inside.packed)
    if size <= MOST_PLAIN_BYTES and _is_cheaper_inside(engine, record, record.weight, stored):
        return inside
    after = record.with_row(task, _completed(record.tasks[task]))
    if record.weight + size <= engine.limits.inline_final_bytes and finished(after):
        return inside
    return Payload(place=Place.ITEM if size <= engine.limits.item_bytes else Place.BLOB)


def _inside(engine: Engine, record: RunRecord, task: str, text: str, size: int) -> Payload:
    """An output as it sits in the record: compressed with what is there, where that is smaller."""
    if not engine.limits.pack_outputs:
        return Payload.inline(text)
    otherwise = _stored_bytes(text, size)
    packed = pack(record.plan, task, record.input, record.tasks, text, stored_bytes=otherwise)
    return Payload(place=Place.RECORD, text=text, packed=packed)


def _is_cheaper_inside(engine: Engine, record: RunRecord, weight: int, size: int) -> bool:
    """Whether an output costs less in the record than as an item of its own, which is a write.

    In the record it costs nothing as long as that stays within one write unit, with the rows that are to come; beyond, every later write
    of the run is billed for it: a claim and a commit of each task that is left.
    """
    left = max(0, len(record.plan.tasks) - len(record.tasks))
    if weight + size + left * ROW_BYTES <= engine.limits.record_target_bytes:
        return True
    return size * 2 * left < engine.limits.record_target_bytes and weight + size <= MOST_INSIDE_BYTES


def _completed(row: TaskRow) -> TaskRow:
    return TaskRow(status=TaskStatus.COMPLETED, ticket=row.ticket)


def save(engine: Engine, payload: Payload, key: Key, text: str | None, *, expires_at_s: int) -> None:
    """Write what does not sit in the record. Writing it twice is harmless: the key names the attempt."""
    if text is None:
        return
    if payload.place is Place.ITEM:
        engine.store.write(Put(key=key, item=payload_item(text, expires_at_s=expires_at_s)))
    elif payload.place is Place.BLOB:
        engine.store.put_blob(f"{key.pk}/{key.sk}", text.encode())


def load(engine: Engine, payload: Payload, key: Key) -> str | None:
    """The text of a payload, from wherever it is. None: there is none, or it has expired."""
    match payload.place:
        case Place.NONE:
            return None
        case Place.RECORD:
            return payload.text
        case Place.ITEM:
            item = engine.store.get(key)
            return payload_text(item) if item is not None else None
        case Place.BLOB:
            body = engine.store.get_blob(f"{key.pk}/{key.sk}")
            return body.decode() if body is not None else None


def load_input(engine: Engine, record: RunRecord) -> str | None:
    return load(engine, record.input, record.input_key)


def load_output(engine: Engine, record: RunRecord, task: str) -> str | None:
    row = record.tasks[task]
    return load(engine, row.output, output_key(record.run_id, task, row.ticket, marked(row.owner)))
