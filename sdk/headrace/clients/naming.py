"""Names and ids of workflows, as clients take them: namespaces, ids, plans by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from headrace.core.run.ids import workflow_id
from headrace.engine.catalog.workflows import lookup
from headrace.triggers.outcomes import Connected

if TYPE_CHECKING:
    from headrace.core.run.plan import RunPlan


class Planned(Protocol):
    """A workflow or standalone task, as far as clients look at one."""

    def plan(self) -> RunPlan: ...


class App(Connected, Protocol):
    """What the clients need of a Headrace app."""

    @property
    def workflows_by_name(self) -> Mapping[str, Planned]: ...


def namespaced(app: Connected, name: str, namespace: str | None = None) -> str:
    """The name with the namespace in front (`<namespace>_`, lower case), unless it is there already."""
    space = (namespace if namespace is not None else app.settings.namespace).lower()
    if not space:
        return name
    prefix = space if space.endswith("_") else f"{space}_"
    return name if name.startswith(prefix) else prefix + name


def workflow_name(app: App, given: str) -> str:
    """The workflow that an id or a name means: one of the app's own by its id, else by its name."""
    known = {workflow_id(name): name for name in app.workflows_by_name}
    return known.get(given) or namespaced(app, given)


def find_plan(app: App, name: str) -> RunPlan | None:
    """The plan of a workflow (namespaced name): the code's, where it is at hand, else what the stack registered."""
    found = app.workflows_by_name.get(name)
    return found.plan() if found is not None else lookup(app.engine, name)


def plan_of(app: App, name: str) -> RunPlan:
    """As `find_plan`. ValueError, which names the stack, where there is no such workflow."""
    plan = find_plan(app, name)
    if plan is None:
        raise ValueError(
            f"no workflow {name!r} is registered in stack {app.settings.stack!r}: its workers register it when they are "
            f"deployed and their clock has run once, or when they start; check the name, the namespace and the stack"
        )
    return plan
