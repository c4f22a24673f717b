"""The replaying half of `hatchet.runs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.clients.runs.reading import RunsReading
from headrace.core.run.ids import checked_run_id, split_task_run_id
from headrace.errors import RunNotFound
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    from pydantic import BaseModel

    from headrace.clients.models.durable import V1BranchDurableTaskResponse, V1RestoreTaskResponse
    from headrace.core.run.plans.plan import RunPlan
    from headrace.core.run.record import RunRecord


class RunsReplaying(RunsReading):
    """Replays of runs that are over: under the same id, so a reference to the run can be awaited again."""

    def replay(
        self, run_id: str, *, input: Mapping[str, Any] | BaseModel | None = None, only_failed: bool = False
    ) -> None:
        """Run a run that is over again, with its id, code as it is deployed now, and input; durably stored on return.

        All its tasks run again, durable ones from their log; `retry_count` goes on, retries begin anew. `input`: another one (a dict, a
        pydantic model or a dataclass). `only_failed`: what completed or was skipped stays as it is; nothing happens where nothing failed.

        Child runs that a task has started are not started again: replay those that failed first. The run is kept as long as it would have been.
        RunNotFound; RunNotOver while it goes on; NotDeployed where its code is gone; IdempotencyCollisionError where another run holds its key. All
        before anything is written.
        """
        from headrace.engine.runs.replay import NewInput, replay_run
        from headrace.values.codec import input_text

        run = split_task_run_id(checked_run_id(run_id))[0]
        if self._app.settings.prefix:
            self._record(run)  # of another namespace: not found
        given = None if input is None else NewInput(text=input_text(input))
        replay_run(self._app.engine, run, deployed=self._deployed, input=given, only_failed=only_failed)

    aio_replay = aio(replay)

    def reset_durable_task(
        self, task_external_id: str, node_id: int, branch_id: int | None = None
    ) -> V1BranchDurableTaskResponse:
        """Run a durable task of a run that is over again, from an operation on: those before `node_id` keep their answers, it and all after
        it are made anew, on a new branch of the log. Tasks that depend on it run again too; durably stored on return.

        `task_external_id`: of the task run, as `runs.get(...).tasks` has it; a run's id where it has one task. `node_id`: as
        `durable_log` shows it, from 0. `branch_id`: whose operations to keep; default: the last branch. 0 is the first.

        Child runs of the operations that are made anew are started anew; what the earlier ones did is not taken back. RunNotFound; RunNotOver
        while the run goes on; ValueError where the log has no such node or branch; NotDeployed; IdempotencyCollisionError.
        """
        from headrace.clients.models.durable import V1BranchDurableTaskResponse
        from headrace.engine.runs.resetting import reset

        _check_number("node_id", node_id)
        if branch_id is not None:
            _check_number("branch_id", branch_id)
        record, name = self._task(task_external_id)
        made = reset(self._app.engine, record.run_id, name, node_id, branch_id, deployed=self._deployed)
        return V1BranchDurableTaskResponse(
            task_external_id=task_external_id, node_id=node_id, branch_id=made.branch
        )

    aio_reset_durable_task = aio(reset_durable_task)

    def restore_task(self, task_external_id: str) -> V1RestoreTaskResponse:
        """Send an evicted durable task to its worker before what it waits for has come: it runs to that wait again, with what its log has.

        `task_external_id`: of the task run, as `runs.get(...).tasks` has it; a run's id where it has one task. Asked twice, it goes on once.
        Hatchet's `TaskApi(...).v1_task_restore(task)` is the same. RunNotFound.
        """
        from headrace.clients.models.durable import V1RestoreTaskResponse
        from headrace.engine.waits.wake import restore

        record, name = self._task(task_external_id)
        return V1RestoreTaskResponse(requeued=restore(self._app.engine, record, name))

    aio_restore_task = aio(restore_task)

    def _task(self, task_external_id: str) -> tuple[RunRecord, str]:
        """The run of a task run, and the task's name."""
        record = self._record(task_external_id)
        task = split_task_run_id(checked_run_id(task_external_id))[1]
        names = list(record.plan.by_name)
        if task is None and len(names) > 1:
            raise ValueError(
                f"{task_external_id} is a run of several tasks ({', '.join(names)}): pass the task_external_id of one of runs.get(...).tasks"
            )
        name = task or names[0]
        if name not in names:
            raise RunNotFound(task_external_id, "Task run")
        return record, name

    def _deployed(self, workflow: str) -> RunPlan | None:
        from headrace.triggers.definition import find

        found = find(self._app, workflow)
        return found.published.plan if found is not None else None


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(
            f"reset_durable_task: {name} is {value!r}: pass a whole number, as durable_log shows it"
        )
