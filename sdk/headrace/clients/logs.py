"""`hatchet.logs`: the lines that tasks logged."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from headrace.clients.asked import time_ms
from headrace.core.run.ids import checked_run_id, split_task_run_id
from headrace.engine.records.logs import MAX_LINES, LogLine, read_lines
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    from headrace.clients.models.logs import V1LogLine, V1LogLineList
    from headrace.triggers.results.outcomes import Connected


class LogsClient:
    """Log lines of task runs, as long as the run is retained."""

    def __init__(self, app: Connected) -> None:
        self._app = app

    def list(
        self,
        task_run_id: str,
        limit: int = MAX_LINES,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> V1LogLineList:
        """The lines of a task run, of all its attempts, oldest first. The id of a run gives the lines of all its tasks."""
        from headrace.clients.models.logs import V1LogLineList
        from headrace.clients.models.resource import PaginationResponse

        run_id, task = split_task_run_id(checked_run_id(task_run_id))
        lines = read_lines(
            self._app.engine,
            run_id,
            task=task,
            since_ms=time_ms(since, "since", None),
            until_ms=time_ms(until, "until", None),
            limit=limit,
        )
        return V1LogLineList(
            rows=[_line(line) for line in lines], pagination=PaginationResponse(current_page=1, num_pages=1)
        )

    aio_list = aio(list)


def _line(line: LogLine) -> V1LogLine:
    from headrace.clients.models.logs import V1LogLine
    from headrace.clients.models.resource import at
    from headrace.core.sealed import readable_text

    return V1LogLine(
        created_at=at(line.at_ms),
        message=readable_text(line.line),
        level=line.level,
        retry_count=line.retry_count,
        attempt=line.retry_count + 1,
        metadata={"task": line.task},
    )
