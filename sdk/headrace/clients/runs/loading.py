"""Records with their payloads, read in batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.clients.runs.details import Loaded
from headrace.core.run.plan import Json
from headrace.core.run.record import Place, RunRecord, TaskStatus
from headrace.core.table import input_key
from headrace.engine.runs.read import input_text, read_many
from headrace.errors import RunNotFound
from headrace.triggers.outcomes import outputs_of

if TYPE_CHECKING:
    from headrace.engine.engine import Engine


def load(engine: Engine, run_id: str, namespace: str = "") -> Loaded:
    """A run with its payloads (strongly consistent). RunNotFound if there is no such run."""
    return load_many(engine, [record_of_run(engine, run_id, namespace)])[0]


def load_with_places(engine: Engine, run_id: str, namespace: str = "") -> Loaded:
    """As `load`, with the places of its tasks that wait at gates: a query of the line of each."""
    from headrace.engine.waits.views import places_in_line

    loaded = load(engine, run_id, namespace)
    if not any(row.status is TaskStatus.PARKED for row in loaded.record.tasks.values()):
        return loaded
    return replace(loaded, places=places_in_line(engine, loaded.record))


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
    wanted = [record.run_id for record in records if record.input.place is Place.ITEM]
    items = engine.store.get_many([input_key(run_id) for run_id in wanted]) if wanted else []
    texts = {
        run_id: str(item["body"]) for run_id, item in zip(wanted, items, strict=True) if item is not None
    }
    out: list[Json] = []
    for record in records:
        text = texts.get(record.run_id) if record.input.place is Place.ITEM else input_text(engine, record)
        out.append(json.loads(text) if text is not None else None)
    return out
