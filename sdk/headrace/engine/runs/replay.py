"""Replay a run: send first, then write.

The messages of the first tasks carry the order. The record is written after that, by the client or, if it died, by the process that receives a
message. So nothing is lost between the two, and a refused write tells which of two replays was first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from headrace.core.changes import Applied
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.effects import SendTask
from headrace.core.run.generation import Generation
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.outgoing import message_for
from headrace.core.run.owed import first_messages, owed_by_starter
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import Payload, RunRecord
from headrace.core.run.reset import ReplayOrder, failed_tasks, fits, replay, replayed
from headrace.core.table import input_key, run_key
from headrace.core.values import dataclass
from headrace.engine.attempts.payloads import place_input, save
from headrace.engine.catalog.plans import record_in, store_plans
from headrace.engine.engine import Engine, PlanOf
from headrace.engine.owed.pay import pay
from headrace.engine.runs.idempotency import admit_again
from headrace.engine.waits.keys import group_for
from headrace.errors import NotDeployed, RunNotFound, RunNotOver
from headrace.ports import Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInput:
    """Another input for the run: JSON text, or None for none."""

    text: str | None


def replay_run(
    engine: Engine,
    run_id: str,
    *,
    deployed: PlanOf,
    input: NewInput | None = None,
    only_failed: bool = False,
    id: str | None = None,
) -> RunRecord:
    """Run the tasks of a run that is over again, under its id; all is durably stored on return.

    `deployed`: the plan that a workflow has now. `id` names the replay, so that asking twice replays once: the record as it is then. RunNotFound, RunNotOver; NotDeployed where the run's
    code is gone; PayloadTooLargeError; IdempotencyCollisionError where another run holds its key. All before anything is written or sent.
    """
    record = record_in(engine, engine.store.get(run_key(run_id)))
    if record is None:
        raise RunNotFound(run_id)
    if id is not None and record.generation is not None and record.generation.id == id:
        return record
    if not finished(record):
        raise RunNotOver(run_id, run_status(record).value)
    if only_failed and not failed_tasks(record):
        return record
    tasks = failed_tasks(record) if only_failed else None
    return carry_out(engine, record, ordered(engine, record, deployed, tasks=tasks, input=input, id=id))


def ordered(
    engine: Engine,
    record: RunRecord,
    deployed: PlanOf,
    *,
    tasks: tuple[str, ...] | None = None,
    input: NewInput | None = None,
    logs: dict[str, str] | None = None,
    id: str | None = None,
) -> ReplayOrder:
    """The order of a replay of the record as it is. A large input is stored."""
    before = record.generation
    generation = Generation(
        number=before.number + 1 if before is not None else 1,
        at_ms=engine.clock.now_ms(),
        id=id or engine.ids.owner(),
    )
    order = ReplayOrder(
        generation=generation,
        after=before.token if before is not None else None,
        tasks=tasks,
        input=_placed(engine, record, generation.id, input),
        logs=logs or {},
    )
    return replace(order, workers=_moved(record, order, deployed(record.plan.workflow)))


def _placed(engine: Engine, record: RunRecord, id: str, given: NewInput | None) -> Payload | None:
    if given is None:
        return None
    placed = place_input(engine, replace(record, input=Payload()), given.text)
    save(engine, placed, input_key(record.run_id, id), given.text, expires_at_s=record.expires_at_s)
    return placed


def _moved(record: RunRecord, order: ReplayOrder, now: RunPlan | None) -> dict[str, str]:
    """The workers of the tasks that run again, where they are others by now. NotDeployed where one has no code any more."""
    if now is None:
        raise NotDeployed(f"workflow {record.plan.workflow} is not deployed any more", record.run_id)
    out: dict[str, str] = {}
    for name in record.plan.by_name if order.tasks is None else order.tasks:
        if name not in now.by_name:
            reason = f"workflow {record.plan.workflow} has no task {name} any more"
            raise NotDeployed(reason, record.run_id)
        if record.plan.task(name).worker != now.task(name).worker and name not in record.routing.workers:
            out[name] = now.task(name).worker
    return out


# ---------------------------------------------------------------- send, then write


def carry_out(engine: Engine, record: RunRecord, order: ReplayOrder) -> RunRecord:
    """Take the run's key again, send, write. Where another replay of the same end was first, its record."""
    after = replayed(record, order)
    _see_to_heirs(engine, record)
    store_plans(engine, [record.plan])
    messages = [
        (send.worker, Outgoing(body=encode_message(message), group=group_for(after, send.task)))
        for send, message in _messages(after, order)
    ]
    if record.routing.held_key is not None:
        starts = [(worker, outgoing.body) for worker, outgoing in messages]
        admit_again(engine, after, record.routing.held_key, starts)
    by_worker: dict[str, list[Outgoing]] = defaultdict(list)
    for worker, outgoing in messages:
        by_worker[worker].append(outgoing)
    for worker, some in by_worker.items():
        engine.queues.send(worker, some)
    written = engine.store.write(replay(record, order))
    if written.item is None:
        raise RunNotFound(record.run_id)
    return record_in(engine, written.item)


def _see_to_heirs(engine: Engine, record: RunRecord) -> None:
    """The replayed record names no heir any more: what a delivery that died owed them is paid before."""
    named = [task for task, row in record.tasks.items() if row.heir is not None]
    if named:
        from headrace.engine.waits.heirs import see_to_heir

        for task in named:
            see_to_heir(engine, record, task)


def _messages(after: RunRecord, order: ReplayOrder) -> Iterator[tuple[SendTask, TaskMessage]]:
    for send in first_messages(after):
        yield send, replace(message_for(after, send), replay=order)


def replay_for_dead_client(engine: Engine, record: RunRecord, message: TaskMessage) -> RunRecord | None:
    """A message of a replay whose client has not written: the same write in its stead, which owes the other first messages.

    The record as it is from here on, also where it was the client that wrote it meanwhile: then its message is not spent. None: the record is
    not what the replay was asked for.
    """
    order = message.replay
    if order is None or not fits(record, order):
        return None
    several = len(first_messages(replayed(record, order))) > 1
    written = engine.store.write(replay(record, order, starter=message.task if several else None))
    if written.item is None:
        return None
    if not isinstance(written, Applied):
        return record_in(engine, written.item)
    after = record_in(engine, written.item)
    pay(engine, after, owed_by_starter(after, message.task))
    return after
