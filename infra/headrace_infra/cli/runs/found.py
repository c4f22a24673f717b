"""A run by its id, or by the first characters of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from headrace.core.run.ids import split_task_run_id
from headrace.core.run.record import RunRecord
from headrace.engine.runs.read import read
from headrace.errors import NotConfigured

if TYPE_CHECKING:
    from headrace.app import Headrace

SHORTEST_PREFIX = 4
ID_LENGTH = 36
LOOKED_AT = 1_000
"""Among how many of the newest runs a prefix is looked for."""


def record_of_run(app: Headrace, given: str) -> RunRecord:
    """The run of that id, or the only one whose id begins so. NotConfigured where there is none, or more than one."""
    run_id = split_task_run_id(given)[0]
    record = read(app.engine, run_id)
    if record is not None:
        return record
    if not SHORTEST_PREFIX <= len(run_id) < ID_LENGTH:
        raise NotConfigured(f"there is no run {given} in stack {app.settings.stack!r}")
    found = _beginning_with(app, run_id.lower())
    if len(found) > 1:
        raise NotConfigured(f"{len(found)} runs begin with {given}: {', '.join(found[:5])}")
    record = read(app.engine, found[0]) if found else None
    if record is None:
        raise NotConfigured(
            f"there is no run {given} in stack {app.settings.stack!r}, nor one among the newest {LOOKED_AT:,} whose id begins so"
        )
    return record


def _beginning_with(app: Headrace, prefix: str) -> list[str]:
    from itertools import islice

    from headrace.engine.runs.listing import Wanted, run_ids

    now_ms = app.engine.clock.now_ms()
    since = datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(days=app.settings.retention_days)
    wanted = Wanted(since_ms=int(since.timestamp() * 1000), until_ms=now_ms + 1)
    return [each for each in islice(run_ids(app.engine, wanted), LOOKED_AT) if each.startswith(prefix)]
