"""The lean transport, and the choice between it and boto3."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from headrace.aws.lean.api import Api
from headrace.aws.lean.configuration import (
    NotServed,
    Served,
    from_a_role,
    from_botocore,
    from_environment_alone,
    from_files,
    instrumented,
)
from headrace.aws.transport import Service, Transport

if TYPE_CHECKING:
    from headrace.aws.clients import Clients

logger = logging.getLogger("headrace.aws")

Choice = Literal["lean", "boto3"]


class LeanTransport:
    """DynamoDB and SQS without botocore; S3 and whatever is rare through boto3, imported when it is first needed."""

    inserts = True

    def __init__(self, served: Served, clients: Callable[[], Clients]) -> None:
        self.clients = clients
        self._apis = {
            service: Api(endpoint, served.credentials) for service, endpoint in served.endpoints.items()
        }

    def call(self, service: Service, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        api = self._apis.get(service)
        if api is not None:
            return api.call(operation, request)
        from headrace.aws.clients import BotoTransport

        return BotoTransport(self.clients()).call(service, operation, request)


def choose(choice: Choice, where: Mapping[str, Any] | None = None) -> Transport:
    """The transport of this process. "boto3" is obeyed; "lean" gives way to it, and says why once, where it cannot serve.

    `where`: arguments of boto3's `client`, for another place than boto3's own chain gives (a local stack).
    """

    @cache
    def clients() -> Clients:
        from headrace.aws.clients import Clients

        return Clients(where)

    if choice == "lean":
        found: Served | NotServed | None = instrumented()
        if found is None and where is None:
            environment = os.environ
            found = from_environment_alone(environment) or from_a_role(environment) or from_files(environment)
        if found is None:
            found = from_botocore(clients())
        if isinstance(found, Served):
            return LeanTransport(found, clients)
        _say_once(found.reason)
    from headrace.aws.clients import BotoTransport

    return BotoTransport(clients())


@cache
def _say_once(reason: str) -> None:
    logger.info("boto3 makes the requests of DynamoDB and SQS: %s", reason)
