"""Work off a bulk operation: page by page, for a while, then hand it on by another message.

A page is noted, then done, then noted as done with the next; done again after a death in between, it changes nothing: a replay is named by its
operation, a cancelled run stays cancelled. The next message is sent before its turn is noted, and a message is deleted once the next turn or the end is noted: so none is lost,
and of two that carry the same turn one stops at the next.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum, auto
from itertools import islice

from headrace.core.changes import Applied
from headrace.core.run.ids import split_task_run_id
from headrace.core.run.message import BulkMessage
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.transitions.cancel import CANCELLED_BY_USER
from headrace.core.table import run_key
from headrace.engine.catalog.plans import record_in
from headrace.engine.catalog.workflows import published
from headrace.engine.engine import Engine
from headrace.engine.owed.cancel import cancel, pay_for_cancelling
from headrace.engine.owed.cancel_task import cancel_task
from headrace.engine.runs.bulk.operation import (
    BulkKind,
    BulkOperation,
    BulkStatus,
    get_operation,
    ids_of_page,
    progress,
    send_on,
)
from headrace.engine.runs.listing import Wanted, entries
from headrace.engine.runs.read import read_many
from headrace.engine.runs.replay import replay_run
from headrace.errors import (
    AccessDenied,
    NotDeployed,
    QueueUnavailable,
    RunNotFound,
    RunNotOver,
    StackNotFound,
    StoreUnavailable,
)

PARALLEL = 8
"""How many runs of a page are worked on at once."""

WORK_FOR_MS = 20_000
"""How long one delivery works: well within the visibility of any worker's queue."""

MARGIN_MS = 15_000
"""What is left of an invocation when it hands the rest on: more than a page takes."""

LOOKED_AT = 20_000
"""How many entries of the index a page looks at, at most: those of other workflows are passed over."""

COUNTED = 100_000
"""How far the runs to look at are counted; where there are more, the total stays unknown."""

REASONS = 10
"""How many reasons are kept."""


class _Ending(Enum):
    """What became of a run of a page: done, or it needed nothing."""

    DONE = auto()
    LEFT = auto()


def go_on(engine: Engine, message: BulkMessage, worker: str, time_left_ms: Callable[[], int]) -> None:
    """Work for WORK_FOR_MS, or as long as there is time; then hand the rest on. Nothing where a later message does it already."""
    until_ms = engine.clock.now_ms() + min(WORK_FOR_MS, time_left_ms() - MARGIN_MS)
    operation = get_operation(engine, message.id)
    while operation is not None and operation.status is BulkStatus.WORKING and operation.turn <= message.turn:
        worked = bool(operation.in_hand)
        operation = _one_page(engine, operation)
        if operation is None or operation.status is not BulkStatus.WORKING:
            return
        if worked and (operation.pause_s or engine.clock.now_ms() >= until_ms):
            _hand_on(engine, operation, message, worker)
            return


def lend_a_hand(engine: Engine, id: str, for_ms: int) -> None:
    """Work on it for a while beside the stack's workers, whose message goes its own way. For a caller that waits while they have too much to do."""
    until_ms = engine.clock.now_ms() + for_ms
    operation = get_operation(engine, id)
    while operation is not None and operation.status is BulkStatus.WORKING:
        operation = _one_page(engine, operation)
        if engine.clock.now_ms() >= until_ms:
            return


def stop(engine: Engine, message: BulkMessage, reason: str) -> None:
    """Its message could not be processed: the operation says so."""
    operation = get_operation(engine, message.id)
    if operation is not None and operation.status is BulkStatus.WORKING and operation.turn <= message.turn:
        stopped = replace(
            operation,
            status=BulkStatus.STOPPED,
            reasons=(*operation.reasons, reason),
            changed_at_ms=engine.clock.now_ms(),
        )
        engine.store.write(progress(operation, stopped))


def _hand_on(engine: Engine, operation: BulkOperation, message: BulkMessage, worker: str) -> None:
    turn = message.turn + 1
    if operation.turn >= turn:
        return
    send_on(engine, worker, operation.id, turn=turn, delay_s=operation.pause_s)
    engine.store.write(progress(operation, replace(operation, turn=turn)))


def _one_page(engine: Engine, operation: BulkOperation) -> BulkOperation | None:
    """The operation once its page in hand is done and another is in hand, as this delivery or another has noted it. None: it is gone."""
    endings = _work_on(engine, operation)
    reasons = [each for each in endings if isinstance(each, str)]
    after = replace(
        operation,
        done=operation.done + endings.count(_Ending.DONE),
        refused=operation.refused + len(reasons),
        reasons=(*operation.reasons, *reasons)[:REASONS],
        changed_at_ms=engine.clock.now_ms(),
    )
    if operation.last:
        after = replace(after, status=BulkStatus.DONE, in_hand=())
    else:
        after = _with_next(engine, after)
    if isinstance(engine.store.write(progress(operation, after)), Applied):
        return after
    return get_operation(engine, operation.id)


# ---------------------------------------------------------------- which runs


def _with_next(engine: Engine, operation: BulkOperation) -> BulkOperation:
    """The operation with its next page in hand."""
    if operation.wanted is None:
        number = int(operation.cursor or 0)
        ids = ids_of_page(engine, operation, number) if number < operation.id_pages else []
        return replace(
            operation,
            in_hand=tuple(ids),
            cursor=str(number + 1),
            last=number + 1 >= operation.id_pages,
            looked_at=operation.looked_at + len(ids),
        )
    found, cursor, last = _listed(engine, operation, operation.wanted)
    return replace(
        operation,
        in_hand=tuple(_that_match(engine, operation.wanted, found)),
        cursor=cursor,
        last=last,
        looked_at=operation.looked_at + len(found),
        total=operation.total
        if operation.cursor
        else _total(engine, operation.wanted, len(found), cursor, last),
    )


def _listed(engine: Engine, operation: BulkOperation, wanted: Wanted) -> tuple[list[str], str, bool]:
    """The next runs that the index lists, the cursor behind them, and whether none are left."""
    found: list[str] = []
    cursor = operation.cursor
    for seen, (cursor, entry) in enumerate(entries(engine, wanted, operation.cursor or None), start=1):
        if wanted.lists(entry):
            found.append(entry.run_id)
        if len(found) == operation.page or seen == LOOKED_AT:
            return found, cursor, False
    return found, cursor, True


def _that_match(engine: Engine, wanted: Wanted, ids: list[str]) -> list[str]:
    records = read_many(engine, ids) if ids else []
    return [record.run_id for record in records if record is not None and wanted.takes(record)]


def _total(engine: Engine, wanted: Wanted, first: int, cursor: str, last: bool) -> int | None:
    """How many there are to look at, by the index: the first page, and what is behind it. None where they are too many to count."""
    if last:
        return first
    behind = [wanted.lists(entry) for _, entry in islice(entries(engine, wanted, cursor), COUNTED + 1)]
    return first + sum(behind) if len(behind) <= COUNTED else None


# ---------------------------------------------------------------- what is done with them


def _work_on(engine: Engine, operation: BulkOperation) -> list[_Ending | str]:
    """How each run in hand ended; a text says why it could not be done."""
    if not operation.in_hand:
        return []
    with ThreadPoolExecutor(min(PARALLEL, len(operation.in_hand))) as pool:
        return list(pool.map(lambda id: _act(engine, operation, id), operation.in_hand))


def _act(engine: Engine, operation: BulkOperation, id: str) -> _Ending | str:
    try:
        if operation.kind is BulkKind.CANCEL:
            return _cancelled(engine, operation, id)
        return _replayed(engine, operation, id)
    except (StoreUnavailable, QueueUnavailable, AccessDenied, StackNotFound):
        raise
    except (RunNotFound, NotDeployed) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  # what is wrong with one run holds up no other
        return f"run {id}: {type(error).__name__}: {error}"[:500]


def _replayed(engine: Engine, operation: BulkOperation, id: str) -> _Ending:
    run = split_task_run_id(id)[0]
    _check_namespace(engine, operation, run)
    try:
        record = replay_run(
            engine,
            run,
            deployed=lambda name: _plan(engine, name),
            only_failed=operation.only_failed,
            id=operation.id,
        )
    except RunNotOver:
        return _Ending.LEFT
    generation = record.generation
    return _Ending.DONE if generation is not None and generation.id == operation.id else _Ending.LEFT


def _cancelled(engine: Engine, operation: BulkOperation, id: str) -> _Ending:
    run, task = split_task_run_id(id)
    _check_namespace(engine, operation, run)
    if task is not None:
        done = cancel_task(engine, run, task, reason=CANCELLED_BY_USER)
        return _Ending.DONE if done else _Ending.LEFT
    if cancel(engine, run):
        return _Ending.DONE
    pay_for_cancelling(engine, run)
    item = engine.store.get(run_key(run))
    if item is None:
        raise RunNotFound(run)
    marked_ms = record_in(engine, item).cancelled_at_ms
    return _Ending.DONE if marked_ms is not None and marked_ms >= operation.created_at_ms else _Ending.LEFT


def _check_namespace(engine: Engine, operation: BulkOperation, run: str) -> None:
    """RunNotFound where ids were given, and the run is of another namespace."""
    if operation.namespace and operation.wanted is None:
        item = engine.store.get(run_key(run))
        if item is None or not record_in(engine, item).plan.workflow.startswith(operation.namespace):
            raise RunNotFound(run)


def _plan(engine: Engine, workflow: str) -> RunPlan | None:
    """The plan that the stack has now: by what is published, else by the code at hand."""
    found = published(engine, workflow)
    if found is not None:
        return found.plan
    return next((plan for plan in engine.own_plans() if plan.workflow == workflow), None)
