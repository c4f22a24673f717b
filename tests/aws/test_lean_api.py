"""Retries, their budget, the clock that follows the service's, and what is believed of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any
from zlib import crc32

import pytest

from headrace.aws.lean.api import Api, Endpoint
from headrace.aws.lean.http import Answer, Stale, Untrusted
from headrace.aws.lean.retries import SKEWED, TRIES, Budget, pause_s
from headrace.aws.lean.signing import Credentials
from headrace.aws.transport import Refusal, Unreachable

NOW_S = 1_764_100_000.0
OK = Answer(200, {"content-length": "9"}, b'{"a":"b"}')


def error(code: str, status: int = 400, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps({"__type": f"x#{code}", "message": "m"}).encode())


class Played(Api):
    """An Api whose exchanges are played from a list: an answer, or an error to raise."""

    def __init__(self, played: list[Answer | Exception], service: str = "sqs") -> None:
        self.pauses: list[float] = []
        endpoint = Endpoint(service=service, region="us-east-1", host="h", port=80, trust=None)  # type: ignore[arg-type]  # by name
        super().__init__(
            endpoint, lambda: Credentials("a", "b"), now_s=lambda: NOW_S, pause=self.pauses.append
        )
        self.requests: list[bytes] = []
        answers: Iterator[Answer | Exception] = iter(played)

        class Pool:
            def exchange(_, request: bytes) -> Answer:
                self.requests.append(request)
                found = next(answers)
                if isinstance(found, Exception):
                    raise found
                return found

        self._pool: Any = Pool()


PASSING: dict[str, Answer | Exception] = {
    "a throttle": error("ThrottlingException"),
    "429": Answer(429, {}, b""),
    "500": error("InternalFailure", 500),
    "503": Answer(503, {}, b"<html>"),
    "a reset": Unreachable("reset"),
    "HTML": Answer(200, {"content-type": "text/html", "content-length": "6"}, b"<html>"),
    "a list": Answer(200, {"content-length": "2"}, b"[]"),
    "a wrong checksum": Answer(200, {"x-amz-crc32": "1", "content-length": "2"}, b"{}"),
}


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(trouble: Answer | Exception) -> None:
    api = Played([trouble, trouble, OK])
    assert api.call("Op", {}) == {"a": "b"}
    assert len(api.pauses) == 2


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING)
def test_what_does_not_pass_is_raised_after_six_tries(trouble: Answer | Exception) -> None:
    api = Played([trouble] * 20)
    with pytest.raises((Refusal, Unreachable)):
        api.call("Op", {})
    assert (len(api.requests), len(api.pauses)) == (TRIES, TRIES - 1)


FINAL: dict[str, Answer | Exception] = {
    "a condition": error("ConditionalCheckFailedException"),
    "no permission": error("AccessDeniedException"),
    "a certificate": Untrusted("self-signed"),
}


@pytest.mark.parametrize("trouble", FINAL.values(), ids=FINAL)
def test_what_would_be_said_again_is_raised_at_once(trouble: Answer | Exception) -> None:
    api = Played([trouble, OK])
    with pytest.raises((Refusal, Unreachable)):
        api.call("Op", {})
    assert len(api.requests) == 1


def test_a_right_checksum() -> None:
    answer = Answer(200, {"x-amz-crc32": str(crc32(b"{}")), "content-length": "2"}, b"{}")
    assert Played([answer]).call("Op", {}) == {}


def test_pauses_double_within_their_bound_and_throttles_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)
    assert [pause_s("dynamodb", n, throttled=False) for n in range(1, 6)] == [0.025, 0.05, 0.1, 0.2, 0.4]
    assert [pause_s("sqs", n, throttled=True) for n in range(1, 7)] == [1, 2, 4, 8, 16, 20]


def test_a_service_in_trouble_is_not_pressed() -> None:
    """A hundred retries, then none until something succeeds."""
    budget = Budget()
    assert [budget.take() for _ in range(101)] == [True] * 100 + [False]
    budget.give_back(retried=True)
    assert [budget.take(), budget.take()] == [True, False]


@pytest.mark.parametrize("code", sorted(SKEWED))
@pytest.mark.parametrize("off_s", [-3600.0, 3600.0])
def test_a_clock_that_is_off_is_corrected(code: str, off_s: float) -> None:
    api = Played([error(code, date=formatdate(NOW_S + off_s, usegmt=True)), OK, OK])
    assert api.call("Op", {}) == {"a": "b"}
    assert api.call("Op", {}) == {"a": "b"}
    assert api.pauses == []
    stamps = [request.split(b"X-Amz-Date: ")[1][:16] for request in api.requests]
    assert stamps[0] != stamps[1] == stamps[2]


@pytest.mark.parametrize("date", [None, formatdate(NOW_S + 30, usegmt=True), "yesterday"])
def test_a_signature_that_is_wrong_for_another_reason_is_no_matter_of_the_clock(date: str | None) -> None:
    headers = {} if date is None else {"date": date}
    with pytest.raises(Refusal, match="InvalidSignatureException"):
        Played([error("InvalidSignatureException", **headers), OK]).call("Op", {})


def test_a_stale_connection_costs_no_retry() -> None:
    """The pool replaces it; should even that fail, it is trouble like any other."""
    assert Played([Stale("closed"), OK]).call("Op", {}) == {"a": "b"}


def test_binary_values_and_the_trace_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2;Sampled=1")
    api = Played([OK])
    api.call("PutItem", {"B": b"\x00\xff", "S": "ü"})
    head, _, body = api.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"B":"AP8=","S":"\\u00fc"}'
    assert b"\r\nX-Amzn-Trace-Id: Root=1-2;Sampled=1\r\n" in head
    assert b"x-amzn-trace-id" not in head.split(b"SignedHeaders=")[1]
