"""The error tree.

    Exception
    ├── HeadraceError                       whatever Headrace itself finds wrong
    │   ├── DefinitionError (ValueError)    a task, workflow or worker that cannot work, found where it is defined
    │   │   └── CompileError                ... found when the app is compiled
    │   ├── RequestRefused                      a request that AWS never takes
    │   ├── PayloadTooLargeError (ValueError)   a payload over a limit, refused before anything is written
    │   ├── PayloadSealedError (ValueError)     a payload that this process has no codec or key to open
    │   ├── ExpressionError (ValueError)    a CEL expression that does not parse or cannot be evaluated
    │   ├── RunNotFound (ValueError)            there is no run of that id: never was, or its retention is over
    │   ├── RunNotOver (ValueError)             the run goes on: only one that is over can be replayed
    │   ├── NotDeployed (ValueError)            the code of a run that is to be replayed is gone
    │   ├── RunCancelled (ValueError)           the run whose result was waited for was cancelled
    │   ├── NotSupportedError               part of Hatchet's surface that Headrace does not have
    │   ├── NotConfigured                   AWS is not configured here: region, credentials, stack name
    │   ├── StackNotFound                   there is no such table or queue
    │   ├── AccessDenied                    the caller's role does not allow the call
    │   ├── StoreUnavailable                DynamoDB or S3: try again; the write may have happened
    │   └── QueueUnavailable                SQS: try again; the message may have been sent
    ├── NonRetryableException               raise it in a task to fail the run whatever `retries` says
    │   └── EvictionNotSupportedError
    ├── FailedTaskRunExceptionGroup (ValueError)   what `run()` raises for a FAILED run
    ├── TaskRunError                        one failed task of a run
    ├── DedupeViolationError                a child key that names another child already
    ├── IdempotencyCollisionError           the idempotency key is held by another run
    ├── BulkTriggerIdempotencyCollisionError
    ├── NonDeterminismError                 a durable task that took another path on replay
    ├── IllegalTaskOutputError              a task returned something that is not a JSON object
    ├── InvalidDependencyError              a `Depends` that cannot be resolved
    ├── LifespanSetupError                  the worker's lifespan failed
    └── LoopAlreadyRunningError             worker.start() inside a running event loop

The names without the Headrace base are Hatchet's; user code catches them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence


class HeadraceError(Exception):
    """Whatever Headrace itself finds wrong."""


class DefinitionError(HeadraceError, ValueError):
    """A task, workflow or worker that cannot work, found where it is defined."""


class CompileError(DefinitionError):
    """An app that cannot be deployed as it is."""


class RequestRefused(HeadraceError):
    """AWS rejects the request, however often it is sent: an item over its size, a value that it does not know."""


class PayloadTooLargeError(HeadraceError, ValueError):
    """A payload over a limit, refused before anything is written."""

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"{what} is {size_bytes:,} bytes; the limit is {limit_bytes:,} bytes")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class PayloadSealedError(HeadraceError, ValueError):
    """A payload was sealed by a codec, and cannot be opened here: there is no codec, not the key, or it was changed."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} is sealed by a payload codec and cannot be opened: {reason}")
        self.reason = reason


class ExpressionError(HeadraceError, ValueError):
    """A CEL expression that does not parse (with the position) or cannot be evaluated (with the reason)."""


class RunNotFound(HeadraceError, ValueError):
    """There is no run of that id: it never was, is of another namespace, or its retention is over. A web service's 404.

    `str()` is Hatchet's text, which it raises as a bare ValueError.
    """

    def __init__(self, run_id: str, kind: str = "Workflow run") -> None:
        super().__init__(run_id, kind)
        self.run_id = run_id
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.kind} {self.run_id} not found"


class RunNotOver(HeadraceError, ValueError):
    """The run goes on, so it cannot be replayed: cancel it first, or wait for its end. A web service's 409."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(run_id, status)
        self.run_id = run_id
        self.status = status

    def __str__(self) -> str:
        return f"Workflow run {self.run_id} is {self.status}: only a run that is over can be replayed. Cancel it first, or wait for its end"


class NotDeployed(HeadraceError, ValueError):
    """The code of a run that is to be replayed is not deployed any more. Start a new run of what is."""

    def __init__(self, reason: str, run_id: str) -> None:
        super().__init__(reason, run_id)
        self.reason = reason
        self.run_id = run_id

    def __str__(self) -> str:
        return f"Workflow run {self.run_id} cannot be replayed: {self.reason}. Deploy it again, or start a new run of what is deployed"


class RunCancelled(HeadraceError, ValueError):
    """The run whose result was waited for was cancelled. A web service's 409 or 410.

    Raised by `run()`, `result()` and `get_result()`; their `aio_` forms give what the finished tasks returned instead, as Hatchet's.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"Workflow run {self.run_id} was cancelled."


class NotSupportedError(HeadraceError):
    """Part of Hatchet's surface that Headrace does not have."""


class ZoneError(HeadraceError, ValueError):
    """More than the start of a run was to cross from one zone of a stack into another. Nothing was written or sent."""


class NotConfigured(HeadraceError):
    """AWS is not configured here."""


class StackNotFound(HeadraceError):
    """There is no such table or queue: the stack is not deployed here, or has another name."""


class AccessDenied(HeadraceError):
    """The caller's role does not allow the call."""


class StoreUnavailable(HeadraceError):
    """DynamoDB or S3 did not answer as it should: try again. The write may have happened."""


class QueueUnavailable(HeadraceError):
    """SQS did not answer as it should: try again. The message may have been sent."""


class NonRetryableException(Exception):
    """Raise it in a task to fail the run whatever `retries` says."""


class EvictionNotSupportedError(NonRetryableException):
    """The engine cannot evict durable tasks."""


class DedupeViolationError(Exception):
    """A child key that names another child already."""


class IdempotencyCollisionError(Exception):
    """The idempotency key is held by another run."""

    def __init__(self, existing_run_external_id: str) -> None:
        super().__init__(f"the idempotency key is held by run {existing_run_external_id}")
        self.existing_run_external_id = existing_run_external_id


class BulkTriggerIdempotencyCollisionError(Exception):
    """Some items of a bulk trigger collided; the others were started."""

    def __init__(
        self,
        successful_workflow_run_external_ids: Sequence[str],
        collisions: Sequence[IdempotencyCollisionError],
    ) -> None:
        super().__init__(
            f"{len(collisions)} of {len(collisions) + len(successful_workflow_run_external_ids)} runs collided"
        )
        self.successful_workflow_run_external_ids = list(successful_workflow_run_external_ids)
        self.collisions = list(collisions)


class NonDeterminismError(Exception):
    """A durable task that took another path on replay than its log says."""

    def __init__(self, task_external_id: str, invocation_count: int, message: str, node_id: int) -> None:
        super().__init__(message)
        self.task_external_id = task_external_id
        self.invocation_count = invocation_count
        self.message = message
        self.node_id = node_id


class IllegalTaskOutputError(Exception):
    """A task returned something that is not a JSON object."""


class InvalidDependencyError(Exception):
    """A `Depends` that cannot be resolved."""


class LifespanSetupError(Exception):
    """The worker's lifespan failed before its first yield."""


class LoopAlreadyRunningError(Exception):
    """`worker.start()` was called inside a running event loop."""


_METADATA_KEY = "__hatchet_error_metadata__"


class TaskRunError(Exception):
    """One failed task of a run: what it raised, with type, message and traceback."""

    def __init__(
        self, exc: str, exc_type: str, trace: str = "", task_run_external_id: str | None = None
    ) -> None:
        super().__init__(f"{exc_type}: {exc}")
        self.exc = exc
        self.exc_type = exc_type
        self.trace = trace
        self.task_run_external_id = task_run_external_id

    @classmethod
    def from_exception(cls, exc: Exception, task_run_external_id: str | None = None) -> TaskRunError:
        """What the task whose attempt raised this is known to have raised."""
        import traceback

        trace = "".join(traceback.format_exception(exc))
        return cls(str(exc), type(exc).__name__, trace, task_run_external_id)

    def __str__(self) -> str:
        return self.serialize(include_metadata=False)

    def serialize(self, include_metadata: bool) -> str:
        """`Type: message`, the traceback and, if asked for, a JSON block that `deserialize` reads."""
        named = ": ".join(part for part in (self.exc_type, self.exc) if part)
        text = f"{named}\n{self.trace}" if named or self.trace else ""
        if not include_metadata:
            return text
        metadata = {
            _METADATA_KEY: {
                "exc": self.exc,
                "exc_type": self.exc_type,
                "trace": self.trace,
                "task_run_external_id": self.task_run_external_id,
            }
        }
        return f"{text}\n\n{json.dumps(metadata, indent=2)}"

    @classmethod
    def deserialize(cls, serialized: str) -> TaskRunError:
        """The error that `serialize(include_metadata=True)` wrote; any other text becomes a `HatchetError`."""
        start = serialized.rfind("\n\n{")
        if start >= 0:
            try:
                found = json.loads(serialized[start:])[_METADATA_KEY]
                return cls(found["exc"], found["exc_type"], found["trace"], found["task_run_external_id"])
            except (ValueError, KeyError, TypeError):
                pass
        return cls(serialized, "HatchetError")


class FailedTaskRunExceptionGroup(ValueError):
    """What waiting for the result of a FAILED run raises: one error for each failed task."""

    def __init__(self, message: str, exceptions: list[TaskRunError]) -> None:
        super().__init__(message)
        self.message = message
        self.exceptions = exceptions

    def __str__(self) -> str:
        blocks = [f"--- Exception {i} ---\n{error}" for i, error in enumerate(self.exceptions, start=1)]
        return "\n\n".join([self.message.strip(), *blocks])
