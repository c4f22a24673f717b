"""What a stack publishes of its workflows, for processes that have not got the code, and how long a process believes it.

All are items of one partition, so that one query lists a stack's workflows. A process keeps what it read for KEPT_MS: a
deployment is seen by every process that triggers within that time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Any

from headrace.core.changes import Delete, Item, Put
from headrace.core.run.idempotency import IdempotencyRule
from headrace.core.run.plans.encoding import decode_plan, encode_plan
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.table import CATALOG, workflow_key
from headrace.core.values import dataclass
from headrace.engine.catalog.plans import store_plans
from headrace.engine.engine import Engine

KEPT_MS = 5_000
ALL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFilter:
    """A filter that is declared with its workflow (`default_filters`)."""

    expression: str
    scope: str
    payload: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A workflow as its definition says it: all that starting a run of it needs.

    `namespace`: the prefix of the app that published it. `zone`: where its runs are. `waits`: task -> the required labels, encoded as a run carries them, that
    only some processes of its worker may have. `cron_input` and `input_schema`: JSON texts; the schema is set where it is stored, for forms.
    """

    plan: RunPlan
    namespace: str = ""
    zone: str = ""
    description: str = ""
    default_priority: int = 1
    default_metadata: Mapping[str, Json] = field(default_factory=dict)
    idempotency: IdempotencyRule | None = None
    on_events: tuple[str, ...] = ()
    filters: tuple[DeclaredFilter, ...] = ()
    crons: tuple[str, ...] = ()
    cron_input: str | None = None
    waits: Mapping[str, str] = field(default_factory=dict)
    input_schema: str | None = None

    @property
    def name(self) -> str:
        return self.plan.workflow


def elsewhere(workflow: Published) -> Published:
    """A workflow of another zone, as far as starting its runs goes: events and crons of this zone start none."""
    return replace(workflow, on_events=(), filters=(), crons=(), cron_input=None)


def publish_workflows(engine: Engine, workflows: Iterable[Published], *, whole_of: str | None = None) -> int:
    """Store each workflow that is new or has changed; returns how many were written or forgotten.

    `whole_of`: these are all workflows of that namespace, so its others are forgotten. One query where `whole_of` is given, else
    one batch of reads; no write where nothing has changed.
    """
    published = list(workflows)
    store_plans(engine, (each.plan for each in published))
    wanted = {each.name: encode_published(each) for each in published}
    if whole_of is not None:
        found = {str(item["sk"]): item for item in engine.store.query(CATALOG)}
    else:
        items = engine.store.get_many([workflow_key(name) for name in wanted])
        found = {name: item for name, item in zip(wanted, items, strict=True) if item is not None}
    puts = [
        Put(key=workflow_key(name), item=item)
        for name, item in wanted.items()
        if _differs(item, found.get(name))
    ]
    gone = [
        Delete(key=workflow_key(name))
        for name, item in found.items()
        if whole_of is not None and name not in wanted and item.get("ns", "") == whole_of
    ]
    if puts or gone:
        engine.store.write_many([*puts, *gone])
        engine.catalog.forget()
    return len(puts) + len(gone)


def forget_workflow(engine: Engine, workflow: str) -> None:
    """The stack has no such workflow any more; other processes believe that within KEPT_MS. Harmless where it has none."""
    engine.store.write(Delete(key=workflow_key(workflow)))
    engine.catalog.forget()


def _differs(item: Item, found: Item | None) -> bool:
    return found is None or {k: v for k, v in found.items() if k not in ("pk", "sk")} != item


def published(engine: Engine, workflow: str) -> Published | None:
    """A workflow as it was published last, at most KEPT_MS ago; None where no worker has published it."""
    now_ms = engine.clock.now_ms()
    known = engine.catalog.known(workflow, now_ms)
    if isinstance(known, Published):
        return known
    item = engine.store.get(workflow_key(workflow))
    if item is None:
        return None  # not remembered: a caller may be waiting for it to appear
    found = _decode(item)
    engine.catalog.learn(workflow, found, now_ms + KEPT_MS)
    return found


def all_published(engine: Engine) -> Mapping[str, Published]:
    """Every workflow of the stack, by name: one query, at most KEPT_MS old."""
    now_ms = engine.clock.now_ms()
    known: Mapping[str, Published] | None = engine.catalog.known(ALL, now_ms)
    if known is not None:
        return known
    found = {str(item["sk"]): _decode(item) for item in engine.store.query(CATALOG)}
    for name, each in found.items():
        engine.catalog.learn(name, each, now_ms + KEPT_MS)
    engine.catalog.learn(ALL, found, now_ms + KEPT_MS)
    return found


def encode_published(workflow: Published) -> Item:
    """Only what differs from the defaults, beside the plan."""
    out: Item = {"plan": encode_plan(workflow.plan), "ver": workflow.plan.version}
    texts: dict[str, object] = {
        "meta": dict(workflow.default_metadata),
        "events": list(workflow.on_events),
        "filters": [[each.expression, each.scope, dict(each.payload)] for each in workflow.filters],
        "crons": list(workflow.crons),
        "waits": dict(workflow.waits),
    }
    out |= {name: _compact(value) for name, value in texts.items() if value}
    if workflow.namespace:
        out["ns"] = workflow.namespace
    if workflow.zone:
        out["zone"] = workflow.zone
    if workflow.description:
        out["about"] = workflow.description
    if workflow.default_priority != 1:
        out["prio"] = int(workflow.default_priority)
    if workflow.cron_input is not None:
        out["cron_input"] = workflow.cron_input
    if workflow.input_schema is not None:
        out["schema"] = workflow.input_schema
    rule = workflow.idempotency
    if rule is not None:
        out["idem"] = _compact([rule.expression, rule.ttl_ms, rule.until_over])
    return out


def _decode(item: Item) -> Published:
    def value(name: str, default: Any) -> Any:
        return json.loads(str(item[name])) if name in item else default

    rule = value("idem", None)
    return Published(
        plan=decode_plan(str(item["sk"]), str(item["ver"]), str(item["plan"])),
        namespace=str(item.get("ns", "")),
        zone=str(item.get("zone", "")),
        description=str(item.get("about", "")),
        default_priority=int(str(item.get("prio", 1))),
        default_metadata=value("meta", {}),
        idempotency=IdempotencyRule(expression=rule[0], ttl_ms=rule[1], until_over=rule[2]) if rule else None,
        on_events=tuple(value("events", ())),
        filters=tuple(DeclaredFilter(expression=e, scope=s, payload=p) for e, s, p in value("filters", ())),
        crons=tuple(value("crons", ())),
        cron_input=str(item["cron_input"]) if "cron_input" in item else None,
        waits=value("waits", {}),
        input_schema=str(item["schema"]) if "schema" in item else None,
    )


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
