"""What a task's code is given beside its input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.core.run.derived.graph import states
from headrace.core.run.ids import task_run_id, workflow_id
from headrace.core.run.record import TaskStatus
from headrace.errors import TaskRunError
from headrace.options.durations import Duration, to_timedelta
from headrace.options.labels import WorkerLabels, check_labels

if TYPE_CHECKING:
    from headrace.context.worker_context import ActionPayload, WorkerContext
    from headrace.definitions.task import Task
    from headrace.engine.attempts.ports import Work

R = TypeVar("R")


class Context:
    """One attempt, as its code sees it: its ids, what its parents gave, and what it may ask for.

    The same on Lambda, in a worker process and in `mock_run`.
    """

    def __init__(self, work: Work, *, worker: str, labels: Mapping[str, str | int], lifespan: Any) -> None:
        self._work = work
        self._worker = worker
        self._labels = labels
        self._lifespan = lifespan
        self._row = work.record.tasks[work.task]
        self._plan = work.record.plan.task(work.task)

    def _moves(self, work: Work) -> None:
        """Another invocation goes on with the code, in the same process."""
        self._work, self._row = work, work.record.tasks[work.task]

    # ---- its identity

    @property
    def workflow_run_id(self) -> str:
        return self._work.record.run_id

    @property
    def task_run_id(self) -> str:
        """The id of this task in its run; a standalone task's is the run's."""
        return task_run_id(self._work.record.plan, self._work.record.run_id, self._work.task)

    @property
    def step_run_id(self) -> str:
        """Deprecated name of `task_run_id`."""
        return self.task_run_id

    @property
    def workflow_id(self) -> str:
        return workflow_id(self._work.record.plan.workflow)

    @property
    def workflow_version_id(self) -> str:
        return self._work.record.plan.version

    @property
    def workflow_name(self) -> str:
        return self._work.record.plan.workflow

    @property
    def task_name(self) -> str:
        return self._work.task

    @property
    def worker_id(self) -> str:
        """The name of the worker that this runs on."""
        return self._worker

    @property
    def worker_labels(self) -> dict[str, str | int]:
        """The worker's labels, as they are now."""
        return dict(self._labels)

    @property
    def worker(self) -> WorkerContext:
        """The worker that this runs on: `id()`, `labels()`, `upsert_labels(...)`."""
        from headrace.context.worker_context import WorkerContext

        return WorkerContext(self)

    # ---- which attempt

    @property
    def retry_count(self) -> int:
        """How often this task was started again, by retries and after lost workers. The first attempt has 0."""
        return self._row.retry_count

    @property
    def attempt_number(self) -> int:
        """`retry_count` + 1."""
        return self._row.retry_count + 1

    @property
    def max_attempts(self) -> int:
        """`retries` + 1."""
        return self._plan.retries + 1

    @property
    def priority(self) -> int:
        return self._work.record.priority

    # ---- with what

    @property
    def workflow_input(self) -> dict[str, Any]:
        """Deprecated: the run's input as plain JSON. Tasks get it as their first argument, in its type."""
        return dict(json.loads(self._work.input)) if self._work.input is not None else {}

    @property
    def input(self) -> dict[str, Any]:
        """Deprecated name of `workflow_input`."""
        return self.workflow_input

    @property
    def data(self) -> ActionPayload:
        """Deprecated: the attempt as Hatchet's workers get it. Each part has a property of its own."""
        from headrace.context.worker_context import ActionPayload

        return ActionPayload(
            input=self.workflow_input,
            parents=self._parents(),
            step_run_errors=self.task_run_errors,
            triggers=self.trigger_data,
            filter_payload=self.filter_payload,
            triggered_by="event" if self.was_triggered_by_event else "manual",
        )

    def _parents(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name in self._plan.parents:
            try:
                text = self._work.output_of(name)
            except KeyError:
                continue
            found[name] = dict(json.loads(text)) if text is not None else {}
        return found

    @property
    def additional_metadata(self) -> dict[str, Any]:
        """The run's metadata: its own over its parent's over the defaults."""
        return dict(self._work.record.metadata)

    @property
    def lifespan(self) -> Any:
        """What the worker's lifespan yielded; None without one."""
        return self._lifespan

    @property
    def filter_payload(self) -> dict[str, Any]:
        """The payload of the filter by which an event started this run; empty without one."""
        text = self._work.record.routing.filter_payload
        return dict(json.loads(text)) if text is not None else {}

    @property
    def trigger_data(self) -> dict[str, Any]:
        """What the trigger gave beside the input: `{"filter_payload": ...}` of a run that a filter let in, and what each
        condition brought that the task has waited for, by its data key: an event's payload, `{"sleep_duration": ...}`."""
        payload, brought = self.filter_payload, self._row.data
        found: dict[str, Any] = {"filter_payload": payload} if payload else {}
        return found | (json.loads(brought) if brought else {})

    @property
    def was_triggered_by_event(self) -> bool:
        """Whether an event started this run; its children were not started by it."""
        return self.triggering_event_id is not None

    @property
    def triggering_event_id(self) -> str | None:
        found = self._work.record.metadata.get("hatchet__event_id")
        return str(found) if found is not None else None

    @property
    def triggering_event_key(self) -> str | None:
        """The event's key, with its namespace."""
        found = self._work.record.metadata.get("hatchet__event_key")
        return str(found) if found is not None else None

    @property
    def parent_workflow_run_id(self) -> str | None:
        """The run whose task spawned this one."""
        parent = self._work.record.parent
        return parent.run_id if parent is not None else None

    @property
    def child_index(self) -> int | None:
        parent = self._work.record.parent
        return parent.index if parent is not None else None

    @property
    def child_key(self) -> str | None:
        parent = self._work.record.parent
        return parent.key if parent is not None else None

    # ---- parents

    def task_output(self, task: Task[Any, R]) -> R:
        """What a parent (or any ancestor) returned. ValueError where it was skipped or has no output."""
        if self.was_skipped(task):
            raise ValueError(f"{task.name} was skipped")
        try:
            text = self._work.output_of(task.name)
        except KeyError:
            raise ValueError(
                f"Step output for '{task.name}' not found: {task.name} is not an ancestor of {self.task_name}, "
                "or it has not completed"
            ) from None
        return task.parse_output(json.loads(text) if text is not None else None)

    async def aio_task_output(self, task: Task[Any, R]) -> R:
        """Deprecated: use `task_output`."""
        import asyncio

        return await asyncio.to_thread(self.task_output, task)

    def was_skipped(self, task: Task[Any, Any]) -> bool:
        """Whether a parent was skipped."""
        state = states(self._work.record).get(task.name)
        return state is not None and state.status is TaskStatus.SKIPPED

    @property
    def task_run_errors(self) -> dict[str, str]:
        """Why the run's failed tasks failed, by task: for on-failure tasks."""
        return {name: f"{error.type}: {error.message}" for name, error in self._work.errors.items()}

    def get_task_run_error(self, task: Task[Any, Any]) -> TaskRunError | None:
        """Why a task failed; None where it did not."""
        error = self._work.errors.get(task.name)
        if error is None:
            return None
        run_id = task_run_id(self._work.record.plan, self.workflow_run_id, task.name)
        return TaskRunError(error.message, error.type, error.trace, run_id)

    def fetch_task_run_error(self, task: Task[Any, Any]) -> str | None:
        """Deprecated: use `get_task_run_error`."""
        return self.task_run_errors.get(task.name)

    # ---- asking

    def log(self, line: str | Mapping[str, Any], raise_on_error: bool = False) -> None:
        """Store a log line with the run: cut at 10,000 characters, 1,000 lines a task."""
        text = line if isinstance(line, str) else json.dumps(dict(line), default=str)
        self._work.control.log(text)

    async def aio_log(self, line: str | Mapping[str, Any], raise_on_error: bool = False) -> None:
        import asyncio

        await asyncio.to_thread(self.log, line, raise_on_error)

    def put_stream(self, data: str | bytes) -> None:
        """Send a chunk to the subscribers of this run's stream."""
        self._work.control.put_stream(data)

    async def aio_put_stream(self, data: str | bytes) -> None:
        import asyncio

        await asyncio.to_thread(self.put_stream, data)

    def refresh_timeout(self, increment_by: Duration) -> None:
        """Move this attempt's deadline: added to what it has."""
        self._work.control.refresh_timeout(to_timedelta(increment_by, "increment_by").total_seconds())

    async def aio_refresh_timeout(self, increment_by: Duration) -> None:
        self.refresh_timeout(increment_by)

    def cancel(self) -> None:
        """Cancel this task: what hangs on it is cancelled with it, the other tasks of its workflow's run go on.

        The code goes on until it looks at `is_cancelled` (sync) or awaits something (async); what it returns counts for nothing.
        """
        self._work.control.cancel()

    async def aio_cancel(self) -> None:
        import asyncio

        await asyncio.to_thread(self.cancel)

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled or this attempt was replaced, as far as is known here: the heartbeat tells, after 5
        seconds first and then every 10. Sync code should look now and then; async code is interrupted."""
        return self._work.control.is_cancelled()

    @property
    def exit_flag(self) -> bool:
        """Deprecated name of `is_cancelled`."""
        return self.is_cancelled

    def done(self) -> bool:
        """Deprecated name of `is_cancelled`."""
        return self.is_cancelled

    def release_slot(self) -> None:
        """Give the worker's slot back while this attempt goes on, so that another task can start. Nothing happens on a worker without `slots`.

        Places of concurrency limits are kept until the attempt ends; a retry takes a slot again. A process runs no more tasks at once than before.
        """
        self._work.control.release_slot()

    async def aio_release_slot(self) -> None:
        """As `release_slot`, without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.release_slot)

    def upsert_worker_labels(self, labels: Mapping[str, str | int]) -> None:
        """Add or replace labels of the process that this runs in; tasks that wait for them come. NotSupportedError on Lambda."""
        if isinstance(self._labels, WorkerLabels):
            self._labels.upsert(labels)
        else:
            self._labels = {**self._labels, **check_labels(labels, f"worker {self._worker}")}

    async def aio_upsert_worker_labels(self, labels: Mapping[str, str | int]) -> None:
        import asyncio

        await asyncio.to_thread(self.upsert_worker_labels, labels)
