"""Whether this process can use the lean transport, and with what region, endpoints and credentials.

Four ways. Where the environment says everything, as in a Lambda function, no file and no module of botocore is read, which takes a third
of a worker's memory. Where it says all but the credentials, as in a container or on an instance with a role, botocore's session is asked for
those, with their refresh. Where a profile or a file may say more, the session reads them, so that profiles and SSO work as they do for boto3;
its clients, which take a quarter, are not made. Anything else (another partition, FIPS, dual stack) asks the clients. What is not served (a
proxy, other signing) is left to boto3, with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headrace.aws.lean.api import Endpoint
from headrace.aws.lean.endpoints import ORDINARY_REGION, SERVICES, at, trusting, usual_url
from headrace.aws.lean.signing import Credentials
from headrace.aws.transport import Service
from headrace.core.values import dataclass

if TYPE_CHECKING:
    from headrace.aws.clients import Clients

UNUSUAL = frozenset(
    [
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_SQS",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE",
        "AWS_SIGV4A_SIGNING_REGION_SET",
        "AWS_AUTH_SCHEME_PREFERENCE",
        "AWS_DATA_PATH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ]
)
"""Variables that botocore heeds and that the short way does not: any of them leads to the long way."""


@dataclass(frozen=True, slots=True)
class NotServed:
    """boto3 has to do it, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Served:
    endpoints: Mapping[Service, Endpoint]
    credentials: Callable[[], Credentials]


def from_environment_alone(environment: Mapping[str, str]) -> Served | None:
    """What the environment says, where it says everything; None where botocore is to be asked."""
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    endpoints = _usual_endpoints(environment) if key and secret else None
    if not key or not secret or endpoints is None:
        return None
    credentials = Credentials(
        key, secret, environment.get("AWS_SESSION_TOKEN") or environment.get("AWS_SECURITY_TOKEN")
    )
    return Served(endpoints, lambda: credentials)


def from_a_role(environment: Mapping[str, str]) -> Served | None:
    """What the environment says, with the credentials of the role of a container, a web identity or a machine; None where endpoints, too,
    are botocore's to find."""
    endpoints = _usual_endpoints(environment)
    return None if endpoints is None else Served(endpoints, _refreshed(_of_a_session()))


def from_files(environment: Mapping[str, str]) -> Served | None:
    """What the environment, a profile and the files in ~/.aws say, as botocore's session reads them; None where its clients are to be asked.

    Raises ProfileNotFound and ConfigParseError, as boto3 does.
    """
    from botocore.session import get_session
    from botocore.utils import get_environ_proxies

    session = get_session()
    setting = session.get_config_variable
    region = setting("region") or ""
    if not ORDINARY_REGION.fullmatch(region) or any(setting(name) for name in ASKED_OF_CLIENTS):
        return None
    if setting("account_id_endpoint_mode") == "required" or has_models():
        return None
    endpoints: dict[Service, Endpoint] = {}
    for service in SERVICES:
        url = _url_in_files(session, service, environment) or usual_url(service, region)
        found = None if get_environ_proxies(url) else at(service, region, url, setting("ca_bundle"))
        if found is None:
            return None
        endpoints[service] = found
    return Served(endpoints, _refreshed(session.get_credentials))


ASKED_OF_CLIENTS = (
    "use_fips_endpoint",
    "use_dualstack_endpoint",
    "sigv4a_signing_region_set",
    "auth_scheme_preference",
    "api_versions",
    "data_path",
)
"""Settings of botocore's that change endpoints or signatures in ways that its clients know."""


def has_models() -> bool:
    """Whether descriptions of services lie where botocore looks for the user's own."""
    return os.path.isdir(os.path.expanduser("~/.aws/models"))


def _url_in_files(session: Any, service: Service, environment: Mapping[str, str]) -> str | None:
    """The endpoint URL that is configured for a service (AWS SDKs reference guide, "Service-specific endpoints")."""
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    url: str | None = environment.get(f"AWS_ENDPOINT_URL_{service.upper()}") or environment.get(
        "AWS_ENDPOINT_URL"
    )
    if url:
        return url
    profile: dict[str, Any] = session.get_scoped_config()
    if "services" in profile:
        services = session.full_config.get("services", {}).get(profile["services"])
        if not services:
            from botocore.exceptions import InvalidConfigError

            raise InvalidConfigError(
                error_msg=f'the profile names the services "{profile["services"]}", which no section defines'
            )
        url = services.get(service, {}).get("endpoint_url")
    return url or profile.get("endpoint_url")


def _usual_endpoints(environment: Mapping[str, str]) -> Mapping[Service, Endpoint] | None:
    """Those of the region, or of AWS_ENDPOINT_URL. None where a file or a variable may say otherwise."""
    region = environment.get("AWS_DEFAULT_REGION", "")
    if not ORDINARY_REGION.fullmatch(region) or not UNUSUAL.isdisjoint(environment):
        return None
    for variable, usual in (
        ("AWS_CONFIG_FILE", "~/.aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ):
        if os.path.isfile(os.path.expanduser(environment.get(variable, usual))):
            return None
    if has_models():
        return None
    endpoints: dict[Service, Endpoint] = {}
    for service in SERVICES:
        url = environment.get("AWS_ENDPOINT_URL") or usual_url(service, region)
        found = at(service, region, url, None)
        if found is None:
            return None
        endpoints[service] = found
    return endpoints


def from_botocore(clients: Clients) -> Served | NotServed:
    """What boto3's clients would do."""
    endpoints: dict[Service, Endpoint] = {}
    for service in SERVICES:
        found = _endpoint(service, clients)
        if isinstance(found, NotServed):
            return found
        endpoints[service] = found
    return Served(endpoints, _refreshed(clients.credentials))


def _endpoint(service: Service, clients: Clients) -> Endpoint | NotServed:
    from botocore.utils import get_environ_proxies

    client: Any = getattr(clients, service)
    setting = clients.session._session.get_config_variable
    url = urlsplit(client.meta.endpoint_url)
    if get_environ_proxies(client.meta.endpoint_url):
        return NotServed(f"a proxy is set for {url.hostname}")
    if client.meta.config.signature_version not in ("v4", None):
        return NotServed(f"requests are signed by {client.meta.config.signature_version}")
    if setting("sigv4a_signing_region_set") or setting("auth_scheme_preference"):
        return NotServed("another way of signing is set")
    if setting("account_id_endpoint_mode") == "required":
        return NotServed("account endpoints are required")
    if url.path.strip("/") or url.query or url.username or not url.hostname:
        return NotServed(f"the endpoint {client.meta.endpoint_url} has more than a host and a port")
    secure = url.scheme == "https"
    return Endpoint(
        service=service,
        region=client.meta.region_name,
        host=url.hostname,
        port=url.port or (443 if secure else 80),
        trust=trusting(setting("ca_bundle")) if secure else None,
    )


def _of_a_session() -> Callable[[], Any]:
    """botocore's credentials by its own chain, from a session that is made when they are first asked for."""

    @cache
    def session() -> Any:
        from botocore.session import get_session

        return get_session()

    return lambda: session().get_credentials()


def _refreshed(find: Callable[[], Any]) -> Callable[[], Credentials]:
    """botocore's own, which refresh themselves. NoCredentialsError at the first request where there are none, as with boto3."""

    last: tuple[object, Credentials] | None = None

    def credentials() -> Credentials:
        nonlocal last
        found = find()
        if found is None:
            from botocore.exceptions import NoCredentialsError

            raise NoCredentialsError()
        frozen = found.get_frozen_credentials()
        known = last
        if known is None or known[0] != frozen:
            made = Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)
            last = known = frozen, made
        return known[1]

    return credentials


def instrumented() -> NotServed | None:
    """Why botocore must see the requests: something in this process has put itself in their way (moto, a tracer, a meter)."""
    import sys

    module = sys.modules.get("botocore.client")
    if module is None:
        return None
    call, home = module.BaseClient._make_api_call, os.path.dirname(str(module.__file__))
    # A tracer's function takes on botocore's name and module, but not its file; wrapt's is no function at all.
    if not isinstance(call, FunctionType) or os.path.dirname(call.__code__.co_filename) != home:
        where = call.__code__.co_filename if isinstance(call, FunctionType) else type(call).__name__
        return NotServed(f"the requests of botocore are watched ({where})")
    handlers = sys.modules.get("botocore.handlers")
    for name, *handler in getattr(handlers, "BUILTIN_HANDLERS", ()):
        if name.startswith("before-send"):
            return NotServed(f"{_kind(handler[0])} answers the requests of botocore")
    return None


def _kind(handler: object) -> str:
    return f"{type(handler).__module__}.{type(handler).__name__}"
