"""Where a service is, from a region or a URL, and which authorities its certificate is checked against."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headrace.aws.lean.api import Endpoint
from headrace.aws.transport import Service

if TYPE_CHECKING:
    import ssl

SERVICES: tuple[Service, ...] = ("dynamodb", "sqs")

ORDINARY_REGION = re.compile(r"(?!us-gov-|us-iso|cn-|eu-isoe-)[a-z]{2}-[a-z]+(-[a-z]+)?-\d")
"""A region of the partition `aws`, whose endpoints end in amazonaws.com. Others are looked up by botocore."""


def usual_url(service: Service, region: str) -> str:
    return f"https://{service}.{region}.amazonaws.com"


def at(service: Service, region: str, url_text: str, bundle: str | None) -> Endpoint | None:
    """The endpoint of a URL; None where it is more than a host and a port, or none that can be read. `bundle`: of authorities."""
    try:
        url = urlsplit(url_text)
        port = url.port
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not url.hostname:
        return None
    if url.path.strip("/") or url.query or url.fragment or url.username:
        return None
    secure = url.scheme == "https"
    return Endpoint(
        service=service,
        region=region,
        host=url.hostname,
        port=port or (443 if secure else 80),
        trust=trusting(bundle) if secure else None,
    )


@cache
def trusting(bundle: str | None) -> Callable[[], ssl.SSLContext]:
    """The TLS context of boto3: its own list of authorities, or that of `ca_bundle`. Made at the first connection."""

    @cache
    def context() -> ssl.SSLContext:
        import ssl

        made = ssl.create_default_context(cafile=bundle or authorities())
        made.set_alpn_protocols(["http/1.1"])
        return made

    return context


def authorities() -> str | None:
    """The file of authorities that botocore would take: certifi's, else its own; None for the system's."""
    from importlib.util import find_spec

    for package in ("certifi", "botocore"):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            path = os.path.join(os.path.dirname(spec.origin), "cacert.pem")
            if os.path.isfile(path):
                return path
    return None
