"""Children of durable tasks: each is an operation of the log, by the order in which the code asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headrace.core.durable.log import ChildRun, Entry, Kind, hash_of
from headrace.core.run.derived.progress import finished
from headrace.core.run.request import Child, StartRun
from headrace.engine.finished import Round
from headrace.engine.runs.read import read_many

if TYPE_CHECKING:
    from headrace.core.durable.operations import Operations
    from headrace.core.run.record import RunRecord
    from headrace.engine.engine import Engine


async def start_children(
    operations: Operations, wanted: Sequence[StartRun], start: Callable[[Sequence[StartRun]], list[str]]
) -> list[str]:
    """The ids of the children, started where the log does not say that they were. NonDeterminismError ends the task."""
    entries: list[Entry] = []
    for each in wanted:
        key = each.origin.parent.key if isinstance(each.origin, Child) else None
        asked = hash_of(each.workflow, each.input, key)
        entry = operations.open(Kind.RUN, asked, f"a run of {each.workflow}")
        entries.append(entry if entry is not None else await operations.never())
    if all(entry.child is not None for entry in entries):
        return [entry.child.run_id for entry in entries if entry.child is not None]
    run_ids: list[str] = await operations.aside(asyncio.to_thread(start, wanted))
    for each, entry, run_id in zip(wanted, entries, run_ids, strict=True):
        first = each.origin.first if isinstance(each.origin, Child) else 0
        if entry.child is None:
            operations.started(entry, ChildRun(run_id, first))
    return run_ids


async def wait_for_children(
    operations: Operations, engine: Engine, parent: Round, run_ids: Sequence[str]
) -> list[RunRecord | None]:
    """The records of children once the log says that they are over, each when it is its turn. `parent`: the round that waits."""
    nodes = [node for run_id in run_ids if (node := operations.node_of(run_id)) is not None]
    await operations.answers(nodes)
    by_id = {run_id: engine.children.known(parent, run_id) for run_id in run_ids}
    missing = [run_id for run_id, record in by_id.items() if record is None]
    if missing:
        for record in await operations.aside(asyncio.to_thread(read_many, engine, missing)):
            if record is None:
                continue
            by_id[record.run_id] = record
            if finished(record):
                engine.children.remember(parent, record)
    return [by_id[run_id] for run_id in run_ids]
