"""Signature Version 4 for the one shape of request that the JSON protocols have: POST / with a body.

Source: AWS documentation, "Create a signed AWS API request". A property test holds it to botocore's signer, byte for byte.
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256

from headrace.core.values import dataclass

NAMES = "content-type;host;x-amz-date;x-amz-target"
NAMES_WITH_TOKEN = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
CRLF = "\r\n"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs a request. `token` is there for temporary credentials."""

    access_key: str
    secret_key: str
    token: str | None = None


class Signer:
    """Signs for one service in one region at one host. Thread-safe: what is kept is replaced whole."""

    def __init__(self, *, service: str, region: str, host: str, content_type: str) -> None:
        self._service = service
        self._region = region
        self._host = host
        self._content_type = content_type
        self._day_key: tuple[str, Credentials, bytes] | None = None
        self._second = (-1, "")

    def headers(self, credentials: Credentials, target: str, body: bytes, now_s: float) -> str:
        """The signed headers of a request, one a line, Host and Authorization among them. `now_s`: since the epoch."""
        stamp = self._stamp(int(now_s))
        token = credentials.token
        token_line = f"x-amz-security-token:{token.strip()}\n" if token else ""
        names = NAMES_WITH_TOKEN if token else NAMES
        canonical = (
            f"POST\n/\n\ncontent-type:{self._content_type}\nhost:{self._host}\nx-amz-date:{stamp}\n"
            f"{token_line}x-amz-target:{target}\n\n{names}\n{sha256(body).hexdigest()}"
        )
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key(credentials, stamp[:8]), text.encode(), "sha256").hex()
        return (
            f"Host: {self._host}\r\nContent-Type: {self._content_type}\r\nX-Amz-Date: {stamp}\r\n"
            f"X-Amz-Target: {target}\r\n{f'X-Amz-Security-Token: {token}{CRLF}' if token else ''}"
            f"Authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n"
        )

    def _stamp(self, second: int) -> str:
        known = self._second
        if known[0] != second:
            self._second = known = second, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        return known[1]

    def _key(self, credentials: Credentials, day: str) -> bytes:
        known = self._day_key
        if known is not None and known[0] == day and (known[1] is credentials or known[1] == credentials):
            return known[2]
        key = f"AWS4{credentials.secret_key}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._day_key = (day, credentials, key)
        return key
