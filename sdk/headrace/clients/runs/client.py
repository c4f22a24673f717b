"""`hatchet.runs`: start runs by name, read them, replay them, cancel them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.clients.naming import namespaced
from headrace.clients.runs.bulk import RunsBulk
from headrace.core.run.ids import checked_run_id, split_task_run_id
from headrace.engine.owed.cancel import cancel, pay_for_cancelling
from headrace.errors import RunNotFound
from headrace.triggers.faces import aio
from headrace.values.codec import input_text, metadata_of

if TYPE_CHECKING:
    from headrace.clients.models.runs import V1WorkflowRunDetails


class RunsClient(RunsBulk):
    """Runs: every method has an `aio_` twin that does not block the event loop."""

    def create(
        self,
        workflow_name: str,
        input: Mapping[str, Any],
        additional_metadata: Mapping[str, Any] | None = None,
        priority: int | None = None,
    ) -> V1WorkflowRunDetails:
        """Start a run by the name of its workflow, without waiting, as `run(..., wait_for_result=False)` does; the code need not
        be at hand. It is no child of the task that calls.

        ValueError where no such workflow is registered in the stack; IdempotencyCollisionError where its key is held.
        """
        from headrace.clients.runs.details import Loaded, run_details
        from headrace.core.run.request import Call, StartOptions, StartRun
        from headrace.triggers.start import start_records

        options = StartOptions(metadata=metadata_of(additional_metadata), priority=priority)
        wanted = StartRun(
            workflow=namespaced(self._app, workflow_name),
            input=input_text(input),
            options=options,
            origin=Call(),
        )
        [record] = start_records(self._app, [wanted])
        return run_details(Loaded(record=record, input=dict(input) if input else {}))

    aio_create = aio(create)

    # ---- cancel

    def cancel(self, run_id: str) -> None:
        """Cancel a run: its queued tasks are CANCELLED at once, its running ones are told. A settled run stays as it is.

        By the id of one of its tasks: that task, and what hangs on it; the others go on. A standalone task's id is its run's.
        RunNotFound where the run has no such task.
        """
        run, task = split_task_run_id(checked_run_id(run_id))
        if task is not None:
            self._cancel_task(run, task, run_id)
            return
        if self._app.settings.prefix:
            self._record(run)  # of another namespace: not found
        if not cancel(self._app.engine, run):
            pay_for_cancelling(self._app.engine, run)

    aio_cancel = aio(cancel)

    def _cancel_task(self, run: str, task: str, task_run_id: str) -> None:
        from headrace.core.run.transitions.cancel import CANCELLED_BY_USER
        from headrace.engine.owed.cancel_task import cancel_task

        if task not in self._record(run).plan.by_name:
            raise RunNotFound(task_run_id, "Task run")
        cancel_task(self._app.engine, run, task, reason=CANCELLED_BY_USER)
