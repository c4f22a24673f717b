"""From what a caller gave to runs: names, plans, metadata, children, keys, and the workers that their labels choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headrace.core.run.record import ParentLink
from headrace.core.run.routing import AS_PLANNED, Routing
from headrace.core.waits.labels import decode_wishes, encode_wishes
from headrace.engine.catalog.workers import declared, live
from headrace.engine.catalog.workflows import lookup
from headrace.engine.runs.read import read_many
from headrace.engine.runs.start import NewRun, start, start_many
from headrace.engine.waits.kinds.children import leaf_for, open_join
from headrace.errors import DedupeViolationError, DefinitionError
from headrace.options.idempotency import key_of
from headrace.options.labels import (
    Candidate,
    Choice,
    DesiredWorkerLabel,
    Labels,
    Seeker,
    WorkerLabelComparator,
    assign,
    wishes_of,
)
from headrace.options.priority import check_priority
from headrace.triggers.children import Spawner, child_of, current, merged_metadata
from headrace.values.codec import metadata_of

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.core.run.plan import RunPlan
    from headrace.triggers.options import TriggerWorkflowOptions, WorkflowRunTriggerConfig


def trigger(app: Headrace, items: Sequence[WorkflowRunTriggerConfig]) -> list[str]:
    """Start a run for each item; their ids in the order given. Inside a task they are its children."""
    spawner = current.get()
    first = spawner.take_indexes(len(items)) if spawner is not None else 0
    routes = Routes(app, spawner)
    news = [_new_run(app, item, spawner, routes, first, first + place) for place, item in enumerate(items)]
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
    spawner.groups.update({new.run_id or "": first for new in news})
    if missing:
        open_join(app.engine, spawner.record, spawner.task, range(first, first + len(news)), first=first)


def _new_run(
    app: Headrace,
    item: WorkflowRunTriggerConfig,
    spawner: Spawner | None,
    routes: Routes,
    first: int,
    index: int,
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
    plan = plan_to_run(app, name)
    return NewRun(
        plan=plan,
        routing=routes.routing(plan, options),
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
            if not any(name in each.workflows for each in app.registered_workers):
                app.registered_workers = declared(app.engine)
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


# ---------------------------------------------------------------- workers


class Routes:
    """The workers of new runs, where they are not the plan's: for one call of `trigger`, so what is read is read once.

    A run that wishes for nothing, of a workflow whose wishes are met by what is declared, costs no read and no byte.
    """

    def __init__(self, app: Headrace, spawner: Spawner | None) -> None:
        self._app = app
        self._spawner = spawner
        self._made: dict[tuple[object, ...], Routing] = {}
        self._alive: list[tuple[str, Labels]] | None = None

    def routing(self, plan: RunPlan, options: TriggerWorkflowOptions) -> Routing:
        """What a run's record says of its workers. DefinitionError where one of its tasks can run nowhere."""
        wishes = wishes_of(options.desired_worker_label, f"workflow {plan.workflow}: desired_worker_labels")
        sticks = options.sticky and self._spawner is not None
        if not (wishes or sticks or options.desired_worker_id or _waits(self._app, plan.workflow)):
            return AS_PLANNED
        key = (plan.workflow, options.desired_worker_id, sticks, wishes)
        if key not in self._made:
            choices = self._choices(plan, options.desired_worker_id, wishes, sticks=sticks)
            self._made[key] = _routing(plan, choices)
        return self._made[key]

    def _choices(
        self, plan: RunPlan, worker: str | None, wishes: Sequence[DesiredWorkerLabel], *, sticks: bool
    ) -> dict[str, Choice]:
        candidates = _candidates(self._app, plan)
        own = {} if wishes or worker else _own_wishes(self._app, plan.workflow)
        seekers = [
            Seeker(
                workflow=plan.workflow,
                name=task.name,
                wishes=own.get(task.name, wishes),
                execution_timeout_ms=task.execution_timeout_ms,
            )
            for task in plan.tasks
        ]
        if worker is not None:
            return assign(seekers, [_named(worker, plan, seekers, candidates)], alive=self._live)
        if not sticks or self._spawner is None:
            return assign(seekers, candidates, sticky=plan.sticky, alive=self._live)
        parent = self._spawner
        try:
            home = parent.context.worker_id
            return assign(seekers, candidates, sticky=plan.sticky, home=home, alive=self._live)
        except DefinitionError as error:
            raise DefinitionError(
                f"{error} (the run is sticky to its parent, task {parent.task} of workflow {parent.record.plan.workflow})"
            ) from None

    def _live(self) -> Sequence[tuple[str, Labels]]:
        if self._alive is None:
            self._alive = [(each.worker, each.labels) for each in live(self._app.engine)]
        return self._alive


def _routing(plan: RunPlan, choices: Mapping[str, Choice]) -> Routing:
    """Choices as a record carries them: only what its plan does not say."""
    moved = {
        name: choice.worker for name, choice in choices.items() if choice.worker != plan.task(name).worker
    }
    waiting = {name: encode_wishes(choice.waits_for) for name, choice in choices.items() if choice.waits_for}
    return Routing(workers=moved, required_labels=waiting)


def _named(
    worker: str, plan: RunPlan, seekers: Sequence[Seeker], candidates: Sequence[Candidate]
) -> Candidate:
    """The worker that `desired_worker_id` names."""
    where = f"workflow {plan.workflow}: desired_worker_id is {worker!r}"
    chosen = next((each for each in candidates if each.name == worker), None)
    if chosen is None:
        names = ", ".join(each.name for each in candidates)
        raise DefinitionError(
            f"{where}, which is no worker that registers it: give the name of one that does ({names})"
        )
    for seeker in seekers:
        if not chosen.has_time(seeker) and any(each.has_time(seeker) for each in candidates):
            raise DefinitionError(
                f"{where}, whose function ends before the execution_timeout of task {seeker.name}, "
                f"{seeker.execution_timeout_ms / 1000:g} s: choose another worker or shorten it"
            )
    return chosen


def _knows(app: Headrace, name: str) -> bool:
    workflow = app.workflows_by_name.get(name)
    return workflow is not None and (app.knows_workers(workflow) or name not in app.registered_plans)


def _waits(app: Headrace, name: str) -> bool:
    """Whether the definition has a required wish that only some processes may meet."""
    if _knows(app, name):
        return any(choice.waits_for for choice in app.choices_for(app.workflows_by_name[name]).values())
    return any(each.workflows.get(name) for each in app.registered_workers)


def _own_wishes(app: Headrace, name: str) -> Mapping[str, Sequence[DesiredWorkerLabel]]:
    """The definition's wishes, by task: from the code, or those that were published without it."""
    workflow = app.workflows_by_name.get(name)
    if workflow is not None:
        return {task.name: task.wishes for task in workflow.tasks}
    published = {
        t: text for each in app.registered_workers for t, text in each.workflows.get(name, {}).items()
    }
    return {
        task: [
            DesiredWorkerLabel(key=key, value=value, required=True, comparator=WorkerLabelComparator(code))
            for key, code, value in decode_wishes(text)
        ]
        for task, text in published.items()
    }


def _candidates(app: Headrace, plan: RunPlan) -> list[Candidate]:
    """The workers that register a workflow: declared here, or published; else those of its plan, whose labels nobody told."""
    if _knows(app, plan.workflow):
        return app.candidates(app.workflows_by_name[plan.workflow])
    published = [
        Candidate(name=each.worker, labels=each.labels, process=each.process, longest_ms=each.longest_ms)
        for each in app.registered_workers
        if plan.workflow in each.workflows
    ]
    names = dict.fromkeys(task.worker for task in plan.tasks)
    return published or [Candidate(name=name, labels={}, known=False) for name in names]
