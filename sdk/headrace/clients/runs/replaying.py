"""The replaying half of `hatchet.runs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.clients.runs.reading import RunsReading
from headrace.core.run.ids import split_task_run_id
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    from pydantic import BaseModel

    from headrace.core.run.plan import RunPlan


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

        run = split_task_run_id(run_id)[0]
        if self._app.settings.prefix:
            self._record(run)  # of another namespace: not found
        given = None if input is None else NewInput(text=input_text(input))
        replay_run(self._app.engine, run, deployed=self._deployed, input=given, only_failed=only_failed)

    aio_replay = aio(replay)

    def _deployed(self, workflow: str) -> RunPlan | None:
        from headrace.triggers.definition import find

        found = find(self._app, workflow)
        return found.published.plan if found is not None else None
