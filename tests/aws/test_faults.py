"""Every error of boto3 becomes one of Headrace's, by what is to be done about it, and says so."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import botocore.exceptions as botocore_errors
import pytest
from botocore.parsers import ResponseParserError

from aws.world import KEYS, Scripted, only, scripted
from headrace.aws.faults import translated
from headrace.aws.wiring import connect
from headrace.core.changes import Key, Put
from headrace.errors import (
    AccessDenied,
    HeadraceError,
    NotConfigured,
    QueueUnavailable,
    RequestRefused,
    StackNotFound,
    StoreUnavailable,
)
from headrace.ports import Outgoing, Received

PUT = Put(key=Key("run#1", "run"), item={})
DELIVERED = Received(queue="work", body="x", receipt="r", receive_count=1, sent_at_ms=0)

STORE_CODES: list[tuple[str, int, type[HeadraceError], str]] = [
    ("ResourceNotFoundException", 400, StackNotFound, "sam deploy"),
    ("AccessDeniedException", 400, AccessDenied, "dynamodb:PutItem"),
    ("UnrecognizedClientException", 400, NotConfigured, "aws configure"),
    ("ExpiredTokenException", 400, NotConfigured, "aws sso login"),
    ("ValidationException", 400, RequestRefused, "ValidationException"),
    ("ProvisionedThroughputExceededException", 400, StoreUnavailable, "PutItem"),
    ("ThrottlingException", 400, StoreUnavailable, "PutItem"),
    ("RequestLimitExceeded", 400, StoreUnavailable, "PutItem"),
    ("TransactionConflictException", 400, StoreUnavailable, "PutItem"),
    ("InternalServerError", 500, StoreUnavailable, "PutItem"),
    ("ServiceUnavailable", 503, StoreUnavailable, "PutItem"),
    ("SomethingNew", 400, StoreUnavailable, "SomethingNew"),
]


@pytest.mark.parametrize(("code", "status", "kind", "says"), STORE_CODES, ids=[row[0] for row in STORE_CODES])
def test_errors_of_dynamodb(code: str, status: int, kind: type[HeadraceError], says: str) -> None:
    with scripted() as world:
        world.dynamodb.add_client_error("put_item", code, "of AWS", http_status_code=status)
        with pytest.raises(HeadraceError) as error:
            world.store.write(PUT)
    assert type(error.value) is kind
    assert says in str(error.value)
    assert kind is NotConfigured or "table shop" in str(error.value)


QUEUE_CODES: list[tuple[str, int, type[HeadraceError], str]] = [
    ("AWS.SimpleQueueService.NonExistentQueue", 400, StackNotFound, "HEADRACE_STACK"),
    ("QueueDoesNotExist", 400, StackNotFound, "HEADRACE_STACK"),
    ("AccessDenied", 403, AccessDenied, "sqs:SendMessage"),
    ("KMS.AccessDeniedException", 400, AccessDenied, "sqs:SendMessage"),
    ("InvalidClientTokenId", 403, NotConfigured, "AWS_PROFILE"),
    ("InvalidMessageContents", 400, RequestRefused, "InvalidMessageContents"),
    ("RequestThrottled", 403, QueueUnavailable, "SendMessage"),
    ("OverLimit", 403, QueueUnavailable, "SendMessage"),
    ("InternalError", 500, QueueUnavailable, "SendMessage"),
]


@pytest.mark.parametrize(("code", "status", "kind", "says"), QUEUE_CODES, ids=[row[0] for row in QUEUE_CODES])
def test_errors_of_sqs(code: str, status: int, kind: type[HeadraceError], says: str) -> None:
    with scripted() as world:
        world.sqs.add_client_error("send_message", code, "of AWS", http_status_code=status)
        with pytest.raises(HeadraceError) as error:
            world.queues.send("work", [Outgoing(body="x")])
    assert type(error.value) is kind
    assert says in str(error.value)


def test_a_batch_needs_the_permission_to_send() -> None:
    with scripted() as world:
        world.sqs.add_client_error("send_message_batch", "AccessDenied", "of AWS")
        with pytest.raises(AccessDenied, match=r"Allow sqs:SendMessage on queue work"):
            world.queues.send("work", [Outgoing(body="x"), Outgoing(body="y")])


def test_a_queue_that_is_nowhere_names_the_stack() -> None:
    with scripted(urls={}) as world:
        world.sqs.add_client_error("get_queue_url", "AWS.SimpleQueueService.NonExistentQueue", "no")
        with pytest.raises(StackNotFound, match=r"queue shop-other.*stack 'shop'.*sam deploy"):
            world.queues.send("other", [Outgoing(body="x")])


def test_a_bucket_that_is_nowhere_or_closed() -> None:
    with scripted() as world:
        world.s3.add_client_error("put_object", "NoSuchBucket", "no", http_status_code=404)
        with pytest.raises(StackNotFound, match="payload bucket"):
            world.store.put_blob("name", b"")
        world.s3.add_client_error("get_object", "AccessDenied", "no", http_status_code=403)
        with pytest.raises(AccessDenied, match="s3:GetObject"):
            world.store.get_blob("name")


EXCEPTIONS: list[tuple[Exception, type[HeadraceError]]] = [
    (botocore_errors.NoCredentialsError(), NotConfigured),
    (botocore_errors.PartialCredentialsError(provider="env", cred_var="secret"), NotConfigured),
    (botocore_errors.ProfileNotFound(profile="x"), NotConfigured),
    (botocore_errors.UnauthorizedSSOTokenError(), NotConfigured),
    (botocore_errors.NoRegionError(), NotConfigured),
    (botocore_errors.ParamValidationError(report="no"), RequestRefused),
    (botocore_errors.EndpointConnectionError(endpoint_url="x"), StoreUnavailable),
    (botocore_errors.ConnectTimeoutError(endpoint_url="x"), StoreUnavailable),
    (botocore_errors.ReadTimeoutError(endpoint_url="x"), StoreUnavailable),
    (botocore_errors.ConnectionClosedError(endpoint_url="x"), StoreUnavailable),
    (botocore_errors.IncompleteReadError(actual_bytes=1, expected_bytes=2), StoreUnavailable),
    (ResponseParserError("html"), StoreUnavailable),
    (
        botocore_errors.ClientError(
            {"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue"}}, "GetQueueUrl"
        ),
        StackNotFound,
    ),
    (botocore_errors.ClientError({"Error": {"Code": "AccessDenied"}}, "GetQueueUrl"), AccessDenied),
    (botocore_errors.ClientError({"Error": {"Code": "InternalError"}}, "GetQueueUrl"), StoreUnavailable),
]


@pytest.mark.parametrize(("raised", "kind"), EXCEPTIONS, ids=[type(row[0]).__name__ for row in EXCEPTIONS])
def test_exceptions_of_botocore(raised: Exception, kind: type[HeadraceError]) -> None:
    with pytest.raises(HeadraceError) as error, translated("store", "table shop", "shop"):
        raise raised
    assert type(error.value) is kind
    assert error.value.__cause__ is (None if kind is NotConfigured else raised)  # its sentence says it all
    assert error.value.__suppress_context__


def test_what_is_no_error_of_aws_goes_through() -> None:
    with pytest.raises(KeyError), translated("store", "table shop", "shop"):
        raise KeyError("a bug of ours")


CALLS: dict[str, tuple[str, Callable[[Scripted], object]]] = {
    "write": ("dynamodb", lambda world: world.store.write(PUT)),
    "write many": ("dynamodb", lambda world: world.store.write_many([PUT, PUT])),
    "get": ("dynamodb", lambda world: world.store.get(PUT.key)),
    "get many": ("dynamodb", lambda world: world.store.get_many([PUT.key])),
    "query": ("dynamodb", lambda world: world.store.query("run#1")),
    "query index": ("dynamodb", lambda world: world.store.query_index("failed", "x")),
    "put blob": ("s3", lambda world: world.store.put_blob("x", b"")),
    "get blob": ("s3", lambda world: world.store.get_blob("x")),
    "send": ("sqs", lambda world: world.queues.send("work", [Outgoing(body="x")])),
    "send many": ("sqs", lambda world: world.queues.send("work", [Outgoing(body="x")] * 30)),
    "receive": ("sqs", lambda world: world.queues.receive("work", limit=1, wait_s=0)),
    "delete": ("sqs", lambda world: world.queues.delete(DELIVERED)),
    "hide": ("sqs", lambda world: world.queues.hide(DELIVERED, 1)),
    "queue url": ("sqs", lambda world: world.queues.url("not told")),
}


@pytest.mark.parametrize(("service", "call"), CALLS.values(), ids=CALLS)
def test_no_call_lets_an_error_of_botocore_out(service: str, call: Callable[[Scripted], object]) -> None:
    kind = QueueUnavailable if service == "sqs" else StoreUnavailable
    with scripted() as world:
        stubber = getattr(world, service)
        stubber.client.meta.events.register_first("before-call", _network_error)
        with pytest.raises(kind):
            call(world)


def _network_error(**_: object) -> None:
    raise botocore_errors.EndpointConnectionError(endpoint_url="https://nowhere")


def settings() -> SimpleNamespace:
    return SimpleNamespace(
        stack="shop",
        home="shop",
        zone=None,
        table=None,
        bucket=None,
        transport="boto3",
        queues={},
        worker=None,
    )


def test_no_region() -> None:
    with (
        only({name: value for name, value in KEYS.items() if name != "AWS_DEFAULT_REGION"}),
        pytest.raises(NotConfigured, match="AWS_REGION"),
    ):
        connect(settings())


def test_no_credentials() -> None:
    with only({name: value for name, value in KEYS.items() if not name.endswith(("KEY", "ID"))}):
        ports = connect(settings())
        with pytest.raises(NotConfigured, match="aws configure"):
            ports.store.write(PUT)


def test_no_such_profile() -> None:
    with only(KEYS | {"AWS_PROFILE": "gone"}), pytest.raises(NotConfigured, match="gone"):
        connect(settings())
