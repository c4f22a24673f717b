"""The workers that a stack declares, and the processes that are alive now, with their labels.

All are items of one small partition. A process holds a lease, which it renews; one that died is left out once its lease is
over. What is declared is stored for clients that have not got the code which declares it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field

from headrace.core.changes import Delete, Item, Put
from headrace.core.table import WORKERS, process_key, worker_key
from headrace.core.values import dataclass
from headrace.engine.catalog.workflows import KEPT_MS
from headrace.engine.engine import Engine

ALL_WORKERS = "workers#"
LEASE_S = 90
"""How long a process counts as alive after it was heard of."""

RENEW_EVERY_S = 30
KEPT_S = 86_400
"""How long an item outlives its lease, in seconds, before the table's TTL takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWorker:
    """A process of a worker, its labels, and the end of its lease."""

    worker: str
    process: str
    labels: Mapping[str, str | int]
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredWorker:
    """A worker as the code declares it.

    `process`: it has processes and no function. `longest_ms`: the longest execution timeout its function has time for; None: any.
    `namespace`: the prefix of the app that declares it. `workflows`: those it registers, each with the required labels (as a run carries them) that only its processes may meet, by task.
    """

    worker: str
    namespace: str = ""
    labels: Mapping[str, str | int] = field(default_factory=dict)
    process: bool = False
    longest_ms: int | None = None
    workflows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


# ---------------------------------------------------------------- processes


def announce(engine: Engine, worker: str, process: str, labels: Mapping[str, str | int]) -> None:
    """The process is alive for another lease, with these labels. Only it writes its item, so the last word counts."""
    until_ms = engine.clock.now_ms() + LEASE_S * 1000
    item: Item = {
        "labels": _compact(dict(labels)),
        "until": until_ms,
        "expires_at": until_ms // 1000 + KEPT_S,
    }
    engine.store.write(Put(key=process_key(worker, process), item=item))


def leave(engine: Engine, worker: str, process: str) -> None:
    """The process takes no more work. Leaving twice is harmless."""
    engine.store.write(Delete(key=process_key(worker, process)))


def live(engine: Engine) -> list[LiveWorker]:
    """The processes whose lease is not over, by worker: one query."""
    now_ms = engine.clock.now_ms()
    found = [_live(item) for item in engine.store.query(WORKERS) if "until" in item]
    return [each for each in found if each.until_ms > now_ms]


def _live(item: Item) -> LiveWorker:
    worker, _, process = str(item["sk"]).partition("#")
    return LiveWorker(
        worker=worker,
        process=process,
        labels=json.loads(str(item["labels"])),
        until_ms=int(str(item["until"])),
    )


# ---------------------------------------------------------------- what is declared


def publish_workers(engine: Engine, workers: Sequence[DeclaredWorker], *, whole_of: str | None = None) -> int:
    """Store each declared worker that is new or has changed; returns how many were written or forgotten.

    `whole_of`: these are all workers of that namespace, so its others are forgotten. One query, and no write where nothing has
    changed.
    """
    found = {str(item["sk"]): item for item in engine.store.query(WORKERS) if "flows" in item}
    wanted = {each.worker: _encode(each) for each in workers}
    puts = [
        Put(key=worker_key(name), item=item)
        for name, item in wanted.items()
        if any(found.get(name, {}).get(key) != value for key, value in item.items())
    ]
    gone = [
        Delete(key=worker_key(name))
        for name, item in found.items()
        if whole_of is not None and name not in wanted and item.get("ns", "") == whole_of
    ]
    if puts or gone:
        engine.store.write_many([*puts, *gone])
        engine.catalog.forget()
    return len(puts) + len(gone)


def declared(engine: Engine) -> list[DeclaredWorker]:
    """The workers that were published, by name, as of KEPT_MS ago at most: one query."""
    now_ms = engine.clock.now_ms()
    known: list[DeclaredWorker] | None = engine.catalog.known(ALL_WORKERS, now_ms)
    if known is None:
        known = [_decode(item) for item in engine.store.query(WORKERS) if "flows" in item]
        engine.catalog.learn(ALL_WORKERS, known, now_ms + KEPT_MS)
    return known


def _encode(worker: DeclaredWorker) -> Item:
    return {
        "ns": worker.namespace,
        "labels": _compact(dict(worker.labels)),
        "process": worker.process,
        "longest": worker.longest_ms if worker.longest_ms is not None else -1,
        "flows": _compact({name: dict(tasks) for name, tasks in worker.workflows.items()}),
    }


def _decode(item: Item) -> DeclaredWorker:
    longest_ms = int(str(item["longest"]))
    return DeclaredWorker(
        worker=str(item["sk"]),
        namespace=str(item.get("ns", "")),
        labels=json.loads(str(item["labels"])),
        process=bool(item["process"]),
        longest_ms=longest_ms if longest_ms >= 0 else None,
        workflows=json.loads(str(item["flows"])),
    )


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
