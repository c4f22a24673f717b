"""The definition that a start goes by: the code's, where this process knows its workers, else what the stack has published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headrace.core.values import dataclass
from headrace.engine.catalog.workflows import Published, all_published, published
from headrace.errors import ZoneError
from headrace.options.zones import called
from headrace.triggers.children import current
from headrace.triggers.results.outcomes import Connected

if TYPE_CHECKING:
    from headrace.core.run.plans.plan import RunPlan
    from headrace.options.labels import Candidate


class Definition(Protocol):
    """A workflow or standalone task, as far as starting one goes."""

    @property
    def tasks(self) -> Sequence[Any]: ...

    def plan(self) -> RunPlan: ...

    def published(self) -> Published: ...

    def input_schema(self) -> str | None: ...


class Door(Connected, Protocol):
    """An app, as far as starting runs goes. One without definitions goes by what is published."""

    @property
    def _workflows_by_name(self) -> Mapping[str, Definition]: ...

    @property
    def _bulk_progress(self) -> Callable[[int], None] | None: ...

    def _knows_workers(self, workflow: str) -> bool: ...

    def _candidates(self, workflow: str) -> list[Candidate]: ...

    def _zone_of(self, workflow: str) -> str | None: ...

    def _may_start(self, worker: str) -> frozenset[str] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A definition, and whether it is this process's own."""

    published: Published
    from_code: bool


def find(app: Door, name: str) -> Found | None:
    """The definition of a workflow by its name in full; None where there is none.

    A process that triggers may import a workflow without the module that says which worker runs it: then the published one counts,
    and the code's only where nothing was published.
    """
    workflow = app._workflows_by_name.get(name)
    if workflow is not None and app._knows_workers(name):
        return Found(published=workflow.published(), from_code=True)
    known = published(app.engine, name)
    if known is not None:
        return Found(published=known, from_code=False)
    return Found(published=workflow.published(), from_code=True) if workflow is not None else None


def found_or_raise(app: Door, name: str) -> Found:
    """As `find`. ValueError, which names the workflow and the stack, where there is none."""
    found = find(app, name)
    if found is None:
        raise ValueError(no_such_workflow(app, name))
    return found


def zone_here(app: Door) -> str:
    """The zone of the task whose code asks; outside of tasks: of this process."""
    spawner = current.get()
    zone = app._zone_of(spawner.record.plan.workflow) if spawner is not None else None
    return app.settings.zone if zone is None else zone


def found_here(app: Door, name: str, what: str) -> Found:
    """As `found_or_raise`. ZoneError where the workflow is in another zone, and `what` would be done in this one."""
    found = found_or_raise(app, name)
    zone, here = found.published.zone, zone_here(app)
    if zone != here:
        how = f"with HEADRACE_ZONE={zone}" if zone else "without HEADRACE_ZONE"
        raise ZoneError(
            f"{what} of workflow {name}: it is in {called(zone)}, and this is {called(here)}: do it there, {how}"
        )
    return found


def no_such_workflow(app: Door, name: str) -> str:
    """That there is no workflow of that name (in full), which there are, and which may have been meant."""
    known = {*app._workflows_by_name, *all_published(app.engine)}
    text = f"no workflow {name!r} is registered in stack {app.settings.stack!r}: "
    if not known:
        return text + (
            "it has none yet. A deployment registers its workflows within a minute, a worker when it starts; "
            "check the name of the stack"
        )
    return text + no_such(name, known)


SHOWN = 10
"""How many names an error lists."""


def no_such(name: str, known: Iterable[str]) -> str:
    """`did you mean 'greet'? There are greet, morning`: the rest of a sentence about a name that is not known."""
    import difflib

    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    listed = f"it has {', '.join(names[:SHOWN])}{more}"
    return f"did you mean {close[0]!r}? {listed[0].upper()}{listed[1:]}" if close else listed
