"""Records with their payloads, read in batches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.clients.runs.details import Loaded
from headrace.core.run.attempts.history import decode_error_item
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ErrorInfo, Place, RunRecord, TaskStatus
from headrace.core.run.stored.texts import payload_text
from headrace.core.table import attempt_key
from headrace.engine.runs.read import input_text, read_many
from headrace.errors import RunNotFound
from headrace.triggers.results.outcomes import outputs_of

if TYPE_CHECKING:
    from headrace.core.durable.log import Entry
    from headrace.engine.engine import Engine


def load(engine: Engine, run_id: str, namespace: str = "") -> Loaded:
    """A run with its payloads (strongly consistent). RunNotFound if there is no such run."""
    return load_many(engine, [record_of_run(engine, run_id, namespace)])[0]


def load_whole(engine: Engine, run_id: str, namespace: str = "") -> Loaded:
    """As `load`, with the places of its tasks that wait at gates (a query of the line of each), and the logs of its durable tasks."""
    loaded = load(engine, run_id, namespace)
    rows = loaded.record.tasks
    if any(row.status is TaskStatus.PARKED for row in rows.values()):
        from headrace.engine.waits.views import places_in_line

        loaded = replace(loaded, places=places_in_line(engine, loaded.record))
    loaded = replace(loaded, errors=errors_of(engine, loaded.record))
    logs = {task: log_of(engine, loaded.record, task) for task, row in rows.items() if row.log is not None}
    return replace(loaded, logs=logs)


def errors_of(engine: Engine, record: RunRecord) -> Mapping[tuple[str, int], ErrorInfo]:
    """The errors of earlier attempts that are not in the record, by task and ticket: one batch of reads where there are any."""
    from headrace.clients.runs.history import beside

    wanted = beside(record)
    if not wanted:
        return {}
    items = engine.store.get_many([attempt_key(record.run_id, task, ticket) for task, ticket in wanted])
    return {
        which: decode_error_item(str(item["body"]))
        for which, item in zip(wanted, items, strict=True)
        if item is not None
    }


def log_of(engine: Engine, record: RunRecord, task: str) -> Sequence[Entry]:
    """The operations of a durable task, by node: one batch of reads where parts of the log were sealed."""
    from headrace.engine.durable.log import load_log, tail_of

    tail = tail_of(record, task)
    try:
        return load_log(engine, record.run_id, task, tail).entries
    except ValueError:  # of a run about to be deleted a part may be gone before its record
        return tail.entries


def record_of_run(engine: Engine, run_id: str, namespace: str = "") -> RunRecord:
    """The run's record. RunNotFound if there is no such run in the namespace."""
    record = read_many(engine, [run_id])[0]
    if record is None or not record.plan.workflow.startswith(namespace):
        raise RunNotFound(run_id)
    return record


def load_many(engine: Engine, records: Sequence[RunRecord]) -> list[Loaded]:
    """The records with their inputs and outputs."""
    inputs = _inputs(engine, records)
    outputs = outputs_of(engine, records)
    return [
        Loaded(record=record, input=given, outputs=results)
        for record, given, results in zip(records, inputs, outputs, strict=True)
    ]


def _inputs(engine: Engine, records: Sequence[RunRecord]) -> list[Json]:
    wanted = [record for record in records if record.input.place is Place.ITEM]
    items = engine.store.get_many([record.input_key for record in wanted]) if wanted else []
    texts = {
        record.run_id: payload_text(item)
        for record, item in zip(wanted, items, strict=True)
        if item is not None
    }
    out: list[Json] = []
    for record in records:
        text = texts.get(record.run_id) if record.input.place is Place.ITEM else input_text(engine, record)
        out.append(json.loads(text) if text is not None else None)
    return out
