"""Secrets of webhooks: kept as SecureStrings in SSM, or wherever a reference says. Nothing but the reference is stored by Headrace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headrace.aws.faults import translated
from headrace.errors import NotConfigured

if TYPE_CHECKING:
    from headrace.aws.transport import Boto

SSM, MANAGER = "ssm:", "secretsmanager:"


class AwsSecrets:
    """A reference is `ssm:<parameter>`, `secretsmanager:<secret>`, or the ARN of a secret."""

    def __init__(self, clients: Callable[[], Boto], *, stack: str) -> None:
        self._clients = clients
        self._stack = stack

    def keep(self, name: str, value: str) -> str:
        """Store a secret under the stack's own name, in place of what is there; the reference to it."""
        parameter = f"/{self._stack}/webhooks/{name}"
        request = {"Name": parameter, "Value": value, "Type": "SecureString", "Overwrite": True}
        self._call("ssm", "put_parameter", f"parameter {parameter}", request)
        return SSM + parameter

    def read(self, reference: str) -> str:
        """The secret. NotConfigured where there is none."""
        if reference.startswith(SSM):
            name = reference.removeprefix(SSM)
            request = {"Name": name, "WithDecryption": True}
            found = self._call("ssm", "get_parameter", f"parameter {name}", request)
            return str(found["Parameter"]["Value"])
        name = reference.removeprefix(MANAGER)
        secret = self._call("secretsmanager", "get_secret_value", f"secret {name}", {"SecretId": name})
        if "SecretString" not in secret:
            raise NotConfigured(f"secret {name} is binary: store the webhook's secret as a text")
        return str(secret["SecretString"])

    def forget(self, reference: str) -> None:
        """Delete a secret that `keep` stored; any other stays. Doing it twice is harmless."""
        own = f"{SSM}/{self._stack}/webhooks/"
        if reference.startswith(own):
            name = reference.removeprefix(SSM)
            self._call("ssm", "delete_parameters", f"parameter {name}", {"Names": [name]})

    def _call(self, service: str, method: str, what: str, request: Mapping[str, Any]) -> dict[str, Any]:
        with translated("store", what, self._stack):
            answer: dict[str, Any] = getattr(self._clients().service(service), method)(**request)
            return answer
