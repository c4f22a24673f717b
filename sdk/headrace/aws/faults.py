"""AWS's errors as Headrace's, classed by consequence: try again, or tell a person what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from headrace.aws.transport import Refusal, Unreachable
from headrace.errors import (
    AccessDenied,
    HeadraceError,
    NotConfigured,
    QueueUnavailable,
    RequestRefused,
    StackNotFound,
    StoreUnavailable,
)

MISSING = frozenset(
    {
        "ResourceNotFoundException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NoSuchBucket",
    }
)
BAD_CREDENTIALS = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "IncompleteSignature",
    }
)
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "KMS.AccessDeniedException",
        "KmsAccessDenied",
    }
)
FINAL = frozenset(
    {
        "ValidationException",
        "SerializationException",
        "UnknownOperationException",
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "MissingParameter",
        "InvalidMessageContents",
        "InvalidAttributeValue",
        "InvalidAddress",
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "EntityTooLarge",
        "InvalidBucketName",
        "KeyTooLongError",
        "PermanentRedirect",
    }
)
"""The same request would be refused again. What is in no list here is tried again: the queue's redrive ends it."""

LASTING = MISSING | BAD_CREDENTIALS | DENIED | FINAL


def is_throttle(code: str) -> bool:
    """Whether the code of an entry of a batch asks for patience."""
    return "throttl" in code.lower() or code in ("OverLimit", "RequestLimitExceeded")


SIGN_IN = "Set AWS_PROFILE, or run `aws configure` or `aws sso login`, or work locally with `headrace dev`."

PREFIXES = {
    "PutObject": "s3",
    "GetObject": "s3",
    "GetCallerIdentity": "sts",
    "Decrypt": "kms",
    "GenerateDataKeyWithoutPlaintext": "kms",
}
SERVICES = {"store": "dynamodb", "queues": "sqs"}
ACTIONS = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "BatchExecuteStatement": "PartiQLInsert",
}
"""Operations whose IAM action has another name (service authorization reference)."""


@contextmanager
def translated(service: str, what: str, stack: str) -> Iterator[None]:
    """Errors of a transport inside become Headrace's. `service`: store or queues; `what`: the thing asked for."""
    try:
        yield
    except Refusal as error:
        raise _refused(error, service, what, stack) from error
    except Unreachable as error:
        raise _unavailable(service, f"{what}: {error}") from error
    except Exception as error:
        found = _of_botocore(error, service, what, stack)
        if found is None:
            raise
        if isinstance(found, NotConfigured):
            raise found from None  # what is missing is in its sentence: thirty frames of botocore say no more
        raise found from error


def _of_botocore(error: Exception, service: str, what: str, stack: str) -> HeadraceError | None:
    """None where it is not botocore's: certainly so where botocore was never imported."""
    if "botocore.exceptions" not in sys.modules:
        return None
    from botocore.exceptions import ClientError

    from headrace.aws.botocore_faults import Fault, fault_of, is_of_credentials, refusal_of

    if isinstance(error, ClientError):
        refusal = refusal_of(error)
        if is_of_credentials(error) and refusal.code in LASTING:
            return NotConfigured(f"AWS credentials are not configured: {error}. {SIGN_IN}")
        return _refused(refusal, service, what, stack)
    match fault_of(error):
        case None:
            return None
        case Fault.CREDENTIALS:
            return NotConfigured(f"AWS credentials are not configured: {error}. {SIGN_IN}")
        case Fault.REGION:
            return NotConfigured(
                "The AWS region is not configured: set AWS_REGION or AWS_DEFAULT_REGION, or work locally with `headrace dev`."
            )
        case Fault.PARAMETERS:
            return RequestRefused(f"AWS rejected the request on {what}: {error}")
        case Fault.UNREACHABLE:
            return _unavailable(service, f"{what}: {error}")


def _refused(error: Refusal, service: str, what: str, stack: str) -> HeadraceError:
    code, operation = error.code, error.operation
    message = f"{error.message} (request {error.request_id})" if error.request_id else error.message
    if code in MISSING:
        return StackNotFound(
            f"There is no {what}: is the stack {stack!r} deployed in this account and region? "
            "Run `sam deploy`, or name the stack with HEADRACE_STACK, and its zone, where this is a zone's, with HEADRACE_ZONE."
        )
    if code in BAD_CREDENTIALS:
        return NotConfigured(f"AWS rejected these credentials: {code}: {message}. {SIGN_IN}")
    if code in DENIED:
        action = f"{PREFIXES.get(operation, SERVICES[service])}:{ACTIONS.get(operation, operation)}"
        return AccessDenied(
            f"Allow {action} on {what} in the policy of the caller's role: AWS refused it ({message})."
        )
    if code in FINAL:
        return RequestRefused(f"AWS rejected {operation} on {what}: {code}: {message}")
    return _unavailable(service, f"{operation} on {what}: {code}: {message}")


def _unavailable(service: str, text: str) -> HeadraceError:
    return QueueUnavailable(text) if service == "queues" else StoreUnavailable(text)
