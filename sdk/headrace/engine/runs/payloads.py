"""Where payloads go: the record, an item of its own, or an object; and back."""

from __future__ import annotations

from headrace.core.changes import Item, Key, Put
from headrace.core.run.graph import finished
from headrace.core.run.record import Payload, Place, RunRecord, TaskRow, TaskStatus, encode_record
from headrace.core.sizes import item_bytes
from headrace.core.table import output_key
from headrace.engine.engine import Engine
from headrace.errors import PayloadTooLargeError

_KEY_BYTES = 50  # pk, sk and their names


def check_size(engine: Engine, what: str, text: str) -> int:
    """The size of a payload; PayloadTooLargeError above the limit."""
    size = len(text.encode())
    if size > engine.limits.payload_bytes:
        raise PayloadTooLargeError(what, size, engine.limits.payload_bytes)
    return size


def place_input(engine: Engine, record_without: RunRecord, text: str | None) -> Payload:
    """Where the input of a new run belongs. Nothing is written."""
    if text is None:
        return Payload()
    size = check_size(engine, f"the input of {record_without.plan.workflow}", text)
    weight = item_bytes(encode_record(record_without)) + _KEY_BYTES + _row_growth(record_without)
    if weight + size <= engine.limits.record_target_bytes:
        return Payload.inline(text)
    return Payload(place=Place.ITEM if size <= engine.limits.item_bytes else Place.BLOB)


def _row_growth(record: RunRecord) -> int:
    """Roughly what the rows of the run's tasks will add to its record."""
    return sum(60 + len(task.name) for task in record.plan.tasks[:4])


def place_output(engine: Engine, record: RunRecord, task: str, text: str | None) -> Payload:
    """Where an output belongs, in the record as the commit will leave it. Nothing is written."""
    if text is None:
        return Payload()
    size = check_size(engine, f"the output of {task}", text)
    if len(record.plan.tasks) == 1 and size <= engine.limits.inline_final_bytes:
        return Payload.inline(text)
    weight = item_bytes(encode_record(record)) + _KEY_BYTES
    if weight + size <= engine.limits.record_target_bytes:
        return Payload.inline(text)
    after = record.with_row(task, _completed(record.tasks[task]))
    if weight + size <= engine.limits.inline_final_bytes and finished(after):
        return Payload.inline(text)
    return Payload(place=Place.ITEM if size <= engine.limits.item_bytes else Place.BLOB)


def _completed(row: TaskRow) -> TaskRow:
    return TaskRow(status=TaskStatus.COMPLETED, ticket=row.ticket)


def save(engine: Engine, payload: Payload, key: Key, text: str | None, *, expires_at_s: int) -> None:
    """Write what does not sit in the record. Writing it twice is harmless: the key names the attempt."""
    if text is None:
        return
    if payload.place is Place.ITEM:
        item: Item = {"body": text, "expires_at": expires_at_s}
        engine.store.write(Put(key=key, item=item))
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
            return str(item["body"]) if item is not None else None
        case Place.BLOB:
            body = engine.store.get_blob(f"{key.pk}/{key.sk}")
            return body.decode() if body is not None else None


def load_input(engine: Engine, record: RunRecord) -> str | None:
    return load(engine, record.input, record.input_key)


def load_output(engine: Engine, record: RunRecord, task: str) -> str | None:
    row = record.tasks[task]
    return load(engine, row.output, output_key(record.run_id, task, row.ticket))
