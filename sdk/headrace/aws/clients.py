"""boto3's clients, made once a process, and the transport over them. Region, credentials and endpoint come from boto3's own chain."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from headrace.aws.botocore_faults import refusal_of
from headrace.aws.transport import Service, Unreachable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

CONFIG = Config(
    connect_timeout=3,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 6},
    max_pool_connections=32,
    tcp_keepalive=True,
    user_agent_extra="headrace",
)
"""A long poll lasts 20 s, so a read may last 30."""


class Clients:
    """The clients of one session. DynamoDB and SQS are made at once, the others when first asked for."""

    def __init__(self, where: Mapping[str, Any] | None = None) -> None:
        """`where`: arguments of boto3's `client`, for another place than boto3's own chain gives."""
        self._where = dict(where or {})
        self._lock = threading.Lock()
        self.session = boto3.session.Session()
        self.dynamodb: DynamoDBClient = self.session.client("dynamodb", config=CONFIG, **self._where)
        self.sqs: SQSClient = self.session.client("sqs", config=CONFIG, **self._where)
        for client, service in ((self.dynamodb, "dynamodb"), (self.sqs, "sqs")):
            client.meta.events.register(f"before-parse.{service}", check_answer)
        self._others: dict[str, Any] = {}

    def _other(self, service: str) -> Any:
        with self._lock:
            if service not in self._others:
                self._others[service] = self.session.client(service, config=CONFIG, **self._where)  # type: ignore[call-overload]  # by name
            return self._others[service]

    @property
    def s3(self) -> S3Client:
        client: S3Client = self._other("s3")
        return client

    def service(self, name: str) -> Any:
        """The client of any other service, made once."""
        return self._other(name)

    def credentials(self) -> Credentials | None:
        """What the clients sign with, which refreshes itself; None where there is none."""
        if "aws_access_key_id" in self._where:
            return Credentials(self._where["aws_access_key_id"], self._where["aws_secret_access_key"])
        found: Credentials | None = self.session.get_credentials()
        return found

    def account(self) -> str:
        """The account id of the credentials in use."""
        return str(self._other("sts").get_caller_identity()["Account"])

    def region(self) -> str:
        return str(self.dynamodb.meta.region_name)


class BotoTransport:
    """Requests through boto3's clients: whatever botocore can be configured to do."""

    inserts = False

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def clients(self) -> Clients:
        return self._clients

    def call(self, service: Service, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        method = getattr(getattr(self._clients, service), _method(operation))
        try:
            answer: dict[str, Any] = method(**request)
        except ClientError as error:
            if error.operation_name != operation:  # of the service that was asked for credentials
                raise
            raise refusal_of(error) from error
        return answer


def check_answer(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
    """botocore reads a body that is not JSON as an empty answer: half an answer, or a proxy's login page, would be a success."""
    body = response_dict.get("body") or b""
    if response_dict["status_code"] >= 300 or not isinstance(body, bytes):
        return
    headers = response_dict["headers"]
    told = headers.get("content-length")
    framed = told == str(len(body)) if told is not None else bool(body or headers.get("x-amzn-requestid"))
    if not framed or (body and not (body.startswith(b"{") and body.rstrip().endswith(b"}"))):
        raise Unreachable(
            f"{operation_model.name}: the answer ({len(body)} of {told or 'unknown'} bytes, "
            f"{headers.get('content-type', 'of no type')}) is not whole JSON: is there a proxy in between?"
        )


def _method(operation: str) -> str:
    """UpdateItem -> update_item."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
