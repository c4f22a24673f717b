"""When the lean transport serves, with what, and when it leaves the requests to boto3."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from aws.world import KEYS, only
from headrace.aws.clients import BotoTransport, Clients
from headrace.aws.lean import transport as choosing
from headrace.aws.lean.api import Endpoint
from headrace.aws.lean.configuration import (
    NotServed,
    Served,
    from_a_role,
    from_botocore,
    from_environment_alone,
    from_files,
    instrumented,
)
from headrace.aws.lean.signing import Credentials
from headrace.aws.lean.transport import LeanTransport, choose

SECRET = {"AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own: nothing watches botocore's requests."""
    monkeypatch.setattr(choosing, "instrumented", lambda: None)
    choosing._say_once.cache_clear()


def told(served: Served | NotServed | None) -> dict[str, tuple[str, str, int, bool]]:
    assert isinstance(served, Served), served
    return {
        name: (each.region, each.host, each.port, each.trust is not None)
        for name, each in served.endpoints.items()
    }


def test_the_environment_alone_says_what_botocore_says() -> None:
    with only(KEYS | {"AWS_SESSION_TOKEN": "token"}):
        short, long = from_environment_alone(os.environ), from_botocore(Clients())
        assert told(short) == told(long)
        assert told(short)["sqs"] == ("us-east-1", "sqs.us-east-1.amazonaws.com", 443, True)
        assert isinstance(short, Served)
        assert isinstance(long, Served)
        assert short.credentials() == long.credentials() == Credentials("AKIDEXAMPLE", "secret", "token")


REGIONS = [
    "us-east-1",
    "eu-central-2",
    "ap-southeast-7",
    "il-central-1",
    "mx-central-1",
    "ca-west-1",
    "me-south-1",
]


@pytest.mark.parametrize("region", REGIONS)
def test_endpoints_of_ordinary_regions_are_those_of_botocore(region: str) -> None:
    with only(KEYS | {"AWS_DEFAULT_REGION": region}):
        assert told(from_environment_alone(os.environ)) == told(from_botocore(Clients()))


ENDPOINTS = [
    "http://127.0.0.1:4566",
    "http://localhost",
    "https://vpce-1.sqs.us-east-1.vpce.amazonaws.com/",
    "http://[::1]:4566",
]


@pytest.mark.parametrize("url", ENDPOINTS)
def test_an_endpoint_in_the_environment_is_that_of_botocore(url: str) -> None:
    with only(KEYS | {"AWS_ENDPOINT_URL": url}):
        assert told(from_environment_alone(os.environ)) == told(from_botocore(Clients()))


UNUSUAL = {
    "an endpoint with a path": {"AWS_ENDPOINT_URL": "http://127.0.0.1:1/aws"},
    "an endpoint with a user": {"AWS_ENDPOINT_URL": "http://me:secret@127.0.0.1:1"},
    "an endpoint that is none": {"AWS_ENDPOINT_URL": "127.0.0.1:4566"},
    "an endpoint of no port": {"AWS_ENDPOINT_URL": "http://127.0.0.1:port"},
    "another partition": {"AWS_DEFAULT_REGION": "cn-north-1"},
    "a government's": {"AWS_DEFAULT_REGION": "us-gov-west-1"},
    "no region of AWS's": {"AWS_DEFAULT_REGION": "local host/"},
    "no region": {"AWS_DEFAULT_REGION": ""},
    "no secret": {"AWS_SECRET_ACCESS_KEY": ""},
    "a profile": {"AWS_PROFILE": "work"},
    "an endpoint": {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1"},
    "a proxy": {"HTTPS_PROXY": "http://127.0.0.1:1"},
    "authorities": {"AWS_CA_BUNDLE": "/ca.pem"},
    "FIPS": {"AWS_USE_FIPS_ENDPOINT": "true"},
    "a file": {"AWS_CONFIG_FILE": __file__},
    "credentials that end": {"AWS_CREDENTIAL_EXPIRATION": "2030-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("more", UNUSUAL.values(), ids=UNUSUAL)
def test_whatever_is_unusual_is_asked_of_botocore(more: dict[str, str]) -> None:
    assert from_environment_alone(KEYS | more) is None


WORK_KEYS = "[work]\naws_access_key_id = WORK\naws_secret_access_key = of work\n"
SERVICES_HERE = "services = here\n[services here]\nsqs =\n  endpoint_url = http://localhost:4566\n"

FILES: dict[str, tuple[str, dict[str, str]]] = {
    "a region": ("region = eu-west-3", {}),
    "a region, and another in the environment": (
        "region = eu-west-3",
        {"AWS_DEFAULT_REGION": "sa-east-1"},
    ),
    "an endpoint of one service": (f"region = eu-west-3\n{SERVICES_HERE}", {}),
    "an endpoint of all": ("region = eu-west-3\nendpoint_url = http://localhost:4566", {}),
    "an endpoint of one service and one of all": (
        f"region = eu-west-3\nendpoint_url = https://localhost\n{SERVICES_HERE}",
        {},
    ),
    "an endpoint in the environment goes before": (
        f"region = eu-west-3\n{SERVICES_HERE}",
        {"AWS_ENDPOINT_URL": "http://localhost:1"},
    ),
    "one of a service before all": (
        f"region = eu-west-3\n{SERVICES_HERE}",
        {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_ENDPOINT_URL_SQS": "http://localhost:2"},
    ),
    "no configured endpoints": (
        f"region = eu-west-3\nignore_configured_endpoint_urls = true\nendpoint_url = http://localhost:4566\n{SERVICES_HERE}",
        {"AWS_ENDPOINT_URL": "http://localhost:1"},
    ),
    "endpoints that are heeded": (
        "region = eu-west-3\nignore_configured_endpoint_urls = false\nendpoint_url = http://localhost:4566",
        {},
    ),
    "retries, output and modes": (
        "region = eu-west-3\nretry_mode = adaptive\nmax_attempts = 9\noutput = yaml\ndefaults_mode = standard",
        {},
    ),
    "authorities": ("region = eu-west-3\nca_bundle = /ca.pem", {}),
    "no proxy for these": (
        "region = eu-west-3",
        {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "amazonaws.com"},
    ),
}


@contextmanager
def a_profile(path: Path, text: str, more: dict[str, str]) -> Iterator[None]:
    """A home whose profile `work` says this."""
    home = path / ".aws"
    home.mkdir()
    (home / "config").write_text(f"[default]\nregion = us-west-2\n[profile work]\n{text}\n")
    (home / "credentials").write_text(f"[default]\naws_access_key_id = OTHER\n{WORK_KEYS}")
    with only({"HOME": str(path), "AWS_PROFILE": "work", "AWS_EC2_METADATA_DISABLED": "true", **more}):
        yield


@pytest.mark.parametrize(("text", "more"), FILES.values(), ids=FILES)
def test_what_files_say_is_what_botocores_clients_say(
    tmp_path: Path, text: str, more: dict[str, str]
) -> None:
    with a_profile(tmp_path, text, more):
        assert from_environment_alone(os.environ) is None
        assert from_a_role(os.environ) is None
        short, long = from_files(os.environ), from_botocore(Clients())
        assert told(short) == told(long)
        assert isinstance(short, Served)
        assert isinstance(long, Served)
        assert short.credentials() == long.credentials() == Credentials("WORK", "of work", None)
        assert [each.trust for each in short.endpoints.values()] == [
            each.trust for each in long.endpoints.values()
        ], "trust is one context for each list of authorities"


def test_endpoints_and_authorities_are_those_of_the_configuration(tmp_path: Path) -> None:
    with a_profile(tmp_path, f"region = eu-west-3\n{SERVICES_HERE}", {}):
        assert told(from_files(os.environ)) == {
            "dynamodb": ("eu-west-3", "dynamodb.eu-west-3.amazonaws.com", 443, True),
            "sqs": ("eu-west-3", "localhost", 4566, False),
        }


LEFT_TO_CLIENTS: dict[str, tuple[str, dict[str, str]]] = {
    "another partition": ("region = cn-north-1", {}),
    "no region": ("output = json", {}),
    "FIPS": ("region = eu-west-3\nuse_fips_endpoint = true", {}),
    "dual stack": ("region = eu-west-3\nuse_dualstack_endpoint = true", {}),
    "account endpoints": ("region = eu-west-3\naccount_id_endpoint_mode = required", {}),
    "another way of signing": ("region = eu-west-3\nauth_scheme_preference = sigv4a", {}),
    "regions of a signature": ("region = eu-west-3\nsigv4a_signing_region_set = *", {}),
    "versions": ("region = eu-west-3\napi_versions =\n  dynamodb = 2012-08-10", {}),
    "models": ("region = eu-west-3", {"AWS_DATA_PATH": "/models"}),
    "a proxy": ("region = eu-west-3", {"HTTPS_PROXY": "http://127.0.0.1:1"}),
    "a path": ("region = eu-west-3\nendpoint_url = http://localhost:4566/aws", {}),
}


@pytest.mark.parametrize(("text", "more"), LEFT_TO_CLIENTS.values(), ids=LEFT_TO_CLIENTS)
def test_what_files_say_that_only_clients_know_is_asked_of_them(
    tmp_path: Path, text: str, more: dict[str, str]
) -> None:
    with a_profile(tmp_path, text, more):
        assert from_files(os.environ) is None


def test_models_of_the_users_own_are_asked_of_clients(tmp_path: Path) -> None:
    with a_profile(tmp_path, "region = eu-west-3", {}):
        assert from_files(os.environ) is not None
        (tmp_path / ".aws" / "models").mkdir()
        assert from_files(os.environ) is None
    with only({**KEYS, "HOME": str(tmp_path)}):
        assert from_environment_alone(os.environ) is None


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("account_id_endpoint_mode = required", "account endpoints are required"),
        ("auth_scheme_preference = sigv4a", "another way of signing is set"),
    ],
)
def test_a_profile_may_ask_for_what_only_boto3_serves(
    tmp_path: Path, text: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        a_profile(tmp_path, f"region = eu-west-3\n{text}", {}),
        caplog.at_level(logging.INFO, "headrace.aws"),
    ):
        assert isinstance(choose("lean"), BotoTransport)
    assert why in caplog.text


WRONG: dict[str, tuple[str, dict[str, str]]] = {
    "no such profile": ("region = eu-west-3", {"AWS_PROFILE": "gone"}),
    "no such services": ("region = eu-west-3\nservices = gone", {}),
    "no file of settings": ("region = eu-west-3\n[broken", {}),
}


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("text", "more"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_files_is_the_same_error_as_with_boto3(
    tmp_path: Path, text: str, more: dict[str, str]
) -> None:
    with a_profile(tmp_path, text, more):
        with pytest.raises(BotoCoreError) as long:
            Clients()
        with pytest.raises(type(long.value)) as short:
            choose("lean")
    assert short.type is long.type


@pytest.mark.usefixtures("bare")
def test_a_profile_needs_no_client_of_botocore(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom headrace.aws.lean.transport import LeanTransport, choose\nfound = choose('lean')\n"
        "assert isinstance(found, LeanTransport)\nassert found._apis['sqs']._credentials().access_key == 'WORK'\n"
        "print([name for name in ('boto3', 'botocore.session') if name in sys.modules])"
    )
    with a_profile(tmp_path, f"region = eu-west-3\n{SERVICES_HERE}", {}):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stdout == "['botocore.session']\n", done.stderr


def test_credentials_of_a_process_are_refreshed(tmp_path: Path) -> None:
    """botocore's provider asks again once they are about to end."""
    counted, script = tmp_path / "count", tmp_path / "credentials.sh"
    script.write_text(
        f'echo x >> {counted}\necho \'{{"Version":1,"AccessKeyId":"K\'$(wc -l < {counted} | tr -d " ")\'",'
        '"SecretAccessKey":"s","SessionToken":"t","Expiration":"2001-01-01T00:00:00Z"}\'\n'
    )
    config = tmp_path / "config"
    config.write_text(f"[default]\nregion = eu-west-3\ncredential_process = sh {script}\n")
    with only(
        {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "PATH": "/usr/bin:/bin"}
    ):
        served = from_files(os.environ)
        assert isinstance(served, Served)
        with pytest.raises(Exception, match="expired"):
            served.credentials()
        script.write_text(script.read_text().replace("2001", "2999"))
        assert served.credentials().access_key.startswith("K")
    assert len(counted.read_text().splitlines()) >= 2


@contextmanager
def answering(text: str) -> Iterator[tuple[str, Counter[str]]]:
    """A server that gives credentials: its URL, and what was asked for."""
    asked: Counter[str] = Counter()

    class Credentials(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path] += 1
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # http.server's name

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Credentials) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.fixture
def container() -> Iterator[tuple[dict[str, str], Counter[str]]]:
    """The credentials of a container's role, as ECS and EKS serve them: the environment of a process in it, and what was asked for."""
    role = {"AccessKeyId": "ROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}
    with answering(json.dumps(role)) as (url, asked):
        yield (
            {
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_CONFIG_FILE": "/dev/null",
                "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/role",
            },
            asked,
        )


def test_a_profile_that_takes_a_role_asks_for_it_once(tmp_path: Path) -> None:
    role = (
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    text = "region = eu-west-3\nrole_arn = arn:aws:iam::123456789012:role/work\nsource_profile = keys\n[profile keys]"
    with answering(role) as (url, asked), a_profile(tmp_path, text, {"AWS_ENDPOINT_URL_STS": url}):
        (tmp_path / ".aws" / "credentials").write_text(WORK_KEYS.replace("[work]", "[keys]"))
        served = from_files(os.environ)
        assert isinstance(served, Served)
        assert not asked, "a role is asked for with the first request"
        assert served.credentials() == served.credentials() == Credentials("ROLE", "s", "t")
        assert asked.total() == 1


def test_a_profile_of_single_sign_on_asks_for_credentials_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "https://example.awsapps.com/start"
    text = f"region = eu-west-3\nsso_start_url = {start}\nsso_region = eu-west-3\nsso_account_id = 1\nsso_role_name = work"
    keys = {
        "accessKeyId": "SSO",
        "secretAccessKey": "s",
        "sessionToken": "t",
        "expiration": 32_503_680_000_000,
    }
    with answering(json.dumps({"roleCredentials": keys})) as (url, asked):
        with a_profile(tmp_path, text, {"AWS_ENDPOINT_URL_SSO": url}):
            (tmp_path / ".aws" / "credentials").unlink()
            cache = tmp_path / ".aws" / "sso" / "cache"
            cache.mkdir(parents=True)
            monkeypatch.setattr(
                "botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache)
            )  # found at import
            token = {"accessToken": "x", "expiresAt": "2999-01-01T00:00:00Z"}
            (cache / f"{sha1(start.encode()).hexdigest()}.json").write_text(json.dumps(token))
            served = from_files(os.environ)
            assert isinstance(served, Served)
            assert served.credentials() == served.credentials() == Credentials("SSO", "s", "t")
        assert asked.total() == 1


def test_a_role_gives_credentials_without_a_client_of_botocore(
    container: tuple[dict[str, str], Counter[str]],
) -> None:
    environment, asked = container
    with only(environment):
        assert from_environment_alone(os.environ) is None
        short = from_a_role(os.environ)
        assert isinstance(short, Served)
        assert not asked, "a role is asked with the first request"
        assert short.credentials() == short.credentials() == Credentials("ROLE", "s", "t")
        assert asked["/role"] == 1
        long = from_botocore(Clients())
        assert told(short) == told(long)
        assert isinstance(long, Served)
        assert long.credentials() == short.credentials()
    program = (
        "import sys\nfrom headrace.aws.lean.transport import LeanTransport, choose\nfound = choose('lean')\n"
        "assert isinstance(found, LeanTransport)\nassert found._apis['sqs']._credentials().access_key == 'ROLE'\n"
        "print([name for name in ('boto3', 'botocore.client', 'botocore.session') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "'boto3'" not in done.stdout, done.stdout
    assert "botocore.session" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "more", [{"AWS_PROFILE": "work"}, {"AWS_DEFAULT_REGION": "cn-north-1"}, {"AWS_USE_FIPS_ENDPOINT": "true"}]
)
def test_where_endpoints_are_not_the_usual_botocore_is_asked_for_all(more: dict[str, str]) -> None:
    with only({**KEYS, **more}):
        assert from_a_role(os.environ) is None


def test_no_credentials_are_the_same_error_as_with_boto3() -> None:
    from botocore.exceptions import NoCredentialsError

    with only({key: value for key, value in KEYS.items() if "KEY" not in key}):
        short, long = from_a_role(os.environ), from_botocore(Clients())
        for served in (short, long):
            assert isinstance(served, Served)
            with pytest.raises(NoCredentialsError):
                served.credentials()


NOT_SERVED = {
    "a proxy": ({"HTTPS_PROXY": "http://127.0.0.1:1"}, "a proxy is set for dynamodb.us-east-1.amazonaws.com"),
    "a path": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1/aws"}, "has more than a host and a port"),
    "another signature": ({"AWS_AUTH_SCHEME_PREFERENCE": "sigv4a"}, "another way of signing"),
}


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("more", "why"), NOT_SERVED.values(), ids=NOT_SERVED)
def test_boto3_does_what_is_not_served_and_the_reason_is_said_once(
    more: dict[str, str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with only(KEYS | more), caplog.at_level(logging.INFO, "headrace.aws"):
        assert isinstance(choose("lean"), BotoTransport)
        assert isinstance(choose("lean"), BotoTransport)
    assert [record.getMessage() for record in caplog.records if why in record.getMessage()] == [
        record.getMessage() for record in caplog.records
    ]
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("bare")
def test_a_proxy_that_is_not_for_this_host_changes_nothing() -> None:
    with only(KEYS | {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "amazonaws.com"}):
        assert isinstance(choose("lean"), LeanTransport)


@pytest.mark.usefixtures("bare")
def test_the_setting_is_obeyed() -> None:
    with only(KEYS):
        assert isinstance(choose("lean"), LeanTransport)
        assert isinstance(choose("boto3"), BotoTransport)


def test_what_watches_botocore_sees_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracer wraps the one method that every call goes through; moto answers before a request is sent."""
    from functools import wraps

    from botocore import handlers
    from botocore.client import BaseClient

    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", [])
    assert instrumented() is None
    original = vars(BaseClient)["_make_api_call"]

    @wraps(original)
    def traced(*arguments: object) -> object:
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", traced)
        assert instrumented() == NotServed(f"the requests of botocore are watched ({__file__})")
        patch.setattr(BaseClient, "_make_api_call", type("Proxy", (), {"__call__": traced})())
        assert instrumented() == NotServed("the requests of botocore are watched (Proxy)")
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", [("before-send", len)])
    assert instrumented() == NotServed("builtins.builtin_function_or_method answers the requests of botocore")


@pytest.mark.parametrize(
    ("endpoint", "header"),
    [
        (("h", 443, True), "h"),
        (("h", 80, False), "h"),
        (("h", 80, True), "h:80"),
        (("::1", 4566, False), "[::1]:4566"),
    ],
)
def test_the_host_that_is_signed(endpoint: tuple[str, int, bool], header: str) -> None:
    host, port, secure = endpoint
    trust = (lambda: None) if secure else None
    made = Endpoint(service="sqs", region="r", host=host, port=port, trust=trust)  # type: ignore[arg-type]  # never connected
    assert made.host_header == header
