"""Headrace: Hatchet's task model with no server to run.

    from headrace import Context, Headrace

    hatchet = Headrace()

    @hatchet.task(input_validator=Order)
    def ship(input: Order, ctx: Context) -> Receipt: ...

    receipt = ship.run(Order(...))

Tasks become SQS messages, Lambda functions run them, DynamoDB remembers them. Names are Hatchet's: a module that says
`from hatchet_sdk import ...` works with that one line changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.app import Hatchet, Headrace
from headrace.context.context import Context
from headrace.context.depends import Depends
from headrace.context.middleware import Middleware
from headrace.core.run.record import RunStatus
from headrace.definitions.base import WorkflowConfig
from headrace.definitions.standalone import Standalone
from headrace.definitions.task import Task
from headrace.definitions.task_options import TaskDefaults
from headrace.definitions.worker import VpcOptions, Worker, WorkerOptions, WorkerStartOptions, WorkerStatus
from headrace.definitions.workflow import Workflow
from headrace.errors import (
    BulkTriggerIdempotencyCollisionError,
    CompileError,
    DedupeViolationError,
    DefinitionError,
    EvictionNotSupportedError,
    ExpressionError,
    FailedTaskRunExceptionGroup,
    HeadraceError,
    IdempotencyCollisionError,
    IllegalTaskOutputError,
    InvalidDependencyError,
    LifespanSetupError,
    LoopAlreadyRunningError,
    NonDeterminismError,
    NonRetryableException,
    NotDeployed,
    NotSupportedError,
    PayloadSealedError,
    PayloadTooLargeError,
    RunCancelled,
    RunNotFound,
    RunNotOver,
    TaskRunError,
)
from headrace.options.batch import BatchMemberId
from headrace.options.concurrency import ConcurrencyExpression, ConcurrencyLimitStrategy
from headrace.options.conditions import (
    Condition,
    OrGroup,
    ParentCondition,
    SleepCondition,
    UserEventCondition,
    or_,
)
from headrace.options.debounce import Debounce
from headrace.options.events import DefaultFilter
from headrace.options.eviction import DEFAULT_DURABLE_TASK_EVICTION_POLICY, EvictionPolicy
from headrace.options.idempotency import StatusBasedIdempotencyConfig, TTLBasedIdempotencyConfig
from headrace.options.labels import (
    DesiredWorkerLabel,
    SlotType,
    StickyStrategy,
    WorkerLabel,
    WorkerLabelComparator,
)
from headrace.options.priority import Priority
from headrace.options.rate_limits import RateLimit, RateLimitDuration
from headrace.settings.settings import ClientTLSConfig, HealthcheckConfig, OpenTelemetryConfig, Settings
from headrace.settings.version import VERSION
from headrace.triggers.options import (
    ScheduleTriggerWorkflowOptions,
    TriggerWorkflowOptions,
    WorkflowRunTriggerConfig,
)
from headrace.triggers.refs import TaskRunRef, WorkflowRunRef
from headrace.values.codec import is_in_hatchet_serialization_context, remove_null_unicode_character

if TYPE_CHECKING:
    from headrace.clients.cel import CELEvaluationResult, CELFailure, CELSuccess
    from headrace.clients.models.events import (
        BulkPushEventOptions,
        BulkPushEventWithMetadata,
        PushEventOptions,
        V1WebhookAPIKeyAuth,
        V1WebhookBasicAuth,
        V1WebhookHMACAuth,
        V1WebhookSourceName,
    )
    from headrace.clients.models.runs import BulkCancelReplayOpts, RunFilter
    from headrace.context.durable import DurableContext, SleepResult
    from headrace.context.worker_context import WorkerContext
    from headrace.definitions.tools import MCPProvider
    from headrace.settings.client_config import ClientConfig
    from headrace.telemetry.otel_attributes import OTelAttribute
    from headrace.values.empty import EmptyModel

__version__ = VERSION

V1TaskStatus = RunStatus

_LATER = {
    "CELEvaluationResult": "headrace.clients.cel",
    "CELFailure": "headrace.clients.cel",
    "CELSuccess": "headrace.clients.cel",
    "MCPProvider": "headrace.definitions.tools",
    "WorkerContext": "headrace.context.worker_context",
    "BulkCancelReplayOpts": "headrace.clients.models.runs",
    "BulkPushEventOptions": "headrace.clients.models.events",
    "BulkPushEventWithMetadata": "headrace.clients.models.events",
    "PushEventOptions": "headrace.clients.models.events",
    "V1WebhookAPIKeyAuth": "headrace.clients.models.events",
    "V1WebhookBasicAuth": "headrace.clients.models.events",
    "V1WebhookHMACAuth": "headrace.clients.models.events",
    "V1WebhookSourceName": "headrace.clients.models.events",
    "ClientConfig": "headrace.settings.client_config",
    "DurableContext": "headrace.context.durable",
    "SleepResult": "headrace.context.durable",
    "EmptyModel": "headrace.values.empty",
    "OTelAttribute": "headrace.telemetry.otel_attributes",
    "RunFilter": "headrace.clients.models.runs",
}
"""Names whose modules not every worker has a use for: imported when they are asked for. A first pydantic model costs 50 ms."""


if not TYPE_CHECKING:  # type checkers read the imports above, and refuse every other name

    def __getattr__(name: str) -> Any:
        if name in _LATER:
            import importlib

            return getattr(importlib.import_module(_LATER[name]), name)
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")


__all__ = [
    "DEFAULT_DURABLE_TASK_EVICTION_POLICY",
    "BatchMemberId",
    "BulkCancelReplayOpts",
    "BulkPushEventOptions",
    "BulkPushEventWithMetadata",
    "BulkTriggerIdempotencyCollisionError",
    "CELEvaluationResult",
    "CELFailure",
    "CELSuccess",
    "ClientConfig",
    "ClientTLSConfig",
    "CompileError",
    "ConcurrencyExpression",
    "ConcurrencyLimitStrategy",
    "Condition",
    "Context",
    "Debounce",
    "DedupeViolationError",
    "DefaultFilter",
    "DefinitionError",
    "Depends",
    "DesiredWorkerLabel",
    "DurableContext",
    "EmptyModel",
    "EvictionNotSupportedError",
    "EvictionPolicy",
    "ExpressionError",
    "FailedTaskRunExceptionGroup",
    "Hatchet",
    "Headrace",
    "HeadraceError",
    "HealthcheckConfig",
    "IdempotencyCollisionError",
    "IllegalTaskOutputError",
    "InvalidDependencyError",
    "LifespanSetupError",
    "LoopAlreadyRunningError",
    "MCPProvider",
    "Middleware",
    "NonDeterminismError",
    "NonRetryableException",
    "NotDeployed",
    "NotSupportedError",
    "OTelAttribute",
    "OpenTelemetryConfig",
    "OrGroup",
    "ParentCondition",
    "PayloadSealedError",
    "PayloadTooLargeError",
    "Priority",
    "PushEventOptions",
    "RateLimit",
    "RateLimitDuration",
    "RunCancelled",
    "RunFilter",
    "RunNotFound",
    "RunNotOver",
    "RunStatus",
    "ScheduleTriggerWorkflowOptions",
    "Settings",
    "SleepCondition",
    "SleepResult",
    "SlotType",
    "Standalone",
    "StatusBasedIdempotencyConfig",
    "StickyStrategy",
    "TTLBasedIdempotencyConfig",
    "Task",
    "TaskDefaults",
    "TaskRunError",
    "TaskRunRef",
    "TriggerWorkflowOptions",
    "UserEventCondition",
    "V1TaskStatus",
    "V1WebhookAPIKeyAuth",
    "V1WebhookBasicAuth",
    "V1WebhookHMACAuth",
    "V1WebhookSourceName",
    "VpcOptions",
    "Worker",
    "WorkerContext",
    "WorkerLabel",
    "WorkerLabelComparator",
    "WorkerOptions",
    "WorkerStartOptions",
    "WorkerStatus",
    "Workflow",
    "WorkflowConfig",
    "WorkflowRunRef",
    "WorkflowRunTriggerConfig",
    "is_in_hatchet_serialization_context",
    "or_",
    "remove_null_unicode_character",
]
