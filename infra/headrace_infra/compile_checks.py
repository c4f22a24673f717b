"""What an app must be before it is compiled: its names fit, its limits have one meaning, its workflows have one home."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from headrace.clients.admission.rate_limits import limit_not_declared, static_limits
from headrace.clients.inputs import faults_of
from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.errors import CompileError
from headrace.options.zones import called
from headrace.ports import NEXT
from headrace.settings.settings import home_of
from headrace.values.codec import input_text
from headrace_infra.template.reach import reach, ties
from headrace_infra.template.unit import logical_id

RESERVED_IDS = frozenset({"DeadLetters", "Clock", "Events", "Webhooks", "DashboardLook", "DashboardAct"})


class AppLike(Protocol):
    """What the compiler reads of an app."""

    @property
    def settings(self) -> Any: ...

    @property
    def codec(self) -> Any: ...

    @property
    def _registry(self) -> Any: ...

    @property
    def _workflows_by_name(self) -> Mapping[str, Any]: ...

    @property
    def _declared_rate_limits(self) -> Mapping[str, tuple[int, int]]: ...

    def _fleet(self) -> Sequence[Any]: ...

    def _served(self) -> Sequence[Any]: ...


def sends_of(app: AppLike, fleet: list[Any], plans: list[RunPlan]) -> dict[str, frozenset[str]]:
    """Which workers each may have to send to. CompileError where `starts` names what the app has not."""
    known = {plan.workflow for plan in plans}
    starts: dict[str, frozenset[str] | None] = {worker.name: worker.may_start for worker in fleet}
    for worker, names in starts.items():
        for name in sorted((names or frozenset()) - known):
            raise CompileError(
                f"worker {worker}: starts has {name!r}, which no worker of this app runs: it has the workflows {', '.join(sorted(known))}"
            )
    found: dict[str, frozenset[str]] = {}
    for zone in {worker.zone for worker in fleet}:
        own = [worker for worker in fleet if worker.zone == zone]
        registered = {worker.name: [workflow.name for workflow in worker.workflows] for worker in own}
        found |= reach(ties(registered, starts, plans))
    return found


def crosses_of(fleet: list[Any]) -> dict[str, frozenset[str]]:
    """Worker -> the workers of other zones whose runs it starts: those of the workflows that it names."""
    return {
        one.name: frozenset(
            other.name
            for other in fleet
            if other.zone != one.zone
            and any(workflow.name in (one.may_start or ()) for workflow in other.workflows)
        )
        for one in fleet
    }


def check_zones(fleet: list[Any], plans: list[RunPlan]) -> None:
    """No queue of the stack's own zone looks like one of another, and no rate limit is counted in two tables."""
    zones = {worker.zone for worker in fleet} - {""}
    for worker in fleet:
        like = [zone for zone in zones if worker.name == zone or worker.name.startswith(f"{zone}-")]
        if worker.zone == "" and like:
            raise CompileError(
                f"worker {worker.name!r} of the stack's own zone would have a queue that is named like those of zone {like[0]!r}: rename one"
            )
    zone_of = {workflow.name: worker.zone for worker in fleet for workflow in worker.workflows}
    seen: dict[str, tuple[str, str]] = {}
    for plan in plans:
        zone = zone_of.get(plan.workflow, "")
        for where, rate in static_limits([plan]):
            other, there = seen.setdefault(rate.key, (zone, where))
            if other == zone:
                continue
            raise CompileError(
                f"{where} and {there} take units of rate limit {rate.key!r}, and are in {called(zone)} and {called(other)}: each zone counts in its own table, so the limit would be exceeded. Give each zone a key of its own"
            )


def check_gates(plans: list[RunPlan]) -> None:
    """No two concurrency limits have one name: `a:b` may be a workflow, or task b of workflow a."""
    seen: dict[str, str] = {}
    for plan in plans:
        owners = [(f"workflow {plan.workflow}", plan.gates)]
        owners += [(f"task {task.name} of workflow {plan.workflow}", task.gates) for task in plan.tasks]
        for where, gates in owners:
            for gate in gates:
                if seen.setdefault(gate.name, where) != where:
                    raise CompileError(
                        f"the concurrency limits of {seen[gate.name]} and of {where} would be one: rename one"
                    )


def check_limits(app: AppLike, plans: list[RunPlan]) -> None:
    """Every static key of a rate limit has a limit, and one that admits its tasks."""
    for where, rate in static_limits(plans):
        if rate.key not in app._declared_rate_limits:
            raise CompileError(limit_not_declared(where, rate.key))
        limit, _ = app._declared_rate_limits[rate.key]
        if rate.units.isdigit() and int(rate.units) > limit:
            raise CompileError(
                f"{where} takes {rate.units} units of rate limit {rate.key!r}, which admits {limit} a window: it would never "
                "run. Give it fewer units, or put a higher limit"
            )


def tasks_for(worker: Any, plans: list[RunPlan]) -> list[TaskPlan]:
    """The tasks that runs may send to a worker: all of the workflows that it registers."""
    names = {workflow.name for workflow in worker.workflows}
    return [task for plan in plans if plan.workflow in names for task in plan.tasks]


def tasks_on(worker: str, plans: list[RunPlan]) -> list[tuple[str, TaskPlan]]:
    return [(plan.workflow, task) for plan in plans for task in plan.tasks if task.worker == worker]


LONGEST_QUEUE_NAME, LONGEST_FUNCTION_NAME = 80, 64
"""Characters (SQS and Lambda quotas)."""


def check_names(stack: str, fleet: list[Any], next_queues: Collection[str]) -> None:
    seen: dict[str, str] = {}
    for worker in fleet:
        name = worker.name
        longest, what = (
            (LONGEST_QUEUE_NAME, "queue") if worker.process else (LONGEST_FUNCTION_NAME, "function")
        )
        suffix = NEXT if worker.process and name in next_queues else ""
        longest -= len(suffix)
        home = home_of(stack, worker.zone)
        if len(f"{home}-{name}") > longest:
            raise CompileError(
                f"worker {name!r}: its {what} would be named {home}-{name}{suffix}, and AWS takes {longest + len(suffix)} characters: give the worker at "
                f"most {longest - len(home) - 1}"
            )
        found = logical_id(name)
        if found in RESERVED_IDS:
            raise CompileError(f"worker {name!r}: the template has a resource of that name: give another")
        if found in seen:
            raise CompileError(
                f"workers {seen[found]!r} and {name!r} would both be {found} in the template: rename one"
            )
        seen[found] = name
    for found, name in seen.items():
        other = seen.get(found + logical_id(NEXT))
        if other is not None and name in next_queues:
            raise CompileError(
                f"workers {name!r} and {other!r}: in the template, the second queue of {name} would be the queue of {other}: rename one"
            )


def check_homes(fleet: list[Any]) -> None:
    """Every workflow has a name that no other has."""
    homes: dict[str, Any] = {}
    for worker in fleet:
        for workflow in worker.workflows:
            other = homes.setdefault(workflow.name, workflow)
            if other is not workflow:
                raise CompileError(f"two workflows have the name {workflow.name!r}: rename one of them")


def check_cron_inputs(fleet: list[Any]) -> None:
    """Every workflow with crons takes the input that they start it with: else each of its ticks would fail."""
    for workflow in (each for worker in fleet for each in worker.workflows if each.crons):
        text = input_text(workflow.config.cron_input) or "{}"
        faults = faults_of([task.input_codec for task in workflow.tasks], text)
        if faults:
            raise CompileError(
                f"workflow {workflow.name}: its crons start it with an input that it does not take: {faults}. Give another one with cron_input="
            )


def left_out(app: AppLike) -> list[str]:
    """A sentence for each workflow of the app that no run can be started of: it is not deployed."""
    served = {workflow.name for workflow in app._served()}
    workers = ", ".join(worker.name for worker in app._fleet())
    return [
        f"workflow {name} has no task, so it is left out: add one with @{name}.task()"
        if not workflow.tasks
        else f"workflow {name} is on no worker, so it is left out, and nothing would run it: "
        f"add it to the workflows of a worker ({workers})"
        for name, workflow in app._workflows_by_name.items()
        if name not in served
    ]


def uncapped(app: AppLike) -> str | None:
    """A sentence on the workers whose functions may take every concurrent invocation of the account; None where there is none."""
    names = [
        worker.name
        for worker in app._fleet()
        if not worker.process
        and worker.options.maximum_concurrency is None
        and worker.options.reserved_concurrency is None
    ]
    if not names:
        return None
    which = f"worker {names[0]} has" if len(names) == 1 else f"workers {', '.join(names)} have"
    return (
        f"{which} no limit of concurrent invocations, and a backlog can take all that the account has (1,000 unless it was raised), "
        "so that other functions are throttled, the clock's among them: give maximum_concurrency=, or reserved_concurrency="
    )
