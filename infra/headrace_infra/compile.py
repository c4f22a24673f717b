"""An app as a SAM template.

`compile_app` gives the template as plain data, `render` gives its text. What cannot work on AWS is refused with a
CompileError that names the workflow, the task, the value and what to do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os.path
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from headrace.clients.rate_limits import nobody_sets, static_limits
from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.engine.catalog.workflows import encode_published
from headrace.errors import CompileError
from headrace.options.conditions import waits_for_events
from headrace.options.zones import called
from headrace.ports import NEXT
from headrace.settings.settings import home_of
from headrace_infra.loading import AppBroken, check_app_path, load_app
from headrace_infra.template.alarms import alarms
from headrace_infra.template.bucket import bucket
from headrace_infra.template.clients import client_outputs, client_policies
from headrace_infra.template.dashboard import dashboard_outputs, dashboard_resources
from headrace_infra.template.events import EventsUse, events_resources
from headrace_infra.template.functions import Source, clock_function, dead_letters_function, worker_function
from headrace_infra.template.outputs import outputs
from headrace_infra.template.parameters import conditions, parameters
from headrace_infra.template.queues import queues
from headrace_infra.template.reach import reach, ties
from headrace_infra.template.roles import opening
from headrace_infra.template.schedules import catalog, clock_events
from headrace_infra.template.tables import table
from headrace_infra.template.unit import Unit, logical_id, unit_of
from headrace_infra.template.webhooks import (
    webhooks_conditions,
    webhooks_outputs,
    webhooks_parameters,
    webhooks_resources,
)
from headrace_infra.template.zones import crossing, renamed, start_policies

__all__ = ["compile_app", "load_app", "main", "render", "units_of"]

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


def compile_app(
    app: AppLike,
    *,
    app_path: str,
    code_uri: str = ".",
    runtime: str | None = None,
    dashboard: bool = False,
    ephemeral: bool = False,
    one_table: bool = False,
) -> dict[str, Any]:
    """The SAM template of an app.

    app_path: the app as module:attribute, which the functions import. code_uri: the folder that `sam build` packs, as seen
    from the template. runtime: such as "python3.12", for workers that name none; default: the Python that compiles. dashboard: with its two functions.
    ephemeral: for stacks that come and go: the table and the bucket go with them, with neither protection nor backups.
    one_table: for local stacks, which have all zones in one table.
    CompileError where the app cannot be deployed.
    """
    check_app_path(app_path)
    units = units_of(app, runtime)
    given = parameters(app.settings.retention_days, ephemeral=ephemeral)
    given |= webhooks_parameters() if _has_webhooks(app) else {}
    resources: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for zone in [""] if one_table else sorted({unit.zone for unit in units}):
        part = app if one_table else Zone(app, zone)
        own = [unit for unit in units if one_table or unit.zone == zone]
        source = _source(part, zone, app_path=app_path, code_uri=code_uri)
        found = _resources(part, own, source, dashboard=dashboard, ephemeral=ephemeral)
        _add(resources, renamed(found, zone, given), zone)
        named |= renamed(_outputs(part, own, dashboard=dashboard), zone, given)
    if not one_table:
        policies, outputs_of_policies = start_policies(units)
        resources = crossing(resources, units) | policies
        named |= outputs_of_policies
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": f"Headrace: the tasks of {app_path} on SQS, Lambda and DynamoDB",
        "Parameters": given,
        "Conditions": {**conditions(), **(webhooks_conditions() if _has_webhooks(app) else {})},
        "Resources": opening(resources, sorted(getattr(app.codec, "kms_keys", ()))),
        "Outputs": named,
    }


@dataclass(frozen=True, slots=True)
class Zone:
    """The part of an app whose workers are in one zone."""

    app: AppLike
    zone: str

    @property
    def settings(self) -> Any:
        return self.app.settings

    @property
    def codec(self) -> Any:
        return self.app.codec

    @property
    def _registry(self) -> Any:
        return self.app._registry

    @property
    def _workflows_by_name(self) -> Mapping[str, Any]:
        return self.app._workflows_by_name

    @property
    def _declared_rate_limits(self) -> Mapping[str, tuple[int, int]]:
        return self.app._declared_rate_limits

    def _fleet(self) -> Sequence[Any]:
        return [worker for worker in self.app._fleet() if worker.zone == self.zone]

    def _served(self) -> Sequence[Any]:
        return [
            each for each in self.app._served() if self.app._registry.zone_of(each.name) in (self.zone, None)
        ]


def _source(app: AppLike, zone: str, *, app_path: str, code_uri: str) -> Source:
    return Source(
        code_uri=code_uri,
        app=app_path,
        namespace=app.settings.namespace,
        zone=zone,
        events=events_use(app) is not None,
        max_crashes=app.settings.max_crashes,
        sealed=app.codec is not None,
    )


def _resources(
    app: AppLike, units: list[Unit], source: Source, *, dashboard: bool, ephemeral: bool
) -> dict[str, Any]:
    events = events_use(app)
    return {
        **table(ephemeral=ephemeral),
        **bucket(ephemeral=ephemeral),
        **queues(units),
        **_merged(worker_function(unit, units, source) for unit in units),
        **dead_letters_function(units, source),
        **clock_function(units, source, clock_events()),
        **catalog(catalog_version(app)),
        **events_resources(events, units, source),
        **(webhooks_resources(units, source) if _has_webhooks(app) else {}),
        **(dashboard_resources(units, source) if dashboard else {}),
        **client_policies(units, events=events is not None),
        **alarms(units, events=events is not None),
    }


def _outputs(app: AppLike, units: list[Unit], *, dashboard: bool) -> dict[str, Any]:
    return {
        **outputs(units, events=events_use(app) is not None),
        **client_outputs(units),
        **(webhooks_outputs() if _has_webhooks(app) else {}),
        **(dashboard_outputs() if dashboard else {}),
    }


def _add(resources: dict[str, Any], more: Mapping[str, Any], zone: str) -> None:
    """CompileError where a worker's name and a zone's make the same resource."""
    for name in more:
        if name in resources:
            raise CompileError(
                f"{called(zone)}: its resource {name} is in the template already, for a worker of another zone: rename the zone or the worker"
            )
    resources.update(more)


def catalog_version(app: AppLike) -> str:
    """A short hash of what the app publishes."""
    published = [workflow.publishable() for workflow in app._served()]
    texts = [
        *(json.dumps(encode_published(each), sort_keys=True) for each in published),
        *(repr(worker.declared()) for worker in app._fleet()),
        repr(sorted(app._declared_rate_limits.items())),
    ]
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:12]


def units_of(app: AppLike, runtime: str | None = None) -> list[Unit]:
    """The workers of an app as units of deployment, checked. CompileError where they cannot be deployed."""
    fleet = list(app._fleet())
    if not fleet or not app._served():
        raise CompileError("the app has no workflow: declare one with @hatchet.task or hatchet.workflow")
    _check_names(app.settings.stack, fleet, app._registry.next_queues)
    _check_homes(fleet)
    plans: list[RunPlan] = [workflow.plan() for workflow in app._served()]
    _check_gates(plans)
    _check_limits(app, plans)
    _check_zones(fleet, plans)
    sends = _sends(app, fleet, plans)
    crosses = _crosses(fleet)
    return [
        unit_of(
            worker,
            _tasks_on(worker.name, plans),
            runtime,
            _tasks_for(worker, plans),
            sends[worker.name],
            crosses[worker.name],
            has_next=worker.name in app._registry.next_queues,
        )
        for worker in fleet
    ]


def _sends(app: AppLike, fleet: list[Any], plans: list[RunPlan]) -> dict[str, frozenset[str]]:
    """Which workers each may have to send to. CompileError where `starts` names what the app has not."""
    known = {plan.workflow for plan in plans}
    starts: dict[str, frozenset[str] | None] = {worker.name: worker.options.may_start for worker in fleet}
    for worker, names in starts.items():
        for name in sorted((names or frozenset()) - known):
            raise CompileError(
                f"worker {worker}: starts has {name!r}, which is no workflow of a worker of this app: it has {', '.join(sorted(known))}"
            )
    found: dict[str, frozenset[str]] = {}
    for zone in {worker.zone for worker in fleet}:
        own = [worker for worker in fleet if worker.zone == zone]
        registered = {worker.name: [workflow.name for workflow in worker.workflows] for worker in own}
        found |= reach(ties(registered, starts, plans))
    return found


def _crosses(fleet: list[Any]) -> dict[str, frozenset[str]]:
    """Worker -> the workers of other zones whose runs it starts: those of the workflows that it names."""
    return {
        one.name: frozenset(
            other.name
            for other in fleet
            if other.zone != one.zone
            and any(workflow.name in (one.options.may_start or ()) for workflow in other.workflows)
        )
        for one in fleet
    }


def _check_zones(fleet: list[Any], plans: list[RunPlan]) -> None:
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


def events_use(app: AppLike) -> EventsUse | None:
    """What the app uses of events; None: it starts no workflow by them and waits for none."""
    patterns = [(worker.name, pattern) for worker in app._fleet() for pattern in worker.event_patterns]
    if patterns or _has_webhooks(app) or any(_uses_events(workflow) for workflow in app._served()):
        return EventsUse(patterns=patterns)
    return None


def _has_webhooks(app: AppLike) -> bool:
    return any(worker.webhooks for worker in app._fleet())


def _uses_events(workflow: Any) -> bool:
    """A durable task may wait for events wherever its code does, so every one counts."""
    return bool(workflow.on_events) or any(
        task.is_durable or waits_for_events(task.options) for task in workflow.tasks
    )


def _check_gates(plans: list[RunPlan]) -> None:
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


def _check_limits(app: AppLike, plans: list[RunPlan]) -> None:
    """Every static key of a rate limit has a limit, and one that admits its tasks."""
    for where, rate in static_limits(plans):
        if rate.key not in app._declared_rate_limits:
            raise CompileError(nobody_sets(where, rate.key))
        limit, _ = app._declared_rate_limits[rate.key]
        if rate.units.isdigit() and int(rate.units) > limit:
            raise CompileError(
                f"{where} takes {rate.units} units of rate limit {rate.key!r}, which admits {limit} a window: it would never "
                "run. Give it fewer units, or put a higher limit"
            )


def _tasks_for(worker: Any, plans: list[RunPlan]) -> list[TaskPlan]:
    """The tasks that runs may send to a worker: all of the workflows that it registers."""
    names = {workflow.name for workflow in worker.workflows}
    return [task for plan in plans if plan.workflow in names for task in plan.tasks]


def _tasks_on(worker: str, plans: list[RunPlan]) -> list[tuple[str, TaskPlan]]:
    return [(plan.workflow, task) for plan in plans for task in plan.tasks if task.worker == worker]


LONGEST_QUEUE_NAME, LONGEST_FUNCTION_NAME = 80, 64
"""Characters (SQS and Lambda quotas)."""


def _check_names(stack: str, fleet: list[Any], next_queues: Collection[str]) -> None:
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


def _check_homes(fleet: list[Any]) -> None:
    """Every workflow has a name that no other has."""
    homes: dict[str, Any] = {}
    for worker in fleet:
        for workflow in worker.workflows:
            other = homes.setdefault(workflow.name, workflow)
            if other is not workflow:
                raise CompileError(f"two workflows have the name {workflow.name!r}: rename one of them")


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


def _merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: block for part in parts for name, block in part.items()}


def render(template: dict[str, Any], *, app_path: str) -> str:
    """The text of template.yaml. ImportError, which says what to install, where PyYAML is missing."""
    try:
        from headrace_infra.template import rendering  # local stacks need no text, and no PyYAML
    except ImportError as error:
        raise ImportError("a template is written with PyYAML: pip install 'headrace[cli]'") from error
    return rendering.render(template, app_path=app_path)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m headrace_infra.compile app:hatchet --folder examples -o template.yaml`."""
    parser = argparse.ArgumentParser(prog="headrace compile", description="Compile an app to a SAM template.")
    parser.add_argument("app", help="the app as module:attribute")
    parser.add_argument("--folder", type=Path, default=Path(), help="folder of the app; default: this one")
    parser.add_argument("-o", "--output", type=Path, default=Path("template.yaml"), help="the file to write")
    parser.add_argument("--runtime", help="such as python3.12; default: that of this Python")
    given = parser.parse_args(arguments)
    try:
        write_template(given.app, given.folder, given.output, runtime=given.runtime)
    except (CompileError, AppBroken) as error:
        parser.exit(1, f"{error}\n")
    return 0


def write_template(app_path: str, folder: Path, output: Path, *, runtime: str | None = None) -> None:
    """Compile the app in `folder` into the file `output`."""
    code_uri = relative(folder, output)
    template = compile_app(load_app(app_path, folder), app_path=app_path, code_uri=code_uri, runtime=runtime)
    output.write_text(render(template, app_path=app_path))


def relative(folder: Path, output: Path) -> str:
    """The folder as CodeUri, seen from the template's own."""
    return Path(os.path.relpath(folder.resolve(), output.resolve().parent)).as_posix()


if __name__ == "__main__":
    sys.exit(main())
