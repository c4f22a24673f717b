"""From what a caller gave to runs: names, plans, metadata, children, keys, and the workers that their labels choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.core.record import ParentLink
from headrace.engine.joins import join_name, leaf_for, open_join
from headrace.engine.registry import lookup
from headrace.engine.results import read_many
from headrace.engine.trigger import NewRun, start, start_many
from headrace.errors import DedupeViolationError
from headrace.idempotency import key_of
from headrace.priority import check_priority
from headrace.serde import metadata_of
from headrace.spawning import Spawner, child_of, current, merged_metadata

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.core.plan import RunPlan
    from headrace.options import WorkflowRunTriggerConfig


def trigger(app: Headrace, items: Sequence[WorkflowRunTriggerConfig]) -> list[str]:
    """Start a run for each item; their ids in the order given. Inside a task they are its children."""
    spawner = current.get()
    first = spawner.take_indexes(len(items)) if spawner is not None else 0
    news = [_new_run(app, item, spawner, first, first + place) for place, item in enumerate(items)]
    if spawner is None:
        return _start(app, news)
    existing = _existing_children(app, spawner, news)
    missing = [new for new in news if new.run_id not in existing]
    if spawner.durable:
        _join(app, spawner, news, missing, first)
    if missing:
        _start(app, missing)
    return [new.run_id or "" for new in news]


def _start(app: Headrace, news: Sequence[NewRun]) -> list[str]:
    if len(news) == 1:
        return [start(app.engine, news[0]).run_id]
    return [record.run_id for record in start_many(app.engine, news, progress=app.bulk_progress)]


def _join(
    app: Headrace, spawner: Spawner, news: Sequence[NewRun], missing: Sequence[NewRun], first: int
) -> None:
    """The join of a durable task's children is there before any of them can end. Opening it twice is harmless."""
    root = join_name(spawner.record.run_id, spawner.task, first)
    spawner.joins.update({new.run_id or "": root for new in news})
    if missing:
        open_join(app.engine, spawner.record, spawner.task, range(first, first + len(news)), first=first)


def _new_run(
    app: Headrace, item: WorkflowRunTriggerConfig, spawner: Spawner | None, first: int, index: int
) -> NewRun:
    options = item.options
    name = app.settings.apply_namespace(item.workflow_name)
    workflow = app.workflows_by_name.get(name)
    config = workflow.config if workflow is not None else None
    metadata = merged_metadata(metadata_of(options.additional_metadata), spawner)
    priority = options.priority if options.priority is not None else config.default_priority if config else 1
    check_priority(priority, f"workflow {name}: priority")
    run_id: str | None = None
    parent: ParentLink | None = None
    if spawner is not None:
        join = leaf_for(spawner.record.run_id, spawner.task, first, index) if spawner.durable else None
        run_id, parent = child_of(spawner, index, options.child_key, join)
    return NewRun(
        plan=plan_to_run(app, name),
        input=item.input,
        metadata=metadata,
        priority=int(priority),
        parent=parent,
        run_id=run_id,
        idempotency=key_of(config.idempotency, app.engine.expressions, name, item.input, metadata)
        if config is not None and config.idempotency is not None
        else None,
    )


def plan_to_run(app: Headrace, name: str) -> RunPlan:
    """The plan of a workflow: the code's where this process knows its workers, else what the stack has registered.

    A process that triggers may import a workflow without the module that says which worker runs it.
    """
    workflow = app.workflows_by_name.get(name)
    if workflow is not None and app.knows_workers(workflow):
        return workflow.plan()
    known = app.registered_plans.get(name)
    if known is None:
        known = lookup(app.engine, name)
        if known is not None:
            app.registered_plans[name] = known
    if known is not None:
        return known
    if workflow is not None:
        return workflow.plan()
    raise ValueError(
        f"no workflow {name!r} is registered in stack {app.settings.stack!r}: is it deployed, or its worker started?"
    )


def _existing_children(app: Headrace, spawner: Spawner, news: Sequence[NewRun]) -> set[str]:
    """The children that an earlier attempt spawned, or that another call gave the same key: they are not started again.

    DedupeViolationError where one is a run of another workflow. Only keys and later attempts can meet one: others cost no read.
    """
    again = spawner.record.tasks[spawner.task].ticket > 1 or spawner.context.attempt_number > 1
    asked = [new for new in news if again or (new.parent is not None and new.parent.key is not None)]
    if not asked:
        return set()
    found: set[str] = set()
    for new, record in zip(asked, read_many(app.engine, [new.run_id or "" for new in asked]), strict=True):
        if record is None:
            continue
        if record.plan.workflow != new.plan.workflow:
            key = new.parent.key if new.parent is not None else None
            raise DedupeViolationError(
                f"DUPLICATE_WORKFLOW_RUN: child {key or 'at this place'!r} is a run of {record.plan.workflow}, "
                f"not of {new.plan.workflow}"
            )
        found.add(record.run_id)
    return found
