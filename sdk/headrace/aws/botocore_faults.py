"""botocore's exceptions by their consequence. Imported only where botocore is: a lean worker never loads it."""

from __future__ import annotations

from enum import Enum

from botocore.exceptions import (
    BotoCoreError,
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


class Fault(Enum):
    CREDENTIALS = "credentials"
    REGION = "region"
    PARAMETERS = "parameters"
    UNREACHABLE = "unreachable"


def fault_of(error: Exception) -> Fault | None:
    """None where it is no error of botocore's."""
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
            return None
