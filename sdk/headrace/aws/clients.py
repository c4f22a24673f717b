"""boto3's clients, made once a process. Region, credentials and endpoint come from boto3's own chain."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

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
        self._session = boto3.session.Session()
        self.dynamodb: DynamoDBClient = self._session.client("dynamodb", config=CONFIG, **self._where)
        self.sqs: SQSClient = self._session.client("sqs", config=CONFIG, **self._where)
        self._others: dict[str, Any] = {}

    def _other(self, service: str) -> Any:
        with self._lock:
            if service not in self._others:
                self._others[service] = self._session.client(service, config=CONFIG, **self._where)  # type: ignore[call-overload]  # by name
            return self._others[service]

    @property
    def s3(self) -> S3Client:
        client: S3Client = self._other("s3")
        return client

    def account(self) -> str:
        """The account id of the credentials in use."""
        return str(self._other("sts").get_caller_identity()["Account"])

    def region(self) -> str:
        return str(self.dynamodb.meta.region_name)
