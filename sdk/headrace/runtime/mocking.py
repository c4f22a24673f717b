"""The context of `mock_run`: every helper works, and nothing leaves the process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from headrace.context.context import Context
from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.core.run.record import Payload, RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.fence import Attempt
from headrace.engine.attempts.ports import DurableLog, Work
from headrace.values.codec import metadata_of

if TYPE_CHECKING:
    from headrace.definitions.task import Task

MOCK_RUN_ID = "00000000-0000-4000-8000-000000000000"


class MockControl:
    """Keeps what a task asks for: lines, chunks, extensions, whether it cancelled itself."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.chunks: list[str | bytes] = []
        self.extended_s = 0.0
        self._cancelled = False

    def remaining_s(self) -> float:
        return 3_600.0

    def refresh_timeout(self, seconds: float) -> None:
        self.extended_s += seconds

    def is_cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, callback: Callable[[], None]) -> None:
        pass

    def cancel(self) -> None:
        self._cancelled = True

    def release_slot(self) -> None:
        pass

    def log(self, line: str, *, level: str = "INFO") -> None:
        self.lines.append(line)

    def put_stream(self, chunk: str | bytes) -> None:
        self.chunks.append(chunk)


def mock_context(
    task: Task[Any, Any],
    metadata: Mapping[str, Any] | None,
    parent_outputs: Mapping[str, Mapping[str, Any]] | None,
    retry_count: int,
    lifespan: Any,
) -> Context:
    """A context for one call of a task's function."""
    now_ms = time.time_ns() // 1_000_000
    outputs = {name: json.dumps(output) for name, output in (parent_outputs or {}).items()}
    plan = task.plan("mock", count())
    others = [TaskPlan(name=name) for name in plan.parents if name != plan.name]
    record = RunRecord(
        run_id=MOCK_RUN_ID,
        plan=RunPlan(workflow=task.workflow, version="mock", tasks=(*others, plan), standalone=not others),
        input=Payload(),
        metadata=metadata_of(metadata),
        created_at_ms=now_ms,
        expires_at_s=now_ms // 1000 + 3600,
        tasks={
            **{name: TaskRow(status=TaskStatus.COMPLETED) for name in outputs},
            task.name: TaskRow(
                status=TaskStatus.RUNNING,
                retry_count=retry_count,
                app_retry_count=retry_count,
                started_at_ms=now_ms,
            ),
        },
    )
    attempt = Attempt(
        run_id=MOCK_RUN_ID,
        task=task.name,
        number=0,
        ticket=1,
        owner="mock",
        now_ms=now_ms,
        lease_until_ms=now_ms + 60_000,
    )

    def output_of(name: str) -> str | None:
        return outputs[name]

    def no_log() -> DurableLog:
        raise RuntimeError("a mock run has no durable log: try durable operations with `local(app)`")

    work = Work(
        record=record,
        task=task.name,
        attempt=attempt,
        input=None,
        output_of=output_of,
        control=MockControl(),
        durable_log=no_log,
    )
    return Context(work, worker="mock", labels={}, lifespan=lifespan)
