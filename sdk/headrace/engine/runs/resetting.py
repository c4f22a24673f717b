"""Reset a durable task: its run is replayed, and the task goes on with a new branch of its log.

The log that it leaves is kept as an item, so a later reset can branch off it. A crash before the replay leaves that item and a sealed
part, which nothing names.
"""

from __future__ import annotations

from headrace.core.changes import ITEM_MISSING, AtMost, Put, either
from headrace.core.durable.branching import branched
from headrace.core.durable.encoding import decode_tail, encode_tail
from headrace.core.durable.log import SEAL_AT_BYTES, Tail
from headrace.core.durable.parts import encode_part, sealing
from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.run.reset import with_followers
from headrace.core.run.stored.texts import unzipped, zipped
from headrace.core.table import branch_log_key, log_part_key, run_key
from headrace.core.values import dataclass
from headrace.engine.catalog.plans import record_in
from headrace.engine.durable.log import load_log
from headrace.engine.engine import Engine, PlanOf
from headrace.engine.runs.replay import carry_out, ordered
from headrace.errors import RunNotFound, RunNotOver


@dataclass(frozen=True, slots=True)
class Reset:
    """What came of it: the record as it is now, and the branch that the task goes on with."""

    record: RunRecord
    branch: int


def reset(
    engine: Engine, run_id: str, task: str, node: int, branch: int | None, *, deployed: PlanOf
) -> Reset:
    """Run `task` again from operation `node` of a branch of its log on (None: of its last one), and the tasks that come after it; what did
    not start since the run was cancelled runs too. All is durably stored on return.

    RunNotFound; RunNotOver while the run goes on, or where another replay of it was first; ValueError where the log has no such operation
    or branch; NotDeployed; IdempotencyCollisionError.
    """
    record = record_in(engine, engine.store.get(run_key(run_id)))
    if record is None:
        raise RunNotFound(run_id)
    if not finished(record):
        raise RunNotOver(run_id, run_status(record).value)
    current = _last(record, task)
    of = _log_of(engine, record, task, current, current.branch if branch is None else branch)
    id = engine.ids.owner()
    tail = _new_branch(engine, record, task, of, node, number=current.branch + 1, id=id)
    order = ordered(
        engine, record, deployed, tasks=_tasks(record, task), logs={task: encode_tail(tail) or ""}, id=id
    )
    _keep(engine, record, task, current)
    after = carry_out(engine, record, order)
    if after.generation is None or after.generation.id != id:
        raise RunNotOver(run_id, run_status(after).value)
    return Reset(after, tail.branch)


def _last(record: RunRecord, task: str) -> Tail:
    row = record.tasks.get(task) or record.again.get(task)
    if row is None or row.log is None:
        raise ValueError(
            f"task {task} of run {record.run_id} has made no durable operation, so there is nothing to reset: replay the run"
        )
    return decode_tail(row.log)


def _log_of(engine: Engine, record: RunRecord, task: str, current: Tail, branch: int) -> Tail:
    """The tail of a branch: the row's own, or the one that a reset has kept."""
    if branch == current.branch:
        return current
    item = (
        engine.store.get(branch_log_key(record.run_id, task, branch))
        if 0 <= branch < current.branch
        else None
    )
    if item is None:
        raise ValueError(
            f"task {task} of run {record.run_id} has no branch {branch}: its branches are 0 to {current.branch}"
        )
    body = item["body"]
    if not isinstance(body, str | bytes):
        raise ValueError(f"no branch of a durable log: {sorted(item)}")
    return decode_tail(unzipped(body))


def _new_branch(
    engine: Engine, record: RunRecord, task: str, of: Tail, node: int, *, number: int, id: str
) -> Tail:
    """The new branch's tail, sealed where it is too long for a row. ValueError where there is no such operation."""
    log = load_log(engine, record.run_id, task, of)
    made = len(log.entries)
    if not 0 <= node < made:
        raise ValueError(
            f"task {task} of run {record.run_id} has no operation {node} in branch {of.branch}: its nodes are 0 to {made - 1}"
        )
    tail = branched(of, log.parts, node, number=number)
    if len(encode_tail(tail) or "") <= SEAL_AT_BYTES:
        return tail
    sealed = sealing(tail, {}, owner=id)
    if sealed is None:
        return tail
    key = log_part_key(record.run_id, task, sealed.part.number, sealed.part.owner)
    engine.store.write(Put(key=key, item={**encode_part(sealed.entries), "expires_at": record.expires_at_s}))
    return sealed.tail


def _keep(engine: Engine, record: RunRecord, task: str, tail: Tail) -> None:
    """Keep the log that the task leaves. One of a later generation, which may be longer, stays."""
    generation = record.generation_number
    engine.store.write(
        Put(
            key=branch_log_key(record.run_id, task, tail.branch),
            item={
                "body": zipped(encode_tail(tail) or ""),
                "gen": generation,
                "expires_at": record.expires_at_s,
            },
            require=either(ITEM_MISSING, AtMost(("gen",), generation)),
        )
    )


def _tasks(record: RunRecord, task: str) -> tuple[str, ...]:
    """The task, what comes after it, and what a cancellation kept from starting."""
    cancelled = {name for name, state in states(record).items() if state.status is TaskStatus.CANCELLED}
    return with_followers(record, {task, *cancelled})
