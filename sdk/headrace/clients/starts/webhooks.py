"""`hatchet.webhooks`: requests of other services that become events."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace.clients.naming import App
from headrace.clients.pages import page_of
from headrace.core.events.webhook import Algorithm, ApiKey, Auth, Basic, Encoding, Hmac, Source, Webhook
from headrace.core.sizes import MAX_KEPT_BYTES, check_size
from headrace.engine.events import webhooks
from headrace.errors import DefinitionError, NotConfigured
from headrace.options.times import from_epoch_ms
from headrace.triggers.faces import aio
from headrace.values.codec import metadata_of
from headrace.values.expressions import check

if TYPE_CHECKING:
    from headrace.clients.models.events import (
        V1Webhook,
        V1WebhookAPIKeyAuth,
        V1WebhookBasicAuth,
        V1WebhookHMACAuth,
        V1WebhookList,
        V1WebhookSourceName,
    )
    from headrace.ports import Secrets

    GivenAuth: TypeAlias = V1WebhookBasicAuth | V1WebhookAPIKeyAuth | V1WebhookHMACAuth

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
REFERENCES = ("ssm:", "secretsmanager:", "arn:aws")
"""What a secret begins with that is kept elsewhere."""

SIGNATURES = {
    Source.GITHUB: "x-hub-signature-256",
    Source.LINEAR: "linear-signature",
    Source.STRIPE: "stripe-signature",
    Source.SLACK: "x-slack-signature",
    Source.SVIX: "svix-signature",
}


class WebhooksClient:
    """Webhooks by name. They answer where a worker of the stack is declared with `webhooks=True`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def create(
        self,
        source_name: Source | str,
        name: str,
        event_key_expression: str,
        auth: GivenAuth,
        scope_expression: str | None = None,
        static_payload: Mapping[str, Any] | None = None,
        return_event_as_response_payload: bool = True,
    ) -> V1Webhook:
        """Take requests to `<the function's URL>/api/v1/stable/tenants/<stack>/webhooks/<name>` as events.

        The expressions are CEL over `input` (the body) and `headers` (names in lower case): `"github:" + headers["x-github-event"]`.
        auth: a secret is put into SSM as a SecureString, and only where it is kept is stored; one that begins with "ssm:",
        "secretsmanager:" or "arn:aws" is kept there already. static_payload: laid over the body. DefinitionError for what cannot
        work; ValueError where there is a webhook of that name.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DefinitionError(
                f"webhook {name!r}: the name is part of a URL: give 1 to 100 letters, digits, '-', '_' and '.'"
            )
        where = f"webhook {name}"
        source = _source(source_name, where)
        check(event_key_expression, f"{where}: event_key_expression")
        if scope_expression is not None:
            check(scope_expression, f"{where}: scope_expression")
        kind, secret = _auth(auth, source, where)
        static = metadata_of(static_payload)
        check_size(f"{where}: static_payload", static, MAX_KEPT_BYTES)
        if webhooks.get(self._app.engine, name) is not None:
            raise _taken(name)
        now_ms = self._app.engine.clock.now_ms()
        made = Webhook(
            name=name,
            source=source,
            auth=kind,
            secret=self._kept(name, secret, now_ms),
            key=event_key_expression,
            scope=scope_expression,
            static_payload=static,
            returns_event=return_event_as_response_payload,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        if not webhooks.create(self._app.engine, made):
            self._secrets().forget(made.secret)
            raise _taken(name)
        return self._shown(made)

    aio_create = aio(create)

    def list(
        self,
        limit: int | None = None,
        offset: int | None = None,
        webhook_names: Sequence[str] | None = None,
        source_names: Sequence[V1WebhookSourceName] | None = None,
    ) -> V1WebhookList:
        """Webhooks by name, all or those of these names and senders; `limit` defaults to 50."""
        from headrace.clients.models.events import V1WebhookList

        found = [
            each
            for each in webhooks.all_webhooks(self._app.engine)
            if (webhook_names is None or each.name in webhook_names)
            and (source_names is None or each.source in source_names)
        ]
        rows, pagination = page_of(found, offset, limit)
        return V1WebhookList(rows=[self._shown(each) for each in rows], pagination=pagination)

    aio_list = aio(list)

    def get(self, webhook_name: str) -> V1Webhook:
        """A webhook. ValueError where there is none."""
        return self._shown(self._found(webhook_name))

    aio_get = aio(get)

    def update(
        self,
        webhook_name: str,
        event_key_expression: str | None = None,
        scope_expression: str | None = None,
        static_payload: Mapping[str, Any] | None = None,
        return_event_as_response_payload: bool | None = None,
    ) -> V1Webhook:
        """Change what is given; the rest stays. ValueError where there is no such webhook."""
        old, where = self._found(webhook_name), f"webhook {webhook_name}"
        for what, each in (
            ("event_key_expression", event_key_expression),
            ("scope_expression", scope_expression),
        ):
            if each is not None:
                check(each, f"{where}: {what}")
        returns = return_event_as_response_payload
        static = metadata_of(static_payload) if static_payload is not None else old.static_payload
        check_size(f"{where}: static_payload", static, MAX_KEPT_BYTES)
        new = replace(
            old,
            key=event_key_expression or old.key,
            scope=scope_expression or old.scope,
            static_payload=static,
            returns_event=returns if returns is not None else old.returns_event,
            updated_at_ms=self._app.engine.clock.now_ms(),
        )
        if not webhooks.replace(self._app.engine, new):
            raise _missing(webhook_name)
        return self._shown(new)

    aio_update = aio(update)

    def delete(self, webhook_name: str) -> V1Webhook:
        """Delete a webhook, and the secret that was kept for it; what it was. ValueError where there is none."""
        found = self._found(webhook_name)
        webhooks.delete(self._app.engine, webhook_name)
        self._secrets().forget(found.secret)
        return self._shown(found)

    aio_delete = aio(delete)

    def _found(self, name: str) -> Webhook:
        found = webhooks.get(self._app.engine, name)
        if found is None:
            raise _missing(name)
        return found

    def _kept(self, name: str, secret: str, now_ms: int) -> str:
        """Where the secret is: each webhook's has a name of its own, so a webhook that is created again shares none."""
        return secret if secret.startswith(REFERENCES) else self._secrets().keep(f"{name}-{now_ms}", secret)

    def _secrets(self) -> Secrets:
        found = self._app.engine.secrets
        if found is None:
            raise NotConfigured("these ports have no place for the secrets of webhooks")
        return found

    def _shown(self, webhook: Webhook) -> V1Webhook:
        from headrace.clients.models.events import V1Webhook
        from headrace.clients.models.resource import APIResourceMeta

        stack = self._app.settings.stack
        return V1Webhook(
            metadata=APIResourceMeta(
                id=webhook.name,
                created_at=from_epoch_ms(webhook.created_at_ms),
                updated_at=from_epoch_ms(webhook.updated_at_ms),
            ),
            tenant_id=stack,
            name=webhook.name,
            source_name=webhook.source,
            event_key_expression=webhook.key,
            scope_expression=webhook.scope,
            static_payload=dict(webhook.static_payload) or None,
            auth_type=webhooks.kind_of(webhook.auth),
            return_event_as_response_payload=webhook.returns_event,
            path=f"/api/v1/stable/tenants/{stack}/webhooks/{webhook.name}",
        )


def _source(given: Source | str, where: str) -> Source:
    try:
        return Source(str(given).upper())
    except ValueError:
        names = ", ".join(Source)
        raise DefinitionError(f"{where}: source_name is {given!r}: give one of {names}") from None


def _auth(given: Any, source: Source, where: str) -> tuple[Auth, str]:
    """How requests are authenticated, and the secret as it was given. DefinitionError where the source signs in another way."""
    from headrace.clients.models.events import V1WebhookAPIKeyAuth, V1WebhookBasicAuth, V1WebhookHMACAuth

    kind: Auth
    match given:
        case V1WebhookBasicAuth():
            kind, secret = Basic(username=given.username), given.password
        case V1WebhookAPIKeyAuth():
            kind, secret = ApiKey(header=_header(given.header_name, where)), given.api_key
        case V1WebhookHMACAuth():
            header = given.signature_header_name or SIGNATURES.get(source, "")
            encoding, algorithm = Encoding(given.encoding), Algorithm(given.algorithm)
            kind = Hmac(header=_header(header, where), algorithm=algorithm, encoding=encoding)
            secret = given.signing_secret
        case _:
            raise DefinitionError(
                f"{where}: auth is {given!r}: give V1WebhookBasicAuth, V1WebhookAPIKeyAuth or V1WebhookHMACAuth"
            )
    if source is not Source.GENERIC and not isinstance(kind, Hmac):
        raise DefinitionError(
            f"{where}: {source} signs its requests: give auth=V1WebhookHMACAuth(signing_secret=...)"
        )
    if not secret:
        raise DefinitionError(f"{where}: the secret is empty, so anybody could send: give one")
    return kind, secret


def _header(name: str, where: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise DefinitionError(f"{where}: the header is {name!r}: give the name of an HTTP header")
    return name.lower()


def _taken(name: str) -> ValueError:
    return ValueError(f"there is a webhook {name!r} already: update or delete it, or give another name")


def _missing(name: str) -> ValueError:
    return ValueError(f"Webhook {name} not found")
