"""One service's operations over HTTP: sign, send, judge the answer, try again."""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from json import JSONDecodeError, JSONEncoder, loads
from typing import TYPE_CHECKING, Any
from zlib import crc32

from headrace.aws.lean import retries
from headrace.aws.lean.http import Answer, Pool, Untrusted, connect
from headrace.aws.lean.signing import Credentials, Signer
from headrace.aws.transport import Refusal, Service, Unreachable
from headrace.core.values import dataclass

if TYPE_CHECKING:
    import ssl

CONTENT_TYPE = "application/x-amz-json-1.0"
TARGETS = {"dynamodb": "DynamoDB_20120810", "sqs": "AmazonSQS"}
"""What stands before an operation's name in X-Amz-Target (the services' models)."""

USER_AGENT = "headrace"


def _plain(value: object) -> str:
    """Binary attributes travel as base64."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not a value of a request")


_encode = JSONEncoder(separators=(",", ":"), ensure_ascii=True, default=_plain).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a service answers. `trust` makes the TLS context when the first connection needs it; None for plain HTTP."""

    service: Service
    region: str
    host: str
    port: int
    trust: Callable[[], ssl.SSLContext] | None

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.trust is not None else 80) else f"{name}:{self.port}"


class Api:
    """The operations of one service. Thread-safe."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Callable[[], Credentials],
        *,
        now_s: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._now_s = now_s
        self._pause = pause
        self._skew_s = 0.0
        self._budget = retries.Budget()
        self._signer = Signer(
            service=endpoint.service,
            region=endpoint.region,
            host=endpoint.host_header,
            content_type=CONTENT_TYPE,
        )
        self._pool = Pool(self._connect)
        self._process = os.getpid()
        self._is_traced = "AWS_LAMBDA_FUNCTION_NAME" in os.environ

    def _connect(self) -> Any:
        trust = self._endpoint.trust
        return connect(self._endpoint.host, self._endpoint.port, None if trust is None else trust())

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer; Refusal or Unreachable as `Transport.call` says."""
        body = _encode(request).encode()
        corrected = False
        for tried in range(1, retries.TRIES + 1):
            try:
                answer = self._judged(operation, self._exchange(operation, body))
            except Refusal as refusal:
                if not corrected and self._correct_clock(refusal):
                    corrected = True
                    continue
                throttled = retries.is_throttled(refusal.code, refusal.status)
                if not retries.is_worth_a_retry(refusal.code, refusal.status) or not self._may_retry(tried):
                    raise
            except Untrusted:
                raise
            except Unreachable:
                throttled = False
                if not self._may_retry(tried):
                    raise
            else:
                self._budget.give_back(tried > 1)
                return answer
            self._pause(retries.pause_s(self._endpoint.service, tried, throttled=throttled))
        raise AssertionError("the last try returns or raises")

    def _may_retry(self, tried: int) -> bool:
        return tried < retries.TRIES and self._budget.take()

    def _exchange(self, operation: str, body: bytes) -> Answer:
        if os.getpid() != self._process:  # forked: the connections are the parent's
            self._pool.forget()
            self._process = os.getpid()
        target = f"{TARGETS[self._endpoint.service]}.{operation}"
        signed = self._signer.headers(self._credentials(), target, body, self._now_s() + self._skew_s)
        head = (
            f"POST / HTTP/1.1\r\n{signed}{_trace() if self._is_traced else ''}User-Agent: {USER_AGENT}\r\n"
            f"Accept-Encoding: identity\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return self._pool.exchange(head.encode("latin-1") + body)

    def _judged(self, operation: str, answer: Answer) -> dict[str, Any]:
        if answer.status != 200:
            raise _refusal(operation, answer)
        if not answer.body and answer.headers.keys().isdisjoint(("content-length", "transfer-encoding")):
            raise Unreachable(f"{operation}: the answer is cut off after its status")
        checksum = answer.headers.get("x-amz-crc32")
        if checksum is not None and checksum != str(crc32(answer.body)):
            raise Unreachable(f"{operation}: the answer does not match its checksum")
        try:
            found = loads(answer.body.decode() or "{}")
        except (JSONDecodeError, UnicodeDecodeError) as error:
            kind = answer.headers.get("content-type", "of no type")
            raise Unreachable(
                f"{operation}: the answer is {kind}, not JSON: is there a proxy in between? ({error})"
            ) from error
        if not isinstance(found, dict):
            raise Unreachable(f"{operation}: the answer is {type(found).__name__}, not an object")
        return found

    def _correct_clock(self, refusal: Refusal) -> bool:
        """Follow the service's clock where ours is far off it. Whether that has changed anything."""
        told_s = refusal.answer.get("_date_s") if refusal.code in retries.SKEWED else None
        if told_s is None:
            return False
        skew_s = told_s - self._now_s()
        if abs(skew_s - self._skew_s) < retries.SKEW_S:
            return False
        self._skew_s = skew_s
        return True


def _refusal(operation: str, answer: Answer) -> Refusal:
    """The error of an answer, as botocore reads it: `__type` of the body, or the code that SQS had before JSON."""
    try:
        body = loads(answer.body)
    except (JSONDecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        body = {"message": answer.body[:200].decode("utf-8", "replace")}
    code = str(body.get("__type") or answer.status).partition(":")[0].rpartition("#")[2]
    older, semicolon, _ = answer.headers.get("x-amzn-query-error", "").partition(";")
    return Refusal(
        operation,
        code=older if semicolon and older else code,
        message=str(body.get("message") or body.get("Message") or ""),
        status=answer.status,
        request_id=answer.headers.get("x-amzn-requestid", ""),
        answer={**body, "_date_s": _date_s(answer.headers.get("date"))},
    )


def _date_s(text: str | None) -> float | None:
    if text is None:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _trace() -> str:
    """X-Ray's header in a Lambda function, as botocore adds it: SQS hands the trace on with a message."""
    trace = os.environ.get("_X_AMZN_TRACE_ID")
    if not trace or not trace.isprintable():
        return ""
    return f"X-Amzn-Trace-Id: {trace}\r\n"
