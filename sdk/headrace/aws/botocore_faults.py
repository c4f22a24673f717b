"""botocore's exceptions by their consequence. Imported only where botocore is: a lean worker never loads it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
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

from headrace.aws.transport import Refusal

NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    MetadataRetrievalError,
    SSOError,
    TokenRetrievalError,
)


class Fault(Enum):
    CREDENTIALS = "credentials"
    REGION = "region"
    PARAMETERS = "parameters"
    UNREACHABLE = "unreachable"


def fault_of(error: Exception) -> Fault | None:
    """None where it is no error of botocore's, nor of what it does to have credentials."""
    match error:
        case _ if isinstance(error, NO_CREDENTIALS):
            return Fault.CREDENTIALS
        case NoRegionError():
            return Fault.REGION
        case ParamValidationError():
            return Fault.PARAMETERS
        case BotoCoreError() | ResponseParserError():
            return Fault.UNREACHABLE
        case _:
            return Fault.CREDENTIALS if is_of_credentials(error) else None


def is_of_credentials(error: Exception) -> bool:
    """Whether it came up as credentials were looked for: what a provider, a file or the service of roles has said of them."""
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_globals.get("__name__") == "botocore.credentials":
            return True
        at = at.tb_next
    return False


def refusal_of(error: ClientError) -> Refusal:
    """What AWS answered, as the other transport says it."""
    response: Mapping[str, Any] = error.response
    detail, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    return Refusal(
        error.operation_name,
        code=detail.get("Code", ""),
        message=detail.get("Message", ""),
        status=int(meta.get("HTTPStatusCode", 0)),
        request_id=meta.get("RequestId", ""),
        answer=response,
    )
