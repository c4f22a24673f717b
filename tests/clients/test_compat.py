"""`hatchet_sdk` as an alias of Headrace."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from headrace import Context, EmptyModel, Hatchet, NotSupportedError, compat
from headrace_infra.testing import local

pytestmark = pytest.mark.usefixtures("_installed")


@pytest.fixture
def _installed() -> Iterator[None]:
    compat.install()
    yield
    compat.uninstall()


def test_names_are_the_same_objects() -> None:
    from hatchet_sdk.clients.admin import WorkflowRunDetail
    from hatchet_sdk.clients.rest.models.v1_task_status import V1TaskStatus
    from hatchet_sdk.deprecated.deprecation import semver_less_than
    from hatchet_sdk.exceptions import NonRetryableException

    import headrace.clients.models
    import headrace.errors

    assert NonRetryableException is headrace.errors.NonRetryableException
    assert V1TaskStatus is headrace.clients.models.V1TaskStatus
    assert WorkflowRunDetail is headrace.clients.models.WorkflowRunDetail
    assert semver_less_than is compat.semver_less_than


def test_modules_can_be_imported_whole() -> None:
    import hatchet_sdk.clients.rest.models.v1_task_summary as deep
    import hatchet_sdk.exceptions

    assert deep.V1TaskSummary.__name__ == "V1TaskSummary"
    assert hatchet_sdk.exceptions.TaskRunError.__name__ == "TaskRunError"


def test_a_star_import_takes_what_there_is() -> None:
    names: dict[str, object] = {}
    exec("from hatchet_sdk.exceptions import *", names)
    assert "DedupeViolationError" in names


def test_what_headrace_has_not_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="NoSuchThing"):
        exec("from hatchet_sdk.exceptions import NoSuchThing", {})
    with pytest.raises(ModuleNotFoundError, match=r"hatchet_sdk\.no_such_module"):
        importlib.import_module("hatchet_sdk.no_such_module")


def test_every_module_of_the_table_imports() -> None:
    for path in compat._paths():
        assert importlib.import_module(path).__name__ == path


def test_installing_twice_keeps_the_modules() -> None:
    before = sys.modules["hatchet_sdk"]
    compat.install()
    assert sys.modules["hatchet_sdk"] is before


def test_the_real_one_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hatchet_sdk", sys)  # any module that is not ours
    with pytest.raises(ImportError, match="imported already"):
        compat.install()


def test_nothing_is_installed_unasked() -> None:
    code = "import headrace, headrace.compat, sys; sys.exit('hatchet_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("a", "b", "less"),
    [
        ("v0.78.22", "v0.78.23", True),
        ("v0.78.23", "v0.78.23", False),
        ("0.80.0", "v0.78.23", False),
        ("v0.9.0", "v0.10.0", True),
        ("v0.10.0-alpha.1", "v0.10.0", False),
    ],
)
def test_versions(a: str, b: str, less: bool) -> None:
    from hatchet_sdk.deprecated.deprecation import semver_less_than

    assert semver_less_than(a, b) is less


def test_engine_versions() -> None:
    from hatchet_sdk.engine_version import MinEngineVersion

    assert MinEngineVersion.BATCHING == "v0.88.1"


TOP = [
    "Hatchet",
    "Context",
    "DurableContext",
    "EmptyModel",
    "Task",
    "Worker",
    "WorkerStartOptions",
    "WorkerStatus",
    "WorkerContext",
    "ClientConfig",
    "ClientTLSConfig",
    "OpenTelemetryConfig",
    "OTelAttribute",
    "WorkflowConfig",
    "TaskDefaults",
    "DefaultFilter",
    "ConcurrencyExpression",
    "ConcurrencyLimitStrategy",
    "RateLimit",
    "RateLimitDuration",
    "Priority",
    "StickyStrategy",
    "SlotType",
    "DesiredWorkerLabel",
    "WorkerLabel",
    "WorkerLabelComparator",
    "Condition",
    "OrGroup",
    "or_",
    "ParentCondition",
    "SleepCondition",
    "UserEventCondition",
    "EvictionPolicy",
    "TTLBasedIdempotencyConfig",
    "StatusBasedIdempotencyConfig",
    "Depends",
    "TaskRunRef",
    "WorkflowRunRef",
    "RunStatus",
    "V1TaskStatus",
    "BulkCancelReplayOpts",
    "RunFilter",
    "TriggerWorkflowOptions",
    "ScheduleTriggerWorkflowOptions",
    "WorkflowRunTriggerConfig",
    "PushEventOptions",
    "BulkPushEventOptions",
    "BulkPushEventWithMetadata",
    "CELEvaluationResult",
    "CELSuccess",
    "CELFailure",
    "is_in_hatchet_serialization_context",
    "remove_null_unicode_character",
    "NonRetryableException",
    "TaskRunError",
    "FailedTaskRunExceptionGroup",
    "DedupeViolationError",
    "IdempotencyCollisionError",
    "BulkTriggerIdempotencyCollisionError",
    "NonDeterminismError",
    "EvictionNotSupportedError",
]
DEEP = {
    "exceptions": "IllegalTaskOutputError InvalidDependencyError LifespanSetupError LoopAlreadyRunningError",
    "runnables.types": "EmptyModel BatchMemberId TWorkflowInput R",
    "runnables.workflow": "Workflow Standalone BaseWorkflow MCPProvider",
    "runnables.task": "Depends",
    "runnables.eviction": "EvictionPolicy",
    "runnables.contextvars": "ctx_action_key workflow_spawn_indices ctx_workflow_run_id ctx_step_run_id ctx_worker_id",
    "context.context": "Context DurableContext",
    "clients.events": "BulkPushEventWithMetadata",
    "clients.admin": "WorkflowRunDetail WorkflowRunTriggerConfig TriggerWorkflowOptions",
    "clients.listeners.run_event_listener": "StepRunEventType",
    "clients.rest.models.v1_task_status": "V1TaskStatus",
    "clients.rest.models.v1_task_summary": "V1TaskSummary",
    "clients.rest.models.v1_task_summary_list": "V1TaskSummaryList",
    "clients.rest.models.v1_task_event_type": "V1TaskEventType",
    "clients.rest.models.v1_workflow_run_details": "V1WorkflowRunDetails",
    "clients.rest.models.v1_event": "V1Event",
    "clients.rest.models.v1_webhook": "V1Webhook",
    "clients.rest.models.v1_webhook_basic_auth": "V1WebhookBasicAuth",
    "clients.rest.api.task_api": "TaskApi",
    "clients.rest.models.v1_workflow_run": "V1WorkflowRun",
    "clients.rest.models.workflow_version": "WorkflowVersion",
    "clients.rest.models.cron_workflows": "CronWorkflows",
    "clients.rest.models.scheduled_workflows": "ScheduledWorkflows",
    "clients.rest.models.scheduled_run_status": "ScheduledRunStatus",
    "features.cel": "CELClient CELEvaluationResult",
    "features.cron": "CronClient",
    "features.logs": "LogsClient",
    "features.metrics": "MetricsClient TaskMetrics",
    "features.scheduled": "ScheduledClient",
    "features.stubs": "StubsClient",
    "features.workers": "WorkersClient",
    "types": "ConcurrencyExpression Priority RateLimit SlotType StickyStrategy",
    "types.concurrency": "ConcurrencyExpression ConcurrencyLimitStrategy",
    "types.idempotency": "StatusBasedIdempotencyConfig TTLBasedIdempotencyConfig",
    "types.labels": "DesiredWorkerLabel WorkerLabel",
    "types.trigger": "TriggerWorkflowOptions PushEventOptions BulkPushEventOptions",
    "utils.timedelta_to_expression": "Duration",
    "labels": "DesiredWorkerLabel",
    "rate_limit": "RateLimit RateLimitDuration",
    "serde": "is_in_hatchet_serialization_context remove_null_unicode_character",
    "workflow_run": "TaskRunRef WorkflowRunRef",
    "config": "ClientConfig ClientTLSConfig OpenTelemetryConfig HealthcheckConfig",
    "opentelemetry.instrumentor": "HatchetInstrumentor",
    "deprecated.deprecation": "semver_less_than",
    "engine_version": "MinEngineVersion",
}


def test_every_name_that_code_imports_is_there() -> None:
    import hatchet_sdk

    assert [name for name in TOP if not hasattr(hatchet_sdk, name)] == []
    for path, names in DEEP.items():
        module = importlib.import_module(f"hatchet_sdk.{path}")
        assert [name for name in names.split() if not hasattr(module, name)] == [], path


def test_context_variables_say_which_task_runs() -> None:
    from hatchet_sdk.clients.rest.api.task_api import TaskApi
    from hatchet_sdk.runnables.contextvars import (
        ctx_action_key,
        ctx_additional_metadata,
        ctx_worker_id,
        ctx_workflow_run_id,
        workflow_spawn_indices,
    )

    app, seen = Hatchet(), dict[str, object]()

    def child(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {}

    def parent(input: EmptyModel, ctx: Context) -> dict[str, int]:
        children.run(wait_for_result=False)
        seen.update(
            run=ctx_workflow_run_id.get() == ctx.workflow_run_id,
            worker=ctx_worker_id.get(),
            metadata=ctx_additional_metadata.get(),
            spawned=workflow_spawn_indices[ctx_action_key.get()],
            context=ctx.worker.id(),
            labels=ctx.worker.labels(),
            data=(ctx.data.input, ctx.data.triggered_by, ctx.workflow_input),
        )
        return {}

    children = app.task(name="child")(child)
    task = app.task(name="parent")(parent)
    app.worker("w", workflows=[task, children], labels={"gpu": 1})
    with local(app, backend="memory"):
        task.run(EmptyModel(n=3), additional_metadata={"tenant": "a"})  # type: ignore[call-arg]  # any field
    assert seen == {
        "run": True,
        "worker": "w",
        "metadata": {"tenant": "a"},
        "spawned": 1,
        "context": "w",
        "labels": {"gpu": 1},
        "data": ({"n": 3}, "manual", {"n": 3}),
    }
    assert (ctx_workflow_run_id.get(), ctx_workflow_run_id.get("none"), len(workflow_spawn_indices)) == (
        None,
        "none",
        0,
    )
    with pytest.raises(NotSupportedError, match=r"there is no REST API: make TaskApi of the app, not of str"):
        TaskApi("client")
