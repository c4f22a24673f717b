"""`headrace keys create`, and what `headrace runs` shows of sealed payloads."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Command

from headrace.crypto import AesGcmCodec, KmsKey


@pytest.fixture
def kms(project: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a fixture that yields an ARN
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield str(boto3.client("kms").create_key()["KeyMetadata"]["Arn"])


def test_a_key_is_printed_as_code(headrace: Command, kms: str) -> None:
    done = headrace("keys", "create", kms, "--id", "2026-11")
    assert done.code == 0, done.err
    made = eval(done.out.strip().rstrip(","), {"KmsKey": KmsKey})
    codec = AesGcmCodec([made])
    assert codec.open(codec.seal(b"a")) == b"a"
    assert len(made.secret()) == 32


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("alias/mine", "--id", "a"), "give the ARN of the KMS key"),
        (("arn:aws:kms:us-east-1:1:key/x", "--id", "a b"), "the id of a key is 'a b'"),
        (
            ("arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000", "--id", "a"),
            "KMS key arn:aws:kms",
        ),
    ],
)
def test_a_key_that_cannot_be_made_says_why(
    headrace: Command, kms: str, arguments: tuple[str, ...], says: str
) -> None:
    done = headrace("keys", "create", *arguments)
    assert done.code != 0
    assert says in done.err
    assert "Traceback" not in done.err


APP = """
import base64, os
from headrace import Context, Headrace
from headrace.crypto import AesGcmCodec, LocalKey

hatchet = Headrace(codec=AesGcmCodec([LocalKey("k1", base64.b64encode(b"7" * 32).decode())]))

@hatchet.task(name="echo")
def echo(input: dict, ctx: Context) -> dict:
    ctx.log("line of " + input["what"])
    raise ValueError("no " + input["what"])
"""


def test_a_run_is_shown_as_far_as_it_can_be_opened(
    headrace: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace_infra.loading import load_app
    from headrace_infra.testing import local

    (project / "app.py").write_text(APP)
    app = load_app("app:hatchet")
    with local(app, background=False) as stack:
        ref = app._workflows_by_name["echo"].run(input={"what": "xyzzy"}, wait_for_result=False)
        stack.drain()
        with_codec = headrace("runs", "get", ref.workflow_run_id, "--app", "app:hatchet")
        monkeypatch.setenv("HEADRACE_STACK", app.settings.stack)
        without = headrace("runs", "get", ref.workflow_run_id)
    assert with_codec.out.count("xyzzy") >= 3
    assert without.code == 0, without.err
    assert "xyzzy" not in without.out
    assert "$sealed" not in without.out
    assert without.out.count("(sealed by a payload codec") >= 3
