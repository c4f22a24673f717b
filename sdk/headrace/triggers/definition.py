"""The definition that a start goes by: the code's, where this process knows its workers, else what the stack has published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from headrace.engine.catalog.workflows import Published, published
from headrace.triggers.outcomes import Connected

if TYPE_CHECKING:
    from headrace.core.run.plan import RunPlan
    from headrace.options.labels import Candidate


class Definition(Protocol):
    """A workflow or standalone task, as far as starting one goes."""

    @property
    def tasks(self) -> Sequence[Any]: ...

    def plan(self) -> RunPlan: ...

    def published(self) -> Published: ...


class Door(Connected, Protocol):
    """An app, as far as starting runs goes. One without definitions goes by what is published."""

    @property
    def workflows_by_name(self) -> Mapping[str, Definition]: ...

    @property
    def bulk_progress(self) -> Callable[[int], None] | None: ...

    def knows_workers(self, workflow: str) -> bool: ...

    def candidates(self, workflow: str) -> list[Candidate]: ...


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
    workflow = app.workflows_by_name.get(name)
    if workflow is not None and app.knows_workers(name):
        return Found(published=workflow.published(), from_code=True)
    known = published(app.engine, name)
    if known is not None:
        return Found(published=known, from_code=False)
    return Found(published=workflow.published(), from_code=True) if workflow is not None else None


def found_or_raise(app: Door, name: str) -> Found:
    """As `find`. ValueError, which names the workflow and the stack, where there is none."""
    found = find(app, name)
    if found is None:
        raise ValueError(
            f"no workflow {name!r} is registered in stack {app.settings.stack!r}: its workers register it when they are "
            f"deployed and their clock has run once, or when they start; check the name, the namespace and the stack"
        )
    return found
