"""The one door: whatever starts a run makes a StartRun and comes through `start`, the only caller of `engine.runs.start`.

Here, and nowhere else, a start gets its plan, default priority and metadata, idempotency key, worker, and place among its
parent's children.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from headrace.core.run.request import Child, Event, StartRun, derived_run_id, metadata_for
from headrace.engine.catalog.workers import declared
from headrace.engine.catalog.workflows import published
from headrace.engine.runs import start as engine_start
from headrace.engine.runs.read import read_many
from headrace.engine.waits.kinds.children import leaf_for, open_join
from headrace.errors import DedupeViolationError, DefinitionError, StackNotFound, ZoneError
from headrace.options.idempotency import key_of
from headrace.options.priority import check_priority
from headrace.telemetry import tracing
from headrace.triggers.children import Spawner, current
from headrace.triggers.debounced import put_off_run
from headrace.triggers.definition import found_or_raise, zone_here
from headrace.triggers.placement import Placement

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord
    from headrace.engine.runs.start import NewRun
    from headrace.triggers.definition import Door


def start(app: Door, wanted: Sequence[StartRun]) -> list[str]:
    """Start a run for each; their ids in the order given. They are durably stored on return.

    ValueError where there is no such workflow; DefinitionError for a priority or a worker that cannot be; both before anything is
    sent. IdempotencyCollisionError for one run whose key is held; for several BulkTriggerIdempotencyCollisionError, and the
    others are started.
    """
    with tracing.starting(wanted) as traced:
        ids = iter(
            record.run_id
            for record in _start_records(app, [one for one in traced if one.options.debounce is None])
        )
        return [
            next(ids) if one.options.debounce is None else put_off_run(app, one, partial(start, app))
            for one in traced
        ]


def start_records(app: Door, wanted: Sequence[StartRun]) -> list[RunRecord]:
    """As `start`; the records. A child that an earlier attempt started is not started again: its record as it is now."""
    with tracing.starting(wanted) as traced:
        return _start_records(app, traced)


def _start_records(app: Door, wanted: Sequence[StartRun]) -> list[RunRecord]:
    spawner = current.get()
    here = zone_here(app)
    names = dict.fromkeys(each.workflow for each in wanted)
    others = {name for name in names if found_or_raise(app, name).published.zone != here}
    elsewhere = [each for each in wanted if each.workflow in others]
    if spawner is not None:
        _check_starts(app, spawner.context.worker_id, wanted, elsewhere)
    if elsewhere:
        return _start_across(app, wanted, elsewhere)
    return _start_here(app, wanted, spawner)


def _start_across(app: Door, wanted: Sequence[StartRun], elsewhere: Sequence[StartRun]) -> list[RunRecord]:
    """ZoneError where some are of this zone: one call starts them all or none."""
    from headrace.triggers.zones import start_across

    if len(elsewhere) < len(wanted):
        raise ZoneError(
            f"workflow {elsewhere[0].workflow} is in another zone than others that this call starts: start them in a call each"
        )
    return start_across(app, wanted, _new_run)


def _start_here(app: Door, wanted: Sequence[StartRun], spawner: Spawner | None) -> list[RunRecord]:
    placement = Placement(app, spawner)
    news = [_new_run(app, each, placement) for each in wanted]
    firsts = {
        new.run_id: each.origin.first
        for new, each in zip(news, wanted, strict=True)
        if isinstance(each.origin, Child)
    }
    if spawner is None or not firsts:
        return _start(app, news)
    existing = _existing_children(app, spawner, news)
    missing = [new for new in news if new.run_id not in existing]
    if spawner.durable:
        news, missing = _join(app, spawner, news, missing, firsts)
    records = existing | {record.run_id: record for record in _start(app, missing)}
    return [records[new.run_id or ""] for new in news]


def _check_starts(app: Door, worker: str, wanted: Sequence[StartRun], elsewhere: Sequence[StartRun]) -> None:
    """DefinitionError where a task's worker was declared without what it starts: its role cannot send there. A worker without `starts`
    may start any workflow of its own zone, and none of another."""
    allowed = app._may_start(worker)
    if allowed is None and elsewhere:
        raise DefinitionError(
            f"worker {worker} may not start workflow {elsewhere[0].workflow}, which is in another zone: give that worker starts=[...] "
            f"with {elsewhere[0].workflow} and all others that its tasks start, and deploy"
        )
    for each in wanted:
        if allowed is not None and each.workflow not in allowed:
            raise DefinitionError(
                f"worker {worker} may not start workflow {each.workflow}: add it to starts=[...] of that worker, and deploy"
            )


def _start(app: Door, news: Sequence[NewRun]) -> list[RunRecord]:
    if not news:
        return []
    try:
        if len(news) == 1:
            records = [engine_start.start(app.engine, news[0])]
        else:
            records = engine_start.start_many(app.engine, news, progress=app._bulk_progress)
    except StackNotFound as error:
        raise _on_no_worker(app, news) or error from None
    if news[0].routing.reply_to is not None:
        from headrace.triggers.results.mailbox import mailbox_of

        mailbox_of(app.engine).remember(records)
    return records


def _on_no_worker(app: Door, news: Sequence[NewRun]) -> DefinitionError | None:
    """That a workflow is on no worker, where it is that, and not the stack, that is missing: its plan's worker has no queue."""
    for name in (new.plan.workflow for new in news):
        if not app._knows_workers(name) and published(app.engine, name) is None:
            workers = ", ".join(each.worker for each in declared(app.engine))
            if workers:
                return DefinitionError(
                    f"workflow {name} is on no worker of stack {app.settings.stack!r}, so nothing would run it: add it to the "
                    f"workflows of a worker ({workers}), and deploy"
                )
    return None


def _join(
    app: Door,
    spawner: Spawner,
    news: Sequence[NewRun],
    missing: Sequence[NewRun],
    firsts: Mapping[str | None, int],
) -> tuple[list[NewRun], list[NewRun]]:
    """The join of a durable task's children is there before any of them can end. Opening it twice is harmless.

    `firsts`: by run id. In the middle of a call a new branch of the log may begin: its children have a join of their own.
    """
    for first in sorted({firsts[new.run_id] for new in missing if new.run_id in firsts}):
        size = sum(1 for new in news if firsts.get(new.run_id) == first)
        open_join(app.engine, spawner.record, spawner.task, range(first, first + size), first=first)

    def joined(new: NewRun) -> NewRun:
        link = new.parent
        if link is None or new.run_id not in firsts:
            return new
        leaf = leaf_for(link.run_id, link.task, firsts[new.run_id], link.index)
        return replace(new, parent=replace(link, join=leaf))

    return [joined(new) for new in news], [joined(new) for new in missing]


def _check_delay(app: Door, name: str, due_at_ms: int) -> None:
    """A run carries its plan by name, which is kept as long as runs are: so a run cannot wait for longer."""
    kept_s = app.engine.limits.retention_s
    if due_at_ms > app.engine.clock.now_ms() + kept_s * 1000:
        raise DefinitionError(
            f"workflow {name}: a run cannot be delayed for longer than runs are kept, {kept_s // 86_400} days: use schedule(run_at), "
            "which starts it by the definition that is deployed then"
        )


def _new_run(app: Door, wanted: StartRun, placement: Placement) -> NewRun:
    name, options, origin = wanted.workflow, wanted.options, wanted.origin
    found = found_or_raise(app, name)
    known = found.published
    priority = options.priority if options.priority is not None else known.default_priority
    check_priority(priority, f"workflow {name}: priority")
    metadata = metadata_for({**known.default_metadata, **options.metadata}, origin)
    routing = placement.routing(found, options)
    if options.due_at_ms is not None and options.due_at_ms > app.engine.clock.now_ms():
        _check_delay(app, name, options.due_at_ms)
        routing = replace(routing, starts_at_ms=options.due_at_ms)
    if isinstance(origin, Event) and origin.filter_payload:
        text = json.dumps(dict(origin.filter_payload), separators=(",", ":"))
        routing = replace(routing, filter_payload=text)
    if wanted.reply_to is not None:
        routing = replace(routing, reply_to=wanted.reply_to)
    rule = known.idempotency
    return engine_start.NewRun(
        plan=known.plan,
        routing=routing,
        input=wanted.input,
        metadata=metadata,
        priority=int(priority),
        parent=origin.parent if isinstance(origin, Child) else None,
        run_id=derived_run_id(name, origin),
        idempotency=key_of(rule, app.engine.expressions, name, wanted.input, metadata)
        if rule is not None
        else None,
    )


def _existing_children(app: Door, spawner: Spawner, news: Sequence[NewRun]) -> dict[str, RunRecord]:
    """The children that an earlier attempt spawned, or that another call gave the same key: they are not started again.

    DedupeViolationError where one is a run of another workflow. Only keys and later attempts can meet one: others cost no read.
    """
    again = spawner.record.tasks[spawner.task].ticket > 1 or spawner.context.attempt_number > 1
    asked = [new for new in news if again or (new.parent is not None and new.parent.key is not None)]
    if not asked:
        return {}
    found: dict[str, RunRecord] = {}
    for new, record in zip(asked, read_many(app.engine, [new.run_id or "" for new in asked]), strict=True):
        if record is None:
            continue
        if record.plan.workflow != new.plan.workflow:
            key = new.parent.key if new.parent is not None else None
            raise DedupeViolationError(
                f"DUPLICATE_WORKFLOW_RUN: child {key or 'at this place'!r} is a run of {record.plan.workflow}, "
                f"not of {new.plan.workflow}"
            )
        found[record.run_id] = record
    return found
