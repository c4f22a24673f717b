"""Credentials that cannot be had are the same error over both transports, and it says what to do. One table; nothing is sent to AWS."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aws.world import only
from headrace.aws.dynamodb.store import AwsStore
from headrace.aws.faults import translated
from headrace.aws.lean import transport as choosing
from headrace.aws.lean.transport import Choice, choose
from headrace.core.changes import Key, Put
from headrace.errors import HeadraceError, NotConfigured, StoreUnavailable

EXPIRED = '{"Version":1,"AccessKeyId":"K","SecretAccessKey":"s","SessionToken":"t","Expiration":"2001-01-01T00:00:00Z"}'
ROLE = "role_arn = arn:aws:iam::123456789012:role/work\nsource_profile = "
KEYS = "[keys]\naws_access_key_id = K\naws_secret_access_key = s\n"
SSO = "sso_start_url = https://example.awsapps.com/none\nsso_region = eu-west-3\nsso_account_id = 1\nsso_role_name = work"
TOKEN_FILE = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/work"}

FAILING: dict[str, tuple[str, dict[str, str], str]] = {
    "none": ("", {}, "aws configure"),
    "half of them": ("aws_access_key_id = K", {}, "aws_secret_access_key"),
    "a process that fails": ("credential_process = sh -c 'echo no luck >&2; exit 3'", {}, "no luck"),
    "a process that gives expired ones": (f"credential_process = echo '{EXPIRED}'", {}, "expired"),
    "a role of a profile that is not there": (f"{ROLE}gone", {}, "gone"),
    "single sign-on without a login": (SSO, {}, "sso login"),
    "a token that is not there": ("", TOKEN_FILE, "/nonexistent/token"),
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own: nothing watches botocore's requests."""
    monkeypatch.setattr(choosing, "instrumented", lambda: None)


def write(name: Choice, home: Path, profile: str, more: dict[str, str]) -> None:
    """Write to the table with what a profile says."""
    config, shared = home / "config", home / "credentials"
    config.write_text(f"[profile work]\nregion = eu-west-3\nendpoint_url = http://127.0.0.1:1\n{profile}\n")
    shared.write_text(KEYS)
    environment = {
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(shared),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PROFILE": "work",
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
    }
    with only(environment | more):
        with translated("store", "AWS", "shop"):  # as `connect` does
            over = choose(name)
        store = AwsStore(over, table="shop", bucket=lambda: "b", stack="shop", pause=lambda _: None)
        store.write(Put(key=Key("run#1", "run"), item={}))


TRANSPORTS = pytest.mark.parametrize("name", ["boto3", "lean"])


@TRANSPORTS
@pytest.mark.parametrize(("profile", "more", "hint"), FAILING.values(), ids=FAILING)
def test_credentials_that_cannot_be_had_are_said_to_be_missing(
    tmp_path: Path, profile: str, more: dict[str, str], hint: str, name: Choice
) -> None:
    if "TOKEN" in str(more):
        more = more | {"AWS_PROFILE": "other", "AWS_CONFIG_FILE": _other(tmp_path)}
    with pytest.raises(HeadraceError) as error:
        write(name, tmp_path, profile, more)
    assert type(error.value) is NotConfigured
    assert hint in str(error.value)


def _other(home: Path) -> str:
    path = home / "other"
    path.write_text("[profile other]\nregion = eu-west-3\n")
    return str(path)


@contextmanager
def sts(status: int, code: str) -> Iterator[str]:
    """A service of roles that refuses."""
    text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>".encode()

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@TRANSPORTS
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, "AccessDenied", NotConfigured), (400, "Throttling", StoreUnavailable)],
)
def test_a_role_that_is_refused_is_missing_and_one_that_is_throttled_may_come(
    tmp_path: Path, status: int, code: str, kind: type[HeadraceError], name: Choice
) -> None:
    with sts(status, code) as url, pytest.raises(HeadraceError, match="AssumeRole") as error:
        write(name, tmp_path, f"{ROLE}keys", {"AWS_ENDPOINT_URL_STS": url, "AWS_MAX_ATTEMPTS": "1"})
    assert type(error.value) is kind


@TRANSPORTS
def test_a_service_of_roles_that_is_out_of_reach_may_come_back(tmp_path: Path, name: Choice) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(StoreUnavailable):
        write(
            name,
            tmp_path,
            f"{ROLE}keys",
            {"AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{port}", "AWS_MAX_ATTEMPTS": "1"},
        )
