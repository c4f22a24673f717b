"""AWS's errors as Headrace's, classed by consequence: try again, or tell a person what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from headrace.errors import (
    AccessDenied,
    HeadraceError,
    NotConfigured,
    QueueUnavailable,
    StackNotFound,
    StoreUnavailable,
)

NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    SSOError,
    TokenRetrievalError,
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


def is_throttle(code: str) -> bool:
    """Whether the code of an entry of a batch asks for patience."""
    return "throttl" in code.lower() or code in ("OverLimit", "RequestLimitExceeded")


SIGN_IN = "Set AWS_PROFILE, or run `aws configure` or `aws sso login`, or work locally with `headrace dev`."

PREFIXES = {"PutObject": "s3", "GetObject": "s3", "GetCallerIdentity": "sts"}
SERVICES = {"store": "dynamodb", "queues": "sqs"}
ACTIONS = {"SendMessageBatch": "SendMessage"}
"""Operations whose IAM action has another name (service authorization reference)."""


@contextmanager
def translated(service: str, what: str, stack: str) -> Iterator[None]:
    """Errors of boto3 inside become Headrace's. `service`: store or queues; `what`: the thing asked for."""
    try:
        yield
    except NO_CREDENTIALS as error:
        raise NotConfigured(f"AWS credentials are not configured: {error}. {SIGN_IN}") from error
    except NoRegionError as error:
        raise NotConfigured(
            "The AWS region is not configured: set AWS_REGION or AWS_DEFAULT_REGION, or work locally with `headrace dev`."
        ) from error
    except ClientError as error:
        raise _client_error(error, service, what, stack) from error
    except ParamValidationError as error:
        raise HeadraceError(f"AWS takes no such request on {what}: {error}") from error
    except (BotoCoreError, ResponseParserError) as error:
        raise _unavailable(service, f"{what}: {error}") from error


def _client_error(error: ClientError, service: str, what: str, stack: str) -> HeadraceError:
    detail = error.response.get("Error", {})
    code, message = detail.get("Code", ""), detail.get("Message", "")
    if code in MISSING:
        return StackNotFound(
            f"There is no {what}: is the stack {stack!r} deployed in this account and region? "
            "Run `sam deploy`, or name the stack with HEADRACE_STACK."
        )
    if code in BAD_CREDENTIALS:
        return NotConfigured(f"AWS does not take these credentials: {code}: {message}. {SIGN_IN}")
    if code in DENIED:
        operation = error.operation_name
        action = f"{PREFIXES.get(operation, SERVICES[service])}:{ACTIONS.get(operation, operation)}"
        return AccessDenied(
            f"Allow {action} on {what} in the policy of the caller's role: AWS refused it ({message})."
        )
    if code in FINAL:
        return HeadraceError(f"AWS takes no such {error.operation_name} on {what}: {code}: {message}")
    return _unavailable(service, f"{error.operation_name} on {what}: {code}: {message}")


def _unavailable(service: str, text: str) -> HeadraceError:
    return QueueUnavailable(text) if service == "queues" else StoreUnavailable(text)
