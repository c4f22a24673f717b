"""`hatchet.filters`: which events start a workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.clients.asked import texts
from headrace.clients.naming import App, workflow_names
from headrace.clients.pages import span_of
from headrace.core.events.match import Filter
from headrace.core.run.ids import workflow_id as id_of
from headrace.engine.events import filters
from headrace.options.events import check_scope
from headrace.triggers.definition import found_here
from headrace.triggers.faces import aio
from headrace.values.codec import metadata_of
from headrace.values.expressions import check

if TYPE_CHECKING:
    from headrace.clients.models.events import V1Filter, V1FilterList, V1UpdateFilterRequest


class FiltersClient:
    """Filters of workflows. A change reaches events that are handled 5 seconds later, at the latest."""

    def __init__(self, app: App) -> None:
        self._app = app

    def create(
        self, workflow_id: str, expression: str, scope: str, payload: Mapping[str, Any] | None = None
    ) -> V1Filter:
        """Let events of `scope` for which the CEL `expression` is true start the workflow (an id or a name), one run each.

        `expression` sees `input`, `payload` (this filter's, which the run gets as `ctx.filter_payload`), `additional_metadata` and
        `event_key`. A filter that says the same is returned as it is. DefinitionError for a bad expression or no scope; ValueError
        where there is no such workflow.
        """
        [name] = workflow_names(self._app, [workflow_id])
        where = f"workflow {name}: filter"
        check(expression, f"{where}: expression")
        check_scope(scope, where)
        found_here(self._app, name, "a filter")
        now_ms = self._app.engine.clock.now_ms()
        new = Filter(
            filter_id=self._app.engine.ids.run_id(),
            workflow=name,
            expression=expression,
            scope=scope,
            payload=metadata_of(payload),
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        return self._shown(filters.create(self._app.engine, new))

    aio_create = aio(create)

    def list(
        self,
        limit: int | None = None,
        offset: int | None = None,
        workflow_ids: Sequence[str] | None = None,
        scopes: Sequence[str] | None = None,
    ) -> V1FilterList:
        """Filters by workflow, those that definitions declare among them. `limit` defaults to 50; None elsewhere means any."""
        from headrace.clients.models.events import V1FilterList
        from headrace.clients.models.resource import PaginationResponse

        names = workflow_names(self._app, texts(workflow_ids, "workflow_ids"))
        scopes = texts(scopes, "scopes")
        rows = [
            each
            for each in filters.all_filters(self._app.engine)
            if each.workflow.startswith(self._app.settings.prefix)
            and (not workflow_ids or each.workflow in names)
            and (not scopes or each.scope in scopes)
        ]
        first, size = span_of(offset, limit)
        current, pages = first // size + 1, max(1, -(-len(rows) // size))
        return V1FilterList(
            rows=[self._shown(each) for each in rows[first : first + size]],
            pagination=PaginationResponse(
                current_page=current, next_page=current + 1 if current < pages else None, num_pages=pages
            ),
        )

    aio_list = aio(list)

    def get(self, filter_id: str) -> V1Filter:
        """A filter. ValueError where there is none."""
        return self._shown(self._found(filter_id))

    aio_get = aio(get)

    def update(self, filter_id: str, updates: V1UpdateFilterRequest) -> V1Filter:
        """Change what of a created filter is given. ValueError where there is none, where it is declared, or where another says the same."""
        old = self._own(filter_id)
        where = f"workflow {old.workflow}: filter {filter_id}"
        if updates.expression is not None:
            check(updates.expression, f"{where}: expression")
        new = replace(
            old,
            expression=updates.expression if updates.expression is not None else old.expression,
            scope=check_scope(updates.scope, where) if updates.scope is not None else old.scope,
            payload=metadata_of(updates.payload) if updates.payload is not None else old.payload,
            updated_at_ms=self._app.engine.clock.now_ms(),
        )
        if not filters.update(self._app.engine, old, new):
            raise ValueError(f"{where}: another filter of the workflow says the same, or it was deleted")
        return self._shown(new)

    aio_update = aio(update)

    def delete(self, filter_id: str) -> V1Filter:
        """Delete a created filter; what it said. ValueError where there is none, or it is declared."""
        old = self._own(filter_id)
        filters.delete(self._app.engine, old)
        return self._shown(old)

    aio_delete = aio(delete)

    def _found(self, filter_id: str) -> Filter:
        found = next(
            (each for each in filters.all_filters(self._app.engine) if each.filter_id == filter_id), None
        )
        if found is None:
            raise ValueError(f"Filter {filter_id} not found")
        return found

    def _own(self, filter_id: str) -> Filter:
        found = self._found(filter_id)
        if found.declared:
            raise ValueError(
                f"filter {filter_id} of workflow {found.workflow} is declared by its code (default_filters): change it there"
            )
        return found

    def _shown(self, each: Filter) -> V1Filter:
        from headrace.clients.models.events import V1Filter
        from headrace.clients.models.resource import APIResourceMeta

        return V1Filter(
            metadata=APIResourceMeta(
                id=each.filter_id, created_at=_time(each.created_at_ms), updated_at=_time(each.updated_at_ms)
            ),
            tenant_id=self._app.settings.stack,
            workflow_id=id_of(each.workflow),
            workflow_name=each.workflow,
            scope=each.scope,
            expression=each.expression,
            payload=dict(each.payload),
            is_declarative=each.declared,
        )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
