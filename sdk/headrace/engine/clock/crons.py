"""Crons: an item each, which says when it is due next, and a timer that points to it.

Firing is exactly-once: every tick's run has the id uuid5(cron, due), so a tick that is sent twice starts one run. `advance` sends, then
puts the pointer to the next tick, then moves the item on condition that it still holds this one; the old pointer goes last. A clock
that dies anywhere in between, or a second one beside it, does the same again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from headrace.core.changes import (
    ITEM_EXISTS,
    ITEM_MISSING,
    Applied,
    Delete,
    Equal,
    Item,
    Put,
    Update,
)
from headrace.core.run.message import FireMessage, FiringKind
from headrace.core.run.plans.plan import Json
from headrace.core.schedules.cron import CronExpression, due_after, parse_cron, ticks
from headrace.core.sizes import MAX_KEPT_BYTES, check_metadata, check_size
from headrace.core.table import CRONS, cron_key
from headrace.core.values import dataclass
from headrace.engine.catalog.workflows import Published
from headrace.engine.clock.firing import send_firings, worker_for
from headrace.engine.engine import Engine
from headrace.engine.timers import HORIZON_S, LATEST_S, LookAt, put_timer

_IDS = uuid.UUID("5c0f4b52-7a3a-5d0a-8e8b-0f6d2b9a4c33")
NEVER_MS = 2**52


@dataclass(frozen=True, slots=True, kw_only=True)
class CronJob:
    """A cron. `declared`: by the workflow's `on_crons`; else by `create`. `worker`: whose queue took its ticks when it was made.

    `due_ms`: its next tick that was not sent yet. `priority` None: the workflow's default. `input`: JSON text.
    """

    workflow: str
    namespace: str = ""
    cron: CronExpression
    name: str = ""
    input: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    priority: int | None = None
    declared: bool = False
    worker: str = ""
    created_at_ms: int = 0
    due_ms: int = 0

    @property
    def id(self) -> str:
        """It follows from workflow, name and expression, so these can exist once."""
        return str(uuid.uuid5(_IDS, f"{self.workflow}/{self.name}/{self.cron}"))


def create_cron(engine: Engine, job: CronJob) -> CronJob | None:
    """Store a cron and send its next ticks. PayloadTooLargeError before anything is stored. None where there is one of that workflow, name and expression already."""
    check_metadata(f"a cron of {job.workflow}", job.metadata, engine.limits.metadata_bytes)
    check_size(f"the input of a cron of {job.workflow}", job.input, MAX_KEPT_BYTES)
    now_ms = engine.clock.now_ms()
    first = next(due_after(job.cron, now_ms), NEVER_MS)
    made = replace(
        job, created_at_ms=now_ms, due_ms=first, worker=worker_for(engine, job.workflow, job.worker)
    )
    for look_ms in _looks_ms(first, now_ms):
        put_timer(engine, look_ms, LookAt(kind=FiringKind.CRON, id=made.id, worker=made.worker))
    written = engine.store.write(Put(key=cron_key(made.id), item=_encode(made), require=ITEM_MISSING))
    if not isinstance(written, Applied):
        return None
    advance(engine, made)
    return made


def _looks_ms(due_ms: int, now_ms: int) -> list[int]:
    """In which minutes the clock is to find a pointer to the cron: that of its first tick, or one that no clock can have passed before the cron
    is stored. Where the first tick is nearer, also one that the clock comes to within two minutes: the process that makes the cron may die
    before it has sent that tick."""
    latest_ms = now_ms + LATEST_S * 1000
    return [due_ms] if due_ms > latest_ms else [latest_ms, now_ms + (HORIZON_S + 60) * 1000]


def get_cron(engine: Engine, cron_id: str) -> CronJob | None:
    item = engine.store.get(cron_key(cron_id))
    return _decode(item) if item is not None else None


def list_crons(engine: Engine) -> list[CronJob]:
    """All crons of the stack: one query."""
    return [_decode(item) for item in engine.store.query(CRONS)]


def delete_cron(engine: Engine, cron_id: str) -> bool:
    """Forget a cron; ticks on their way start nothing. False where there was none."""
    written = engine.store.write(Delete(key=cron_key(cron_id), require=ITEM_EXISTS))
    return isinstance(written, Applied)


def advance(engine: Engine, job: CronJob) -> int:
    """Send the ticks that are due within LATEST_S, and move on to the one after. Returns how many were sent.

    The pointer to the next tick lies beyond what any clock may have passed, however slow this one is.
    """
    now_ms = engine.clock.now_ms()
    found = ticks(job.cron, job.due_ms, now_ms=now_ms, until_ms=now_ms + LATEST_S * 1000)
    worker = worker_for(engine, job.workflow, job.worker)
    sent = send_firings(
        engine, worker, (FireMessage(kind=FiringKind.CRON, id=job.id, due_ms=due) for due in found.send)
    )
    following = found.next_ms if found.next_ms is not None else NEVER_MS
    if following == job.due_ms:
        return sent
    if following < NEVER_MS:
        put_timer(engine, following, LookAt(kind=FiringKind.CRON, id=job.id, worker=worker))
    engine.store.write(
        Update(key=cron_key(job.id), require=Equal(("due",), job.due_ms), sets={("due",): following})
    )
    return sent


def declare_crons(engine: Engine, workflows: Iterable[Published], *, whole_of: str | None = None) -> int:
    """Store the crons that workflows declare, where they are new or have changed; forget those that these declared before or, with
    `whole_of`, any workflow of that namespace. A cron whose clock stood still goes on. Returns how many were written or forgotten. One
    query; no write where nothing has changed."""
    given = list(workflows)
    names = {each.name for each in given}
    wanted = {job.id: job for each in given for job in _declared_by(each)}
    found = {
        job.id: job
        for job in list_crons(engine)
        if job.declared and (job.workflow in names or job.namespace == whole_of)
    }
    changed = sum(_declare(engine, job, found.get(cron_id)) for cron_id, job in wanted.items())
    return changed + sum(delete_cron(engine, cron_id) for cron_id in found.keys() - wanted.keys())


def _declared_by(workflow: Published) -> Iterator[CronJob]:
    for text in workflow.crons:
        yield CronJob(
            workflow=workflow.name,
            namespace=workflow.namespace,
            cron=parse_cron(text, f"workflow {workflow.name}"),
            input=workflow.cron_input,
            declared=True,
            worker=workflow.plan.tasks[0].worker,
        )


def _declare(engine: Engine, job: CronJob, known: CronJob | None) -> bool:
    if known is None:
        return create_cron(engine, job) is not None
    if known.due_ms < engine.clock.now_ms() - LATEST_S * 1000:
        advance(engine, known)
    if known.input == job.input:
        return False
    engine.store.write(Update(key=cron_key(known.id), require=ITEM_EXISTS, sets={("input",): job.input}))
    return True


def _encode(job: CronJob) -> Item:
    return {
        "flow": job.workflow,
        "ns": job.namespace,
        "cron": str(job.cron),
        "name": job.name,
        "input": job.input,
        "meta": _compact(job.metadata),
        "prio": job.priority,
        "declared": job.declared,
        "worker": job.worker,
        "made": job.created_at_ms,
        "due": job.due_ms,
    }


def _decode(item: Item) -> CronJob:
    prio, text = item.get("prio"), item.get("input")
    return CronJob(
        workflow=str(item["flow"]),
        namespace=str(item.get("ns", "")),
        cron=parse_cron(str(item["cron"]), "a stored cron"),
        name=str(item["name"]),
        input=text if isinstance(text, str) else None,
        metadata=json.loads(str(item["meta"])),
        priority=prio if isinstance(prio, int) else None,
        declared=bool(item["declared"]),
        worker=str(item["worker"]),
        created_at_ms=int(str(item["made"])),
        due_ms=int(str(item["due"])),
    )


def _compact(value: Mapping[str, Json]) -> str:
    return json.dumps(dict(value), separators=(",", ":"), ensure_ascii=False)


def jobs_by_id(engine: Engine, ids: Sequence[str]) -> dict[str, CronJob]:
    """Crons by their ids: one batch of reads."""
    items = engine.store.get_many([cron_key(each) for each in ids])
    return {each: _decode(item) for each, item in zip(ids, items, strict=True) if item is not None}
