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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.core.run.plans.plan import RunPlan
from headrace.engine.catalog.workflows import encode_published
from headrace.errors import CompileError
from headrace.options.conditions import waits_for_events
from headrace.options.zones import called
from headrace_infra.compile_checks import (
    AppLike,
    check_cron_inputs,
    check_gates,
    check_homes,
    check_limits,
    check_names,
    check_zones,
    crosses_of,
    sends_of,
    tasks_for,
    tasks_on,
)
from headrace_infra.loading import AppBroken, check_app_path, load_app
from headrace_infra.template.alarms import alarms
from headrace_infra.template.bucket import bucket
from headrace_infra.template.clients import client_outputs, client_policies
from headrace_infra.template.functions.dashboard import dashboard_outputs, dashboard_resources
from headrace_infra.template.functions.events import EventsUse, events_resources
from headrace_infra.template.functions.schedules import catalog, clock_events
from headrace_infra.template.functions.webhooks import (
    webhooks_conditions,
    webhooks_outputs,
    webhooks_parameters,
    webhooks_resources,
)
from headrace_infra.template.functions.workers import (
    Source,
    clock_function,
    dead_letters_function,
    worker_function,
)
from headrace_infra.template.outputs import outputs
from headrace_infra.template.parameters import conditions, parameters
from headrace_infra.template.queues import queues
from headrace_infra.template.roles import opening
from headrace_infra.template.tables import table
from headrace_infra.template.unit import Unit, unit_of
from headrace_infra.template.zones import crossing, renamed, start_policies

__all__ = ["compile_app", "load_app", "main", "render", "units_of"]


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
    check_names(app.settings.stack, fleet, app._registry.next_queues)
    check_homes(fleet)
    check_cron_inputs(fleet)
    plans: list[RunPlan] = [workflow.plan() for workflow in app._served()]
    check_gates(plans)
    check_limits(app, plans)
    check_zones(fleet, plans)
    sends = sends_of(app, fleet, plans)
    crosses = crosses_of(fleet)
    return [
        unit_of(
            worker,
            tasks_on(worker.name, plans),
            runtime,
            tasks_for(worker, plans),
            sends[worker.name],
            crosses[worker.name],
            has_next=worker.name in app._registry.next_queues,
        )
        for worker in fleet
    ]


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
