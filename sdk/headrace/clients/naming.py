"""Names and ids of workflows, as clients take them: namespaces, ids, plans by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from headrace.core.run.ids import workflow_id
from headrace.engine.catalog.workflows import all_published, published
from headrace.triggers.definition import Door, no_such_workflow
from headrace.triggers.results.outcomes import Connected

if TYPE_CHECKING:
    from headrace.core.run.plans.plan import RunPlan


class App(Door, Protocol):
    """What the clients need of a Headrace app."""


def namespaced(app: Connected, name: str, namespace: str | None = None) -> str:
    """The name with the namespace in front (`<namespace>_`, lower case), unless it is there already."""
    return app.settings.apply_namespace(name, namespace)


def workflow_name(app: App, given: str) -> str:
    """The workflow that an id or a name means: one of the app's own by its id, else by its name."""
    known = {workflow_id(name): name for name in app._workflows_by_name}
    return known.get(given) or namespaced(app, given)


def workflow_names(app: App, given: Iterable[str]) -> set[str]:
    """As `workflow_name`, for several, and for ids of workflows that only the stack knows: a query where there is one."""
    names = {each: workflow_name(app, each) for each in given}
    unknown = [each for each, name in names.items() if name not in app._workflows_by_name]
    if unknown:
        published_ids = {workflow_id(name): name for name in all_published(app.engine)}
        names |= {each: published_ids[each] for each in unknown if each in published_ids}
    return set(names.values())


def find_plan(app: App, name: str) -> RunPlan | None:
    """The plan of a workflow (namespaced name): the code's, where it is at hand, else what the stack has published."""
    found = app._workflows_by_name.get(name)
    if found is not None:
        return found.plan()
    known = published(app.engine, name)
    return known.plan if known is not None else None


def plan_of(app: App, name: str) -> RunPlan:
    """As `find_plan`. ValueError, which names the stack, where there is no such workflow."""
    plan = find_plan(app, name)
    if plan is None:
        raise ValueError(no_such_workflow(app, name))
    return plan
