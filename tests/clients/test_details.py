"""What users read of a run, from records made by the real transitions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.lives import born, cancelled, lost, never_started, raised, returned, started, suspended
from support.records import T0, plan, task

from headrace.clients.models.runs import V1WorkflowType
from headrace.clients.models.task_events import V1TaskEventType
from headrace.clients.runs.details import Loaded, run_detail, run_details, run_summary, task_summary
from headrace.clients.runs.history import task_events
from headrace.core.run.ids import split_task_run_id, task_run_id, workflow_id
from headrace.core.run.plans.plan import ParentLeaf, RunPlan, TaskKind
from headrace.core.run.record import ParentLink, RunRecord, RunStatus
from headrace.errors import TaskRunError

DIAMOND = plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))
SOLO = RunPlan(workflow="solo", version="1", tasks=(task("solo", retries=2),), standalone=True)


def kinds(record: RunRecord) -> list[str]:
    return [event.event_type.value for event in task_events(record)]


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_tasks_appear_when_their_parents_are_settled() -> None:
    run = born(DIAMOND)
    assert list(run_detail(Loaded(record=run)).task_runs) == ["a"]
    run = returned(run, "a")
    assert list(run_detail(Loaded(record=run)).task_runs) == ["a", "b", "c"]
    run = raised(returned(run, "b"), "c")
    detail = run_detail(Loaded(record=run))
    assert {name: each.status.value for name, each in detail.task_runs.items()} == {
        "a": "COMPLETED",
        "b": "COMPLETED",
        "c": "FAILED",
        "d": "CANCELLED",
    }
    assert detail.done
    assert detail.status is RunStatus.FAILED


def test_the_error_of_a_task_can_be_read_back() -> None:
    run = raised(born(DIAMOND), "a", "no such file", type="OSError", trace="Traceback …")
    text = run_detail(Loaded(record=run)).task_runs["a"].error
    assert text is not None
    error = TaskRunError.deserialize(text)
    assert (error.exc, error.exc_type, error.trace, error.task_run_external_id) == (
        "no such file",
        "OSError",
        "Traceback …",
        "r1:a",
    )
    assert run_summary(Loaded(record=run)).error_message == "OSError: no such file\nTraceback …"


def test_a_standalone_run_is_its_task() -> None:
    run = returned(born(SOLO, input={"n": 1}), "solo", {"m": 2})
    loaded = Loaded(record=run, input={"n": 1}, outputs={"solo": {"m": 2}})
    row = run_summary(loaded)
    assert row.type is V1WorkflowType.TASK
    assert (row.task_external_id, row.workflow_run_external_id, row.metadata.id) == ("r1", "r1", "r1")
    assert (row.input, row.output, row.children) == ({"n": 1}, {"m": 2}, [])
    assert (row.started_at, row.finished_at, row.duration) == (at(T0 + 15), at(T0 + 20), 5)
    assert row.display_name == f"solo-{T0}"
    assert task_summary(loaded, "solo").task_external_id == "r1"


def test_a_task_that_waits_for_its_children_runs_and_is_evicted() -> None:
    waiting = suspended(born(SOLO), "solo", child="c1")
    summary, task_row = run_summary(Loaded(record=waiting)), task_summary(Loaded(record=waiting), "solo")
    (detail,) = run_detail(Loaded(record=waiting)).task_runs.values()
    for shown in (summary, task_row, detail):
        assert (shown.status, shown.is_evicted) == (RunStatus.RUNNING, True)
    assert task_row.waits_for == detail.waits_for == "a child run"
    ended = cancelled(waiting)
    assert run_summary(Loaded(record=ended)).is_evicted is False
    assert task_summary(Loaded(record=ended), "solo").waits_for is None


def test_a_workflow_s_run_has_its_tasks_as_children() -> None:
    run = returned(born(DIAMOND), "a", {"x": 1})
    row = run_summary(Loaded(record=run, outputs={"a": {"x": 1}}))
    assert row.type is V1WorkflowType.DAG
    assert row.output == {"a": {"x": 1}}
    assert [child.task_external_id for child in row.children] == ["r1:a", "r1:b", "r1:c"]
    assert [child.status.value for child in row.children] == ["COMPLETED", "QUEUED", "QUEUED"]
    assert row.children[0].action_id == "flow:a"
    assert row.finished_at is None
    assert row.status is RunStatus.RUNNING


def test_a_retried_task_that_completes_shows_no_error() -> None:
    run = returned(raised(born(SOLO), "solo", "first"), "solo", {"ok": True}, at_ms=T0 + 50)
    row = run_summary(Loaded(record=run))
    assert (row.status, row.error_message, row.retry_count, row.attempt) == (RunStatus.COMPLETED, None, 1, 2)
    assert run_detail(Loaded(record=run)).task_runs["solo"].error is None


def test_a_run_cancelled_before_its_retry_says_so() -> None:
    run = cancelled(raised(born(SOLO), "solo", "first"))
    assert run_summary(Loaded(record=run)).error_message == "CANCELLED_BY_USER"
    (shown,) = run_detail(Loaded(record=run)).task_runs.values()
    assert TaskRunError.deserialize(shown.error or "").exc == "CANCELLED_BY_USER"


def test_a_spawned_run_names_the_task_that_spawned_it() -> None:
    link = ParentLink(run_id="p", task="t")
    assert run_summary(Loaded(record=born(SOLO, parent=link))).parent_task_external_id == "p:t"
    named = born(SOLO, parent=link, metadata={"hatchet__parent_step_run_id": "p"})
    assert run_summary(Loaded(record=named)).parent_task_external_id == "p"
    assert run_summary(Loaded(record=born(SOLO))).parent_task_external_id is None


def test_the_shape_is_the_graph() -> None:
    details = run_details(Loaded(record=born(DIAMOND)))
    assert {item.step_id: item.children_step_ids for item in details.shape} == {
        "a": ["b", "c"],
        "b": ["d"],
        "c": ["d"],
        "d": [],
    }
    assert details.model_dump_json()  # it is plain data


FLAKY = born(SOLO)
GUARDED = plan(task("a"), task("b", "a", skip_if=((ParentLeaf(number=1, parent="a"),),)))
WATCHED = plan(task("a"), task("oops", kind=TaskKind.ON_FAILURE))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(born(SOLO), "CREATED", id="just born"),
        pytest.param(started(born(SOLO), "solo"), "CREATED QUEUED ASSIGNED STARTED", id="running"),
        pytest.param(
            returned(born(SOLO), "solo"), "CREATED QUEUED ASSIGNED STARTED FINISHED", id="completed at once"
        ),
        pytest.param(
            raised(FLAKY, "solo"),
            "CREATED QUEUED ASSIGNED STARTED FAILED RETRYING QUEUED",
            id="waits for its retry",
        ),
        pytest.param(
            raised(raised(raised(FLAKY, "solo"), "solo", at_ms=T0 + 40), "solo", at_ms=T0 + 60),
            "CREATED QUEUED ASSIGNED STARTED FAILED RETRYING QUEUED ASSIGNED STARTED FAILED RETRYING QUEUED ASSIGNED STARTED FAILED",
            id="every attempt failed: three FAILED, two RETRYING",
        ),
        pytest.param(
            raised(FLAKY, "solo", "Task exceeded timeout of 5s"),
            "CREATED QUEUED ASSIGNED STARTED TIMED_OUT RETRYING QUEUED",
            id="timed out",
        ),
        pytest.param(
            lost(started(born(SOLO), "solo"), "solo"),
            "CREATED QUEUED ASSIGNED STARTED REASSIGNED QUEUED ASSIGNED STARTED",
            id="its worker was lost",
        ),
        pytest.param(
            cancelled(started(born(SOLO), "solo")),
            "CREATED QUEUED ASSIGNED STARTED CANCELLED",
            id="cancelled",
        ),
        pytest.param(cancelled(born(SOLO)), "CREATED CANCELLED", id="cancelled in the queue"),
        pytest.param(
            never_started(born(SOLO), "solo"),
            "CREATED QUEUED SCHEDULING_TIMED_OUT",
            id="not taken in time",
        ),
        pytest.param(
            returned(born(GUARDED), "a"),
            "CREATED QUEUED ASSIGNED STARTED FINISHED CREATED SKIPPED",
            id="a skipped child",
        ),
    ],
)
def test_what_happened(record: RunRecord, expected: str) -> None:
    assert kinds(record) == expected.split()


def test_the_on_failure_task_leaves_the_run_failed() -> None:
    run = returned(raised(born(WATCHED), "a"), "oops", {"told": "ops"}, at_ms=T0 + 40)
    detail = run_detail(Loaded(record=run))
    assert detail.status is RunStatus.FAILED
    assert detail.task_runs["oops"].status is RunStatus.COMPLETED
    assert V1TaskEventType.FINISHED in {event.event_type for event in task_events(run)}


def test_ids() -> None:
    assert task_run_id(SOLO, "r1", "solo") == "r1"
    assert task_run_id(DIAMOND, "r1", "a") == "r1:a"
    assert split_task_run_id("r1:a") == ("r1", "a")
    assert split_task_run_id("r1") == ("r1", None)
    assert workflow_id("dev_flow") == workflow_id("dev_flow") != workflow_id("flow")
