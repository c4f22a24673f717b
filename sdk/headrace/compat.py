"""Run code that says `from hatchet_sdk import ...` as it is: `headrace.compat.install()` before the first such import.

The modules of `hatchet_sdk` that user code imports are made here, as aliases that look each name up in Headrace when it is
asked for. A name that Headrace does not have is an ImportError where it is imported. Nothing in Headrace needs this module.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, NewType, TypeVar

from headrace.errors import NotSupportedError
from headrace.triggers.children import current

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.clients.models.durable import V1RestoreTaskResponse
    from headrace.triggers.children import Spawner

V = TypeVar("V")
R = TypeVar("R")
TWorkflowInput = TypeVar("TWorkflowInput")
"""What helper functions are typed with that take any workflow, or any output: Hatchet's names."""

NAME = "hatchet_sdk"


def install() -> None:
    """Make `hatchet_sdk` and its deep paths resolve to Headrace. Installing twice is harmless.

    ImportError if the real `hatchet_sdk` was imported in this process: two of them would not know each other's classes.
    """
    found = sys.modules.get(NAME)
    if found is not None and not isinstance(found, _Alias):
        raise ImportError(
            "the real hatchet_sdk is imported already: call headrace.compat.install() before its first import"
        )
    for path in _paths():
        if path not in sys.modules:
            sys.modules[path] = _Alias(path, _MODULES.get(path.removeprefix(f"{NAME}."), {}))
    for path in _paths():
        parent, _, child = path.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[path])


def uninstall() -> None:
    """Take the aliases out again; names that were imported stay what they are."""
    for path in _paths():
        if isinstance(sys.modules.get(path), _Alias):
            del sys.modules[path]


def semver_less_than(a: str, b: str) -> bool:
    """Whether version `a` ("v0.78.23", with or without the v) is before `b`; what follows a dash does not count."""

    def parts(version: str) -> list[int]:
        return [int(part) for part in version.lstrip("v").partition("-")[0].split(".")]

    return parts(a) < parts(b)


class MinEngineVersion(str, Enum):  # noqa: UP042  # Hatchet's is a str with the Enum's own str()
    """From which version of Hatchet's engine on a feature is there."""

    SLOT_CONFIG = "v0.78.23"
    DURABLE_EVICTION = "v0.80.0"
    OBSERVABILITY = "v0.82.0"
    BATCHING = "v0.88.1"


class StepRunEventType(str, Enum):  # noqa: UP042  # as in Hatchet
    """What a listener of Hatchet's is told of a task."""

    STEP_RUN_EVENT_TYPE_STARTED = "STEP_RUN_EVENT_TYPE_STARTED"
    STEP_RUN_EVENT_TYPE_COMPLETED = "STEP_RUN_EVENT_TYPE_COMPLETED"
    STEP_RUN_EVENT_TYPE_FAILED = "STEP_RUN_EVENT_TYPE_FAILED"
    STEP_RUN_EVENT_TYPE_CANCELLED = "STEP_RUN_EVENT_TYPE_CANCELLED"
    STEP_RUN_EVENT_TYPE_TIMED_OUT = "STEP_RUN_EVENT_TYPE_TIMED_OUT"
    STEP_RUN_EVENT_TYPE_STREAM = "STEP_RUN_EVENT_TYPE_STREAM"


BatchMemberId = NewType("BatchMemberId", str)
"""Names an item of a batch."""


class TaskApi:
    """The part of Hatchet's REST API of tasks that has a counterpart. `app`: in place of an ApiClient, the app itself: `TaskApi(hatchet)`."""

    def __init__(self, app: Headrace) -> None:
        from headrace.clients.runs.client import RunsClient

        if not isinstance(getattr(app, "runs", None), RunsClient):
            raise NotSupportedError(
                f"there is no REST API: make TaskApi of the app, not of {type(app).__name__}"
            )
        self._runs = app.runs

    def v1_task_restore(self, task: str) -> V1RestoreTaskResponse:
        """See `hatchet.runs.restore_task`."""
        return self._runs.restore_task(task)


class _OfTheTask(Generic[V]):
    """Reads like one of Hatchet's context variables: a fact of the task that runs here."""

    def __init__(self, name: str, fact: Callable[[Spawner], V]) -> None:
        self.name = name
        self._fact = fact

    def get(self, default: V | None = None) -> V | None:
        """The fact; outside of tasks the default."""
        spawner = current.get()
        return self._fact(spawner) if spawner is not None else default


ctx_workflow_run_id = _OfTheTask("ctx_workflow_run_id", lambda spawner: spawner.record.run_id)
ctx_step_run_id = _OfTheTask("ctx_step_run_id", lambda spawner: spawner.step_run_id)
ctx_worker_id = _OfTheTask("ctx_worker_id", lambda spawner: spawner.context.worker_id)
ctx_additional_metadata = _OfTheTask(
    "ctx_additional_metadata", lambda spawner: spawner.context.additional_metadata
)
ctx_action_key = _OfTheTask("ctx_action_key", lambda spawner: spawner.step_run_id)


class _SpawnIndices(Mapping[str, int]):
    """How many children the task that runs here has asked for, by `ctx_action_key`."""

    def __getitem__(self, key: str) -> int:
        spawner = current.get()
        if spawner is None or key != spawner.step_run_id:
            raise KeyError(key)
        return spawner.spawned

    def __iter__(self) -> Iterator[str]:
        spawner = current.get()
        return iter([spawner.step_run_id] if spawner is not None else [])

    def __len__(self) -> int:
        return 1 if current.get() is not None else 0


workflow_spawn_indices: Mapping[str, int] = _SpawnIndices()


class _Alias(ModuleType):
    """A module whose names are Headrace's: `names` maps each to "module:attribute"."""

    def __init__(self, name: str, names: Mapping[str, str]) -> None:
        super().__init__(name, f"Alias of Headrace for code written for {NAME}.")
        self.__path__: list[str] = []  # a package: its submodules are importable
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        target = self._names.get(name) or (f"headrace:{name}" if self.__name__ == NAME else None)
        if target is None:
            raise AttributeError(f"{self.__name__}.{name} has no counterpart in Headrace")
        return _resolve(self.__name__, name, target)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names})

    @property
    def __all__(self) -> list[str]:
        if self.__name__ == NAME:
            return list(importlib.import_module("headrace").__all__)
        return [name for name in self._names if _exists(self.__name__, name, self._names[name])]


def _resolve(module: str, name: str, target: str) -> Any:
    path, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(path), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise AttributeError(f"{module}.{name} has no counterpart in Headrace yet") from error


def _exists(module: str, name: str, target: str) -> bool:
    try:
        _resolve(module, name, target)
    except AttributeError:
        return False
    return True


def _paths() -> Iterator[str]:
    """Every module to make, parents first."""
    yield NAME
    made = {NAME}
    for path in _MODULES:
        parts = [NAME, *path.split(".")]
        for end in range(2, len(parts) + 1):
            name = ".".join(parts[:end])
            if name not in made:
                made.add(name)
                yield name


def _top(*names: str) -> dict[str, str]:
    return {name: f"headrace:{name}" for name in names}


def _models(*names: str) -> dict[str, str]:
    return {name: f"headrace.clients.models:{name}" for name in names}


def _event_models(*names: str) -> dict[str, str]:
    return {name: f"headrace.clients.models.events:{name}" for name in names}


_ERRORS = (
    "BulkTriggerIdempotencyCollisionError",
    "DedupeViolationError",
    "EvictionNotSupportedError",
    "FailedTaskRunExceptionGroup",
    "IdempotencyCollisionError",
    "IllegalTaskOutputError",
    "InvalidDependencyError",
    "LifespanSetupError",
    "LoopAlreadyRunningError",
    "NonDeterminismError",
    "NonRetryableException",
    "TaskRunError",
)

_REST = "clients.rest.models"
_TRIGGERS = _top("ScheduleTriggerWorkflowOptions", "TriggerWorkflowOptions", "WorkflowRunTriggerConfig")
_OPTIONS = _top(
    "ConcurrencyExpression",
    "ConcurrencyLimitStrategy",
    "DesiredWorkerLabel",
    "Priority",
    "RateLimit",
    "RateLimitDuration",
    "SlotType",
    "StickyStrategy",
    "WorkerLabelComparator",
)

_MODULES: Mapping[str, Mapping[str, str]] = {
    "exceptions": {name: f"headrace.errors:{name}" for name in _ERRORS},
    "hatchet": _top("Hatchet"),
    "config": _top("ClientConfig", "ClientTLSConfig", "OpenTelemetryConfig", "HealthcheckConfig"),
    "context.context": _top("Context", "DurableContext"),
    "context.worker_context": _top("WorkerContext"),
    "labels": _top("DesiredWorkerLabel", "WorkerLabel", "WorkerLabelComparator"),
    "rate_limit": _top("RateLimit", "RateLimitDuration"),
    "types": _OPTIONS,
    "types.concurrency": _top("ConcurrencyExpression", "ConcurrencyLimitStrategy"),
    "types.idempotency": _top("StatusBasedIdempotencyConfig", "TTLBasedIdempotencyConfig"),
    "types.labels": _top("DesiredWorkerLabel", "WorkerLabel", "WorkerLabelComparator"),
    "types.priority": _top("Priority"),
    "types.rate_limit": _top("RateLimit", "RateLimitDuration"),
    "types.slot_types": _top("SlotType"),
    "types.sticky": _top("StickyStrategy"),
    "types.trigger": _TRIGGERS
    | _event_models("BulkPushEventOptions", "BulkPushEventWithMetadata", "PushEventOptions"),
    "utils.timedelta_to_expression": {"Duration": "headrace.options.durations:Duration"},
    "conditions": _top(
        "Condition", "OrGroup", "ParentCondition", "SleepCondition", "UserEventCondition", "or_"
    ),
    "serde": _top("is_in_hatchet_serialization_context", "remove_null_unicode_character"),
    "worker.worker": _top("Worker", "WorkerStartOptions", "WorkerStatus"),
    "workflow_run": _top("TaskRunRef", "WorkflowRunRef"),
    "runnables.types": {name: f"headrace.compat:{name}" for name in ("BatchMemberId", "R", "TWorkflowInput")}
    | _top(
        "ConcurrencyExpression",
        "ConcurrencyLimitStrategy",
        "DefaultFilter",
        "EmptyModel",
        "StickyStrategy",
        "TaskDefaults",
        "WorkflowConfig",
    ),
    "runnables.workflow": _top("MCPProvider", "Standalone", "Workflow")
    | {"BaseWorkflow": "headrace.definitions.base:BaseWorkflow"},
    "runnables.task": _top("Depends", "Task"),
    "clients.rest.api.task_api": {"TaskApi": "headrace.compat:TaskApi"},
    "runnables.eviction": _top("EvictionPolicy", "DEFAULT_DURABLE_TASK_EVICTION_POLICY"),
    "runnables.contextvars": {
        name: f"headrace.compat:{name}"
        for name in (
            "ctx_action_key",
            "ctx_additional_metadata",
            "ctx_step_run_id",
            "ctx_worker_id",
            "ctx_workflow_run_id",
            "workflow_spawn_indices",
        )
    },
    "clients.admin": _TRIGGERS | _models("TaskRunDetail", "WorkflowRunDetail"),
    "clients.events": _event_models(
        "BulkPushEventOptions", "BulkPushEventWithMetadata", "Event", "PushEventOptions"
    )
    | {"EventClient": "headrace.clients.starts.events:EventClient"},
    "features.filters": {"FiltersClient": "headrace.clients.starts.filters:FiltersClient"},
    "features.webhooks": {"WebhooksClient": "headrace.clients.starts.webhooks:WebhooksClient"},
    "clients.listeners.run_event_listener": {"StepRunEventType": "headrace.compat:StepRunEventType"},
    "features.runs": _models("BulkCancelReplayOpts", "RunFilter")
    | {"RunsClient": "headrace.clients.runs.client:RunsClient"},
    "features.rate_limits": {"RateLimitsClient": "headrace.clients.admission.rate_limits:RateLimitsClient"},
    "features.metrics": {"MetricsClient": "headrace.clients.metrics:MetricsClient"}
    | _models("TaskMetrics", "TaskStat", "TaskStatusStat"),
    "features.cel": {"CELClient": "headrace.clients.cel:CELClient"}
    | _top("CELEvaluationResult", "CELFailure", "CELSuccess"),
    "features.cron": {"CronClient": "headrace.clients.starts.crons:CronClient"},
    "features.logs": {"LogsClient": "headrace.clients.logs:LogsClient"},
    "features.scheduled": {"ScheduledClient": "headrace.clients.starts.scheduled:ScheduledClient"},
    "features.stubs": {"StubsClient": "headrace.clients.stubs:StubsClient"},
    "features.workers": {"WorkersClient": "headrace.clients.workers:WorkersClient"},
    "features.workflows": {"WorkflowsClient": "headrace.clients.workflows:WorkflowsClient"},
    _REST: _event_models(
        "V1Event",
        "V1EventList",
        "V1Filter",
        "V1FilterList",
        "V1UpdateFilterRequest",
        "V1Webhook",
        "V1WebhookAPIKeyAuth",
        "V1WebhookBasicAuth",
        "V1WebhookHMACAlgorithm",
        "V1WebhookHMACAuth",
        "V1WebhookHMACEncoding",
        "V1WebhookSourceName",
    )
    | _models("V1LogLine", "V1LogLineList", "V1TaskEventType", "V1TaskStatus", "V1TaskSummary")
    | _models("V1TaskSummaryList", "V1WorkflowRunDetails"),
    f"{_REST}.v1_task_status": _models("V1TaskStatus"),
    f"{_REST}.v1_task_summary": _models("V1TaskSummary"),
    f"{_REST}.v1_task_summary_list": _models("V1TaskSummaryList"),
    f"{_REST}.v1_task_event": _models("V1TaskEvent"),
    f"{_REST}.v1_task_event_type": _models("V1TaskEventType"),
    f"{_REST}.v1_workflow_run_details": _models("V1WorkflowRunDetails"),
    f"{_REST}.v1_workflow_run": _models("V1WorkflowRun"),
    f"{_REST}.v1_workflow_type": _models("V1WorkflowType"),
    f"{_REST}.workflow_version": _models("WorkflowVersion"),
    f"{_REST}.cron_workflows": _models("CronWorkflows"),
    f"{_REST}.cron_workflows_list": _models("CronWorkflowsList"),
    f"{_REST}.scheduled_run_status": _models("ScheduledRunStatus"),
    f"{_REST}.scheduled_workflows": _models("ScheduledWorkflows"),
    f"{_REST}.scheduled_workflows_list": _models("ScheduledWorkflowsList"),
    f"{_REST}.update_worker_request": _models("UpdateWorkerRequest"),
    f"{_REST}.rate_limit": _models("RateLimit"),
    f"{_REST}.rate_limit_list": _models("RateLimitList"),
    f"{_REST}.workflow": _models("Workflow"),
    f"{_REST}.workflow_list": _models("WorkflowList"),
    f"{_REST}.v1_log_line": _models("V1LogLine"),
    f"{_REST}.v1_log_line_list": _models("V1LogLineList"),
    f"{_REST}.v1_event": _event_models("V1Event"),
    f"{_REST}.v1_event_list": _event_models("V1EventList"),
    f"{_REST}.v1_filter": _event_models("V1Filter"),
    f"{_REST}.v1_filter_list": _event_models("V1FilterList"),
    f"{_REST}.v1_update_filter_request": _event_models("V1UpdateFilterRequest"),
    f"{_REST}.v1_webhook": _event_models("V1Webhook"),
    f"{_REST}.v1_webhook_list": _event_models("V1WebhookList"),
    f"{_REST}.v1_webhook_basic_auth": _event_models("V1WebhookBasicAuth"),
    f"{_REST}.v1_webhook_api_key_auth": _event_models("V1WebhookAPIKeyAuth"),
    f"{_REST}.v1_webhook_hmac_auth": _event_models("V1WebhookHMACAuth"),
    f"{_REST}.v1_webhook_hmac_algorithm": _event_models("V1WebhookHMACAlgorithm"),
    f"{_REST}.v1_webhook_hmac_encoding": _event_models("V1WebhookHMACEncoding"),
    f"{_REST}.v1_webhook_source_name": _event_models("V1WebhookSourceName"),
    "deprecated.deprecation": {"semver_less_than": "headrace.compat:semver_less_than"},
    "engine_version": {"MinEngineVersion": "headrace.compat:MinEngineVersion"},
    "opentelemetry.instrumentor": {
        "HatchetInstrumentor": "headrace.opentelemetry.instrumentor:HatchetInstrumentor"
    },
    "utils.opentelemetry": _top("OTelAttribute"),
}
"""Path under `hatchet_sdk` -> its names. What Headrace does not have is an ImportError when it is asked for."""
