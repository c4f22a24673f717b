"""Records and plans in a line, for the tables."""

from __future__ import annotations

from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.core.run.record import Payload, RunRecord, TaskRow, TaskStatus

T0 = 1_700_000_000_000


def plan(*tasks: TaskPlan, workflow: str = "flow") -> RunPlan:
    return RunPlan(workflow=workflow, version="1", tasks=tasks)


def task(name: str, *parents: str, **options: object) -> TaskPlan:
    return TaskPlan(name=name, parents=parents, **options)  # type: ignore[arg-type]  # options are TaskPlan's fields


def record(of: RunPlan, **rows: TaskRow | TaskStatus) -> RunRecord:
    """A run of `of` with those rows; a bare status stands for a row of that status."""
    known = {
        name: row
        if isinstance(row, TaskRow)
        else TaskRow(status=row, started_at_ms=T0, finished_at_ms=T0 + 1)
        for name, row in rows.items()
    }
    return RunRecord(
        run_id="r1", plan=of, input=Payload(), created_at_ms=T0, expires_at_s=T0 // 1000 + 9, tasks=known
    )
