"""Run a workload on the local runtime and count what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.aws.prices import PRICES
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunRecord, RunStatus
from headrace.errors import NotConfigured
from headrace_infra.cost.meter import Meter

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace_infra.local.stack import LocalStack


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Units of `runs` runs of a workflow with so many tasks."""

    runs: int
    tasks: int
    units: Mapping[str, float]

    def units_a_run(self) -> dict[str, float]:
        return {kind: units / self.runs for kind, units in self.units.items()}

    def dollars_a_run(self) -> dict[str, float]:
        return {kind: units * PRICES[kind].dollars for kind, units in self.units_a_run().items()}


def measure(
    app: Headrace, workflow: str, value: Mapping[str, Any], *, runs: int, memory_mb: int | None = None
) -> Measured:
    """Start `runs` runs one after the other, deliver them, and count every AWS request and invocation.

    NotConfigured where the app has no such workflow, or where a run did not complete: its price would say nothing.
    """
    from headrace.triggers.definition import no_such
    from headrace_infra.testing import local

    name = app.settings.apply_namespace(workflow)
    if name not in app._workflows_by_name:
        raise NotConfigured(f"the app has no workflow {workflow!r}: {no_such(name, app._workflows_by_name)}")
    memories = {worker.name: memory_mb or worker.options.memory for worker in app._fleet()}
    meter = Meter()

    def invoked(worker: str, seconds: float) -> None:
        meter.invoked(seconds=seconds, memory_mb=memories.get(worker, 512))

    flow = app._workflows_by_name[name]
    with local(app, background=False, on_invocation=invoked) as stack:
        flow.run(dict(value), wait_for_result=False)
        stack.drain()  # what a process asks for once is asked for now
        _check_completed(stack, workflow)
        meter.invocations, meter.gb_seconds = 0, 0.0
        with meter:
            for _ in range(runs):
                flow.run(dict(value), wait_for_result=False)
                stack.deliver_all()
            stack.drain()
        _check_completed(stack, workflow)
    return Measured(runs=runs, tasks=len(flow.tasks), units=meter.totals())


def _check_completed(stack: LocalStack, workflow: str) -> None:
    for record in stack.runs():
        status = run_status(record)
        if status is not RunStatus.COMPLETED:
            raise NotConfigured(
                f"a run of {record.plan.workflow} did not complete, so its price would say nothing: {status.value}: "
                f"{_reason(record)}. Give {workflow} an input that works with --input"
            )


def _reason(record: RunRecord) -> str:
    errors = (row.error for row in record.tasks.values() if row.error is not None)
    found = next(
        (f"{error.type}: {error.message}" for error in errors), record.cancel_reason or "no reason is known"
    )
    return " ".join(found.split())
