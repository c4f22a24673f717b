"""How a request reaches DynamoDB and SQS. Two transports answer to one protocol: `clients` (boto3) and `lean`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

Service = Literal["dynamodb", "sqs", "s3"]
"""S3 is boto3's over either transport: its operations are rare and its protocol is another."""


class Boto(Protocol):
    """boto3's clients of one session: `clients.Clients`, which imports boto3."""

    dynamodb: DynamoDBClient
    sqs: SQSClient

    @property
    def s3(self) -> S3Client: ...

    def service(self, name: str) -> Any: ...

    def credentials(self) -> Credentials | None: ...

    def account(self) -> str: ...

    def region(self) -> str: ...


class Transport(Protocol):
    """One request and its answer, with retries. Thread-safe."""

    @property
    def inserts(self) -> bool:
        """Whether new items may be put by PartiQL. moto cannot, and what a test has in the place of AWS is boto3's."""
        ...

    def call(self, service: Service, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to an operation, named as in the API ("UpdateItem").

        Raises `Refusal` where the service answered with an error, `Unreachable` (or botocore's own errors) where there is no
        answer that can be relied on: the effect may or may not have happened.
        """
        ...

    def clients(self) -> Boto:
        """boto3's clients with the same credentials and region, for everything that is not hot. Made when first asked for."""
        ...


class Refusal(Exception):
    """The service's own error. `answer` is its whole body (a refused condition brings the item)."""

    def __init__(
        self,
        operation: str,
        *,
        code: str,
        message: str,
        status: int,
        request_id: str = "",
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.operation = operation
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id
        self.answer: Mapping[str, Any] = answer or {}


class Unreachable(Exception):
    """No answer, or none that can be relied on: no connection, a reset, a time-out, a truncated body, HTML."""
