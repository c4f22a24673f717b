"""What an app declares: workflows, workers, limits of rate limits; and what follows from them: which worker runs which task.

Apps whose workflows meet on one worker share one registry: a project may make a Hatchet() in each module.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from headrace.core.points import WORKER_GATE
from headrace.errors import DefinitionError
from headrace.options.durations import to_ms
from headrace.options.labels import Candidate, Choice, Seeker, assign
from headrace.options.zones import called

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.definitions.base import BaseWorkflow
    from headrace.definitions.task import Task
    from headrace.definitions.worker import Worker
    from headrace.engine.catalog.workflows import Published


class Registry:
    """Safe in any thread. What follows from the definitions is made once after each change of them."""

    def __init__(self, app: Headrace) -> None:
        self.apps: list[Headrace] = [app]
        self.workflows: dict[str, BaseWorkflow[Any, Any]] = {}
        self.workers: list[Worker] = []
        self.rate_limits: dict[str, tuple[int, int]] = {}
        """Static key of a rate limit -> its limit and its window in seconds: what the code says of it."""
        self._before: dict[str, BaseWorkflow[Any, Any]] = {}
        self._published: dict[str, Published] = {}
        self._choices: dict[str, dict[str, Choice]] = {}
        self._default_worker: Worker | None = None
        self._gate_limits: dict[str, int] | None = None
        self._next_queues: frozenset[str] | None = None
        self._lock = threading.RLock()

    # ---- declaring

    def add(self, workflow: BaseWorkflow[Any, Any]) -> None:
        """Take a workflow in. One that is defined again, in a notebook or by a reload, takes the place of the one before, on its
        workers too; DefinitionError where two functions have one name."""
        before = self.workflows.get(workflow.name)
        if before is not None and not _again(before, workflow):
            raise _two(workflow, before)
        self.workflows[workflow.name] = workflow
        if before is not None:
            self._before[workflow.name] = before
            for worker in self.workers:
                worker.workflows = [workflow if each is before else each for each in worker.workflows]
        self.changed()

    def add_worker(self, worker: Worker) -> None:
        """Take a worker in. One that is declared again with the same workflows takes the place of the one before; DefinitionError
        where two workers have one name."""
        before = next((each for each in self.workers if each.name == worker.name), None)
        if before is not None:
            served = {each.name for each in worker.workflows}
            if {each.name for each in before.workflows} - served:
                raise DefinitionError(f"two workers are named {worker.name!r}: give one of them another name")
            self.workers.remove(before)
        self.workers.append(worker)
        self.changed()

    def merge(self, other: Registry) -> None:
        """Take in what another app has declared. Of two workflows of one name, that on a worker stays; DefinitionError where both are."""
        for name, workflow in other.workflows.items():
            mine = self.workflows.get(name)
            if mine is None or other._on_a_worker(workflow):
                if mine is not None and self._on_a_worker(mine):
                    raise _two(workflow, mine)
                self.workflows[name] = workflow
        for worker in other.workers:
            self.add_worker(worker)
        self.rate_limits.update(other.rate_limits)
        self.apps += [app for app in other.apps if app not in self.apps]
        self.changed()

    def claim(self, workflow: BaseWorkflow[Any, Any], worker: Worker) -> None:
        """A worker runs the workflow: of two of its name it is the one that counts. DefinitionError where the other is on a worker."""
        known = self.workflows.get(workflow.name)
        if known is not None and known is not workflow:
            if self._on_a_worker(known) or known in worker.workflows:
                raise _two(workflow, known)
            self.workflows[workflow.name] = workflow
        _check_zone(workflow, worker, [each for each in self.workers if workflow in each.workflows])
        if workflow not in worker.workflows:
            worker.workflows.append(workflow)
        self.changed()

    def _on_a_worker(self, workflow: BaseWorkflow[Any, Any]) -> bool:
        return any(workflow in worker.workflows for worker in self.workers)

    def changed(self) -> None:
        """Forget what followed from the definitions before a task, workflow or worker was added."""
        with self._lock:
            self._published.clear()
            self._choices.clear()
            self._default_worker = None
            self._gate_limits = None
            self._next_queues = None

    # ---- what follows

    def served(self) -> list[BaseWorkflow[Any, Any]]:
        """The workflows that runs can be started of: those with a task, on a worker."""
        return [
            each
            for each in self.workflows.values()
            if each.tasks and (not self.workers or self._on_a_worker(each))
        ]

    def fleet(self) -> list[Worker]:
        """The declared workers; where none was declared, one named `default` with every workflow that has a task."""
        if self.workers:
            return list(self.workers)
        with self._lock:
            if self._default_worker is None:
                from headrace.definitions.worker import Worker

                worker = Worker(self.apps[0], "default")
                worker.workflows = self.served()
                self._default_worker = worker
            return [self._default_worker]

    def knows_workers(self, workflow: str) -> bool:
        """Whether this process knows which worker runs the workflow of that name."""
        known = self.workflows.get(workflow)
        return known is not None and self._on_a_worker(known)

    @property
    def has_zones(self) -> bool:
        return any(worker.zone for worker in self.workers)

    def zone_of(self, workflow: str) -> str | None:
        """The zone of the workers of the workflow of that name; None where this process does not know them."""
        known = self.workflows.get(workflow)
        zones = (worker.zone for worker in self.workers if known is not None and known in worker.workflows)
        return next(zones, None if self.workers else "")

    def published_of(self, workflow: BaseWorkflow[Any, Any]) -> Published:
        """The workflow as it is published. DefinitionError where another of its name was defined elsewhere."""
        with self._lock:
            found = self._published.get(workflow.name)
            if found is None:
                before = self._before.get(workflow.name)
                if before is not None and not _again(before, workflow):
                    raise _two(workflow, before)
                found = self._published[workflow.name] = workflow.build_published()
            return found

    def candidates(self, workflow: str) -> list[Candidate]:
        """The workers that register the workflow of that name, as far as this process knows."""
        known = self.workflows.get(workflow)
        return [worker.candidate for worker in self.fleet() if known in worker.workflows]

    def may_start(self, worker: str) -> frozenset[str] | None:
        """The names of the workflows that tasks on a worker may start; None: any."""
        return next((each.may_start for each in self.fleet() if each.name == worker), None)

    def choices_for(self, workflow: BaseWorkflow[Any, Any]) -> Mapping[str, Choice]:
        """The worker of each task, by what is declared: of those that registered its workflow, whose labels suit it best.
        DefinitionError where there is none."""
        with self._lock:
            found = self._choices.get(workflow.name)
            if found is None:
                found = self._choices[workflow.name] = self._choose(workflow)
            return found

    def _choose(self, workflow: BaseWorkflow[Any, Any]) -> dict[str, Choice]:
        candidates = self.candidates(workflow.name)
        if not candidates:
            home = workflow.app.settings.apply_namespace("default")
            return {task.name: Choice(home) for task in workflow.tasks}
        seekers = [_seeker(workflow, task) for task in workflow.tasks]
        return assign(seekers, candidates, sticky=str(workflow.config.sticky or ""))

    @property
    def gate_limits(self) -> Mapping[str, int]:
        """How many places the gates have, by name: those of the workflows and tasks declared here, and the workers' slots.

        They count above what runs carry, so a deployment changes them for the runs that are under way. Of what is not declared
        here, a run's own plan says it. Made once after each change: every admission asks.
        """
        found = self._gate_limits
        if found is None:
            with self._lock:
                found = self._gate_limits = dict(self._all_gates())
        return found

    @property
    def next_queues(self) -> frozenset[str]:
        """The workers that have a second queue: those with slots, and those with a task that a concurrency or rate limit may hold back.
        Made once after each change: every send asks."""
        found = self._next_queues
        if found is None:
            with self._lock:
                found = self._next_queues = frozenset(
                    worker.name
                    for worker in self.fleet()
                    if worker.slots is not None or any(map(_is_limited, worker.workflows))
                )
        return found

    def _all_gates(self) -> Iterator[tuple[str, int]]:
        for workflow in self.workflows.values():
            for gate in (*workflow.gates, *(gate for task in workflow.tasks for gate in task.gates)):
                yield gate.name, gate.max_runs
        for worker in self.workers:
            if worker.slots is not None:
                yield WORKER_GATE + worker.name, worker.slots


def _check_zone(workflow: BaseWorkflow[Any, Any], worker: Worker, others: list[Worker]) -> None:
    """DefinitionError where the runs of a workflow would be in two zones: each has a table of its own."""
    for other in others:
        if other.zone != worker.zone:
            raise DefinitionError(
                f"it is on worker {other.name} of {called(other.zone)} and on worker {worker.name} of {called(worker.zone)}, and a "
                "run is in the table of one zone: put it on workers of one zone, or declare a second workflow with the same function"
            )


def _is_limited(workflow: BaseWorkflow[Any, Any]) -> bool:
    plan = workflow.plan()
    return bool(plan.gates) or any(task.gates or task.rates for task in plan.tasks)


def _seeker(workflow: BaseWorkflow[Any, Any], task: Task[Any, Any]) -> Seeker:
    return Seeker(
        workflow=workflow.name,
        name=task.name,
        desired=task.desired_labels,
        execution_timeout_ms=to_ms(task.options.execution_timeout, task.where),
    )


def _again(before: BaseWorkflow[Any, Any], now: BaseWorkflow[Any, Any]) -> bool:
    """Whether a workflow is the one before, defined again: by its functions, as far as both have any yet."""
    if before.is_standalone is not now.is_standalone:
        return False
    ours, theirs = _origins(now), _origins(before)
    return not ours or not theirs or bool(ours & theirs)


def _origins(workflow: BaseWorkflow[Any, Any]) -> set[tuple[str, str]]:
    return {(task.fn.__module__, task.fn.__qualname__) for task in workflow.tasks}


def _two(workflow: BaseWorkflow[Any, Any], before: BaseWorkflow[Any, Any]) -> DefinitionError:
    places = [
        " and ".join(sorted(f"{module}.{name}" for module, name in _origins(each))[:2])
        for each in (before, workflow)
    ]
    return DefinitionError(
        f"two workflows are named {workflow.name!r}: give one of them name=... (the first is of {places[0]}, the second of {places[1]})"
    )
