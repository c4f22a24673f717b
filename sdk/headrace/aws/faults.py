"""AWS's errors as Headrace's, classed by consequence: try again, or tell a person what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from headrace.errors import (
    AccessDenied,
    HeadraceError,
    NotConfigured,
    QueueUnavailable,
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
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
    }
)
FINAL = frozenset(
    {"ValidationException", "InvalidParameterValue", "InvalidMessageContents", "InvalidAttributeValue"}
)


@contextmanager
def translated(service: str, what: str, stack: str) -> Iterator[None]:
    """Errors of boto3 inside become Headrace's. `service`: store or queues; `what`: the thing asked for."""
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise NotConfigured(
            f"AWS credentials are not configured: {error}. Set AWS_PROFILE, or run `aws configure`, or use headrace dev."
        ) from error
    except NoRegionError as error:
        raise NotConfigured(
            "The AWS region is not configured: set AWS_REGION or AWS_DEFAULT_REGION."
        ) from error
    except ClientError as error:
        raise _client_error(error, service, what, stack) from error
    except BotoCoreError as error:
        raise _unavailable(service, f"{what}: {error}") from error


def _client_error(error: ClientError, service: str, what: str, stack: str) -> HeadraceError:
    detail = error.response.get("Error", {})
    code, message = detail.get("Code", ""), detail.get("Message", "")
    if code in MISSING:
        return StackNotFound(
            f"There is no {what}: is the stack {stack!r} deployed in this account and region? "
            "Run `sam deploy`, or name the stack with HEADRACE_STACK."
        )
    if code in DENIED:
        return AccessDenied(f"AWS refused {error.operation_name} on {what}: {code}: {message}")
    if code in FINAL:
        return HeadraceError(f"AWS takes no such {error.operation_name} on {what}: {code}: {message}")
    return _unavailable(service, f"{error.operation_name} on {what}: {code}: {message}")


def _unavailable(service: str, text: str) -> HeadraceError:
    return QueueUnavailable(text) if service == "queues" else StoreUnavailable(text)
