"""`headrace dev`: no web page and no other user of the machine can do anything with its emulated AWS."""

from __future__ import annotations

import http.client
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from headrace.aws.local_stack import LocalStack, announced
from headrace_infra.local.emulated.emulators import Emulator, emulator
from headrace_infra.local.emulated.guard import new_key, refusal

KEY = "HR0123"
SIGNED = (
    f"AWS4-HMAC-SHA256 Credential={KEY}/20261126/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=00"
)
OWN = {"host": "127.0.0.1:4566"}


@pytest.mark.parametrize(
    ("headers", "query", "why"),
    [
        ({**OWN, "authorization": SIGNED}, "", None),
        ({"host": "localhost:4566", "authorization": SIGNED}, "", None),
        ({**OWN, "x-headrace-key": KEY}, "", None),
        (OWN, f"X-Amz-Credential={KEY}%2F20261126%2Fus-east-1%2Fs3%2Faws4_request", None),
        (OWN, "", "the request has no credentials"),
        ({**OWN, "authorization": SIGNED.replace(KEY, "test")}, "", "the credentials are not those of this start"),
        ({**OWN, "authorization": SIGNED.replace(KEY, KEY + "4")}, "", "the credentials are not those of this start"),
        ({"host": "evil.example:4566", "authorization": SIGNED}, "", "the Host header names another server"),
        ({"host": "127.0.0.1:4567", "authorization": SIGNED}, "", "the Host header names another server"),
        ({"authorization": SIGNED}, "", "the Host header names another server"),
        ({**OWN, "authorization": SIGNED, "origin": "http://127.0.0.1:4566"}, "", "web pages may not call it"),
        ({**OWN, "authorization": SIGNED, "sec-fetch-site": "none"}, "", "web pages may not call it"),
    ],
)  # fmt: skip
def test_which_calls_are_let_in(headers: dict[str, str], query: str, why: str | None) -> None:
    found = refusal(headers, query, key=KEY, port=4566)
    assert found == why if why is None or found is None else found.startswith(why)


def asked(url: str, method: str = "POST", path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
    """The answer to a raw request."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body="{}" if method == "POST" else None, headers=named)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


@contextmanager
def running(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with emulator(kind, 0, folder, fresh=True) as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.mark.parametrize("kind", ["moto", pytest.param("ministack", marks=pytest.mark.ministack)])
def test_an_emulator_from_outside(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(kind, tmp_path / ".headrace", monkeypatch) as found:
        sqs = boto3.Session().client("sqs")  # the default one keeps the credentials of an earlier test
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        assert sqs.list_queues()["QueueUrls"] == [queue]

        listing = {"X_Amz_Target": "AmazonSQS.ListQueues", "Content_Type": "application/x-amz-json-1.0"}
        guessed = "AWS4-HMAC-SHA256 Credential=test/20261126/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"
        ours = guessed.replace("=test/", f"={found.key}/")
        refused = [
            asked(found.url, **listing),  # another user, who has no key
            asked(found.url, **listing, Authorization=guessed),
            asked(found.url, **listing, Authorization=ours, Origin="https://evil.example"),  # a page
            asked(
                found.url, **listing, Authorization=ours, Host=f"evil.example:{found.url.rpartition(':')[2]}"
            ),
            asked(found.url, "OPTIONS", Origin="https://evil.example", Access_Control_Request_Method="POST"),
            asked(found.url, "GET", "/?Action=DeleteQueue&QueueUrl=" + queue),  # an image, or a link
            asked(found.url, "POST", "/_ministack/reset"),
            asked(found.url, "POST", "/moto-api/reset"),
        ]
        for status, headers, body in refused:
            assert status == 403
            assert not [name for name in headers if name.startswith("access-control")]
            assert queue not in body
        assert sqs.list_queues()["QueueUrls"] == [queue], "nothing was changed"
    assert stat.S_IMODE((tmp_path / ".headrace").stat().st_mode) == 0o700


def test_the_key_is_for_its_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        here = LocalStack(endpoint="http://127.0.0.1:1", stack="s", region="us-east-1", key=new_key())
        with announced(tmp_path, here) as file:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert json.loads(file.read_text())["key"] == here.key
        assert here.key not in file.read_text(), "the key ends with its start"
    finally:
        os.umask(before)


def test_each_start_has_its_own_key() -> None:
    assert len({new_key() for _ in range(100)}) == 100
