"""Signatures are botocore's, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from headrace.aws.lean.signing import Credentials, Signer

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
NAMES = st.from_regex(r"[A-Za-z0-9_.]{1,40}", fullmatch=True)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))
HOSTS = st.sampled_from(
    [
        ("https://dynamodb.eu-west-1.amazonaws.com", "dynamodb.eu-west-1.amazonaws.com"),
        ("https://sqs.us-gov-west-1.amazonaws.com:8443", "sqs.us-gov-west-1.amazonaws.com:8443"),
        ("http://127.0.0.1:4566", "127.0.0.1:4566"),
        ("http://localhost", "localhost"),
        ("http://[::1]:4566", "[::1]:4566"),
    ]
)


@given(
    key=PRINTABLE,
    secret=PRINTABLE,
    token=st.none() | PRINTABLE,
    service=st.sampled_from(["dynamodb", "sqs"]),
    region=st.from_regex(r"[a-z]{2}-[a-z]{4,9}-[1-9]", fullmatch=True),
    host=HOSTS,
    operation=NAMES,
    body=st.binary(max_size=300),
    at=TIMES,
)
def test_signatures_are_those_of_botocore(
    key: str,
    secret: str,
    token: str | None,
    service: str,
    region: str,
    host: tuple[str, str],
    operation: str,
    body: bytes,
    at: datetime,
) -> None:
    url, name = host
    request = AWSRequest(
        "POST",
        f"{url}/",
        headers={"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": operation},
        data=body,
    )
    with mock.patch("botocore.auth.get_current_datetime", return_value=at.replace(tzinfo=None)):
        SigV4Auth(BotocoreCredentials(key, secret, token), service, region).add_auth(request)
    signer = Signer(service=service, region=region, host=name, content_type="application/x-amz-json-1.0")
    ours = dict(
        line.split(": ", 1)
        for line in signer.headers(
            Credentials(key, secret, token), operation, body, at.timestamp()
        ).splitlines()
    )
    assert ours.pop("Host") == name
    assert ours == dict(request.headers)


@pytest.mark.parametrize("changed", ["second", "day", "credentials"])
def test_what_a_signer_keeps_is_made_anew(changed: str) -> None:
    """One signer a second later, over midnight, and over a refresh of its credentials, signs as a fresh one does."""
    first, second = (
        Credentials("a", "b"),
        Credentials("a", "c") if changed == "credentials" else Credentials("a", "b"),
    )
    later = {"second": 1.0, "day": 86_400.0, "credentials": 0.0}[changed]

    def signer() -> Signer:
        return Signer(service="sqs", region="us-east-1", host="x", content_type="t")

    old = signer()
    before = old.headers(first, "T", b"", 0.0)
    after = old.headers(second, "T", b"", later)
    assert after == signer().headers(second, "T", b"", later)
    assert after != before
