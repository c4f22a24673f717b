"""A bulk operation: which runs it is about, how far it has come. One item, and one more for each few hundred ids that were given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from headrace.core.changes import ITEM_MISSING, Equal, Item, Put, Update, Value, every
from headrace.core.run.message import BulkMessage, encode_bulk
from headrace.core.run.record import RunStatus
from headrace.core.table import BULK, bulk_ids_key, bulk_key
from headrace.core.values import dataclass
from headrace.engine.catalog.workers import declared
from headrace.engine.catalog.workflows import all_published
from headrace.engine.engine import Engine
from headrace.engine.runs.listing import Wanted
from headrace.errors import NotConfigured
from headrace.ports import Outgoing

PAGE = 100
"""How many runs are worked on before the progress is written."""

LARGEST_PAGE = 1_000
KEPT_S = 7 * 86_400
"""How long an operation can be looked at, in seconds."""


class BulkKind(StrEnum):
    """What is done with each run."""

    CANCEL = "cancel"
    REPLAY = "replay"


class BulkStatus(StrEnum):
    """STOPPED: its message could not be processed, see the reasons; what was done stays done."""

    WORKING = "WORKING"
    DONE = "DONE"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOperation:
    """`wanted` or `id_pages` say which runs. `page` of them at a time, with `pause_s` between pages.

    `total`: how many there are to look at; None where that is not known yet. Of the `looked_at`, `done` were cancelled or replayed, `refused`
    could not be, and the others needed nothing; `reasons` holds the first reasons.

    `in_hand`: the page that is being worked on; `cursor`: where it ends; `last`: none is behind it. `turn`: how often a message of the
    operation has handed it on.
    """

    id: str
    kind: BulkKind
    namespace: str
    wanted: Wanted | None
    id_pages: int
    total: int | None
    created_at_ms: int
    page: int = PAGE
    pause_s: int = 0
    only_failed: bool = False
    status: BulkStatus = BulkStatus.WORKING
    in_hand: tuple[str, ...] = ()
    cursor: str = ""
    last: bool = False
    turn: int = 0
    looked_at: int = 0
    done: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()
    changed_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a caller asks for: runs by `ids`, or those that are `wanted`."""

    kind: BulkKind
    ids: Sequence[str] = ()
    wanted: Wanted | None = None
    namespace: str = ""
    only_failed: bool = False
    page: int = PAGE
    pause_s: int = 0


def ask(engine: Engine, asked: Asked) -> BulkOperation:
    """Have the stack do it; durably stored on return. NotConfigured, before anything is written, where the stack has no worker."""
    id = engine.ids.run_id()
    worker = _worker(engine, id, asked.kind)
    ids = list(dict.fromkeys(asked.ids))
    pages = [ids[first : first + asked.page] for first in range(0, len(ids), asked.page)]
    now_ms = engine.clock.now_ms()
    operation = BulkOperation(
        id=id,
        kind=asked.kind,
        namespace=asked.namespace,
        wanted=asked.wanted,
        id_pages=len(pages),
        total=len(ids) if asked.wanted is None else None,
        created_at_ms=now_ms,
        page=asked.page,
        pause_s=asked.pause_s,
        only_failed=asked.only_failed,
        changed_at_ms=now_ms,
    )
    expires_at_s = now_ms // 1000 + KEPT_S
    engine.store.write_many(
        [
            Put(key=bulk_ids_key(id, number), item={"ids": [*page], "expires_at": expires_at_s})
            for number, page in enumerate(pages)
        ]
    )
    engine.store.write(
        Put(key=bulk_key(id), item=_encode(operation) | {"expires_at": expires_at_s}, require=ITEM_MISSING)
    )
    send_on(engine, worker, operation.id, turn=0)
    return operation


def send_on(engine: Engine, worker: str, id: str, *, turn: int, delay_s: int = 0) -> None:
    """The message that carries an operation on."""
    body = encode_bulk(BulkMessage(id=id, turn=turn))
    engine.queues.send(worker, [Outgoing(body=body, delay_s=delay_s, group=f"bulk#{id}")])


def _worker(engine: Engine, id: str, kind: BulkKind) -> str:
    """The queue that takes the operation: a function's, if there is one, in turn."""
    known = declared(engine)
    functions = sorted(each.worker for each in known if not each.process)
    others = sorted(each.worker for each in known if each.process)
    tasks = (task for flow in all_published(engine).values() for task in flow.plan.tasks)
    found = functions or others or sorted({task.worker for task in tasks})
    if not found:
        raise NotConfigured(f"the stack has no worker that could {kind} runs: deploy it, or start a worker")
    return found[sum(id.encode()) % len(found)]


# ---------------------------------------------------------------- reading


def get_operation(engine: Engine, id: str) -> BulkOperation | None:
    """One operation as it is now; None where there is none, or it is older than KEPT_S."""
    item = engine.store.get(bulk_key(id))
    return _decode(item) if item is not None else None


def list_operations(engine: Engine) -> list[BulkOperation]:
    """All that are kept, the newest first: one query."""
    found = [_decode(item) for item in engine.store.query(BULK)]
    return sorted(found, key=lambda each: each.created_at_ms, reverse=True)


def ids_of_page(engine: Engine, operation: BulkOperation, number: int) -> list[str]:
    """The ids of a page as they were given."""
    item = engine.store.get(bulk_ids_key(operation.id, number))
    return list(_texts(item.get("ids"))) if item is not None else []


# ---------------------------------------------------------------- encoding


def progress(before: BulkOperation, after: BulkOperation) -> Update:
    """The write that brings an operation from one state to the next; refused where another delivery was first."""
    require = every(
        Equal(("cursor",), before.cursor),
        Equal(("turn",), before.turn),
        Equal(("status",), before.status.value),
    )
    was, now = _encode(before), _encode(after)
    return Update(
        key=bulk_key(before.id),
        require=require,
        sets={(name,): value for name, value in now.items() if was[name] != value},
    )


def _encode(operation: BulkOperation) -> Item:
    return {
        "kind": operation.kind.value,
        "ns": operation.namespace,
        "wanted": None if operation.wanted is None else _compact(_encode_wanted(operation.wanted)),
        "pages": operation.id_pages,
        "total": operation.total,
        "made": operation.created_at_ms,
        "page": operation.page,
        "pause": operation.pause_s,
        "only_failed": operation.only_failed,
        "status": operation.status.value,
        "in_hand": list(operation.in_hand),
        "cursor": operation.cursor,
        "last": operation.last,
        "turn": operation.turn,
        "looked": operation.looked_at,
        "done": operation.done,
        "refused": operation.refused,
        "reasons": list(operation.reasons),
        "changed": operation.changed_at_ms,
    }


def _decode(item: Item) -> BulkOperation:
    wanted, total = item.get("wanted"), item.get("total")
    return BulkOperation(
        id=str(item["sk"]),
        kind=BulkKind(str(item["kind"])),
        namespace=str(item["ns"]),
        wanted=_decode_wanted(json.loads(wanted)) if isinstance(wanted, str) else None,
        id_pages=int(str(item["pages"])),
        total=total if isinstance(total, int) else None,
        created_at_ms=int(str(item["made"])),
        page=int(str(item["page"])),
        pause_s=int(str(item["pause"])),
        only_failed=bool(item["only_failed"]),
        status=BulkStatus(str(item["status"])),
        in_hand=_texts(item.get("in_hand")),
        cursor=str(item["cursor"]),
        last=bool(item["last"]),
        turn=int(str(item["turn"])),
        looked_at=int(str(item["looked"])),
        done=int(str(item["done"])),
        refused=int(str(item["refused"])),
        reasons=_texts(item.get("reasons")),
        changed_at_ms=int(str(item["changed"])),
    )


def _texts(found: Value) -> tuple[str, ...]:
    return tuple(str(each) for each in found) if isinstance(found, list) else ()


def _encode_wanted(wanted: Wanted) -> dict[str, object]:
    """What a bulk operation can ask for: times, workflows, statuses, metadata."""
    return {
        "since": wanted.since_ms,
        "until": wanted.until_ms,
        "flows": sorted(wanted.workflows) if wanted.workflows is not None else None,
        "ns": wanted.namespace,
        "statuses": sorted(wanted.statuses) if wanted.statuses is not None else None,
        "meta": dict(wanted.metadata) if wanted.metadata is not None else None,
    }


def _decode_wanted(found: Mapping[str, Any]) -> Wanted:
    return Wanted(
        since_ms=found["since"],
        until_ms=found["until"],
        workflows=frozenset(found["flows"]) if found["flows"] is not None else None,
        namespace=found["ns"],
        statuses=frozenset(map(RunStatus, found["statuses"])) if found["statuses"] is not None else None,
        metadata=found["meta"],
    )


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
