"""The workers of a new run's tasks, where they are not the plan's: by labels, by `desired_worker_id`, or its parent's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headrace.core.labels import (
    DesiredWorkerLabel,
    Labels,
    WorkerLabelComparator,
    decode_required,
    encode_required,
)
from headrace.core.run.routing import AS_PLANNED, Routing
from headrace.engine.catalog.workers import declared, live
from headrace.errors import DefinitionError
from headrace.options.labels import Candidate, Choice, Seeker, assign

if TYPE_CHECKING:
    from headrace.core.run.plans.plan import RunPlan
    from headrace.core.run.request import StartOptions
    from headrace.triggers.children import Spawner
    from headrace.triggers.definition import Door, Found


class Placement:
    """The workers of new runs, where they are not the plan's: for one call of `start`, so what is read is read once.

    A run that desires no labels, of a workflow whose labels are met by what is declared, costs no read and no byte.
    """

    def __init__(self, app: Door, spawner: Spawner | None) -> None:
        self._app = app
        self._spawner = spawner
        self._made: dict[tuple[object, ...], Routing] = {}
        self._alive: list[tuple[str, Labels]] | None = None

    def without_live_workers(self) -> None:
        """Take no process as alive: those of another zone are not known here. A task that requires labels waits for them there."""
        self._alive = []

    def routing(self, found: Found, options: StartOptions) -> Routing:
        """What a run's record says of its workers. DefinitionError where one of its tasks can run nowhere."""
        desired = options.desired_worker_labels
        sticks = options.sticky and self._spawner is not None
        if not (desired or sticks or options.desired_worker_id or found.published.waits):
            return AS_PLANNED
        key = (found.published.name, options.desired_worker_id, sticks, desired)
        if key not in self._made:
            choices = self._choices(found, options.desired_worker_id, desired, sticks=sticks)
            self._made[key] = _routing(found.published.plan, choices)
        return self._made[key]

    def _choices(
        self, found: Found, worker: str | None, desired: Sequence[DesiredWorkerLabel], *, sticks: bool
    ) -> dict[str, Choice]:
        plan = found.published.plan
        candidates = _candidates(self._app, found)
        own = {} if desired or worker else _own_labels(self._app, found)
        seekers = [
            Seeker(
                workflow=plan.workflow,
                name=task.name,
                desired=own.get(task.name, desired),
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
    waiting = {
        name: encode_required(choice.waits_for) for name, choice in choices.items() if choice.waits_for
    }
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
            f"{where}, which does not register it: give the name of a worker that does ({names})"
        )
    for seeker in seekers:
        if not chosen.has_time(seeker) and any(each.has_time(seeker) for each in candidates):
            raise DefinitionError(
                f"{where}, whose function ends before the execution_timeout of task {seeker.name}, "
                f"{seeker.execution_timeout_ms / 1000:g} s: choose another worker or shorten it"
            )
    return chosen


def _own_labels(app: Door, found: Found) -> Mapping[str, Sequence[DesiredWorkerLabel]]:
    """The definition's desired labels, by task: from the code, or the required ones that were published without it."""
    workflow = app._workflows_by_name.get(found.published.name)
    if workflow is not None:
        return {task.name: task.desired_labels for task in workflow.tasks}
    return {
        task: [
            DesiredWorkerLabel(key=key, value=value, required=True, comparator=WorkerLabelComparator(code))
            for key, code, value in decode_required(text)
        ]
        for task, text in found.published.waits.items()
    }


def _candidates(app: Door, found: Found) -> list[Candidate]:
    """The workers that register a workflow: declared here, or published; else those of its plan, whose labels are not known."""
    plan = found.published.plan
    if found.from_code:
        return app._candidates(plan.workflow)
    published = [
        Candidate(name=each.worker, labels=each.labels, process=each.process, longest_ms=each.longest_ms)
        for each in declared(app.engine)
        if plan.workflow in each.workflows
    ]
    names = dict.fromkeys(task.worker for task in plan.tasks)
    return published or [Candidate(name=name, labels={}, known=False) for name in names]
