"""Events, filters and webhooks as users read them. The names and fields are Hatchet's."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from headrace.clients.models.resource import APIResourceMeta, Model, Object, PaginationResponse
from headrace.core.events.webhook import Algorithm, Encoding, Source


class Event(Model):
    """An event that was pushed. `payload` and `additional_metadata` are JSON texts; `tenant_id` is the stack."""

    tenant_id: str
    event_id: str
    key: str
    payload: str
    event_timestamp: datetime
    additional_metadata: str | None = None
    scope: str | None = None
    seen_at: datetime | None = None


class PushEventOptions(Model):
    """Deprecated: give the fields to `push` themselves."""

    additional_metadata: Object = Field(default_factory=dict)
    namespace: str | None = None
    priority: int | None = None
    scope: str | None = None


class BulkPushEventWithMetadata(Model):
    """One event of a bulk push."""

    key: str = ""
    payload: Object = Field(default_factory=dict)
    additional_metadata: Object = Field(default_factory=dict)
    priority: int | None = None
    scope: str | None = None


class BulkPushEventOptions(BulkPushEventWithMetadata):
    """The options of a bulk push: of its fields only `namespace` counts there, as in Hatchet."""

    namespace: str | None = None


class V1EventWorkflowRunSummary(Model):
    """How many of an event's runs have each status."""

    running: int = 0
    queued: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class V1EventTriggeredRun(Model):
    """A run that an event started, and the filter that let it."""

    workflow_run_id: str
    filter_id: str | None = None


class V1Event(Model):
    """An event with what came of it."""

    metadata: APIResourceMeta
    key: str
    tenant_id: str
    workflow_run_summary: V1EventWorkflowRunSummary = Field(default_factory=V1EventWorkflowRunSummary)
    payload: Object | None = None
    additional_metadata: Object | None = None
    scope: str | None = None
    seen_at: datetime | None = None
    triggered_runs: list[V1EventTriggeredRun] = Field(default_factory=list)
    triggering_webhook_name: str | None = None


class V1EventList(Model):
    """A page of events, newest first."""

    pagination: PaginationResponse
    rows: list[V1Event]


class V1Filter(Model):
    """A filter of a workflow's events. `is_declarative`: its definition says it (`default_filters`)."""

    metadata: APIResourceMeta
    tenant_id: str
    workflow_id: str
    scope: str
    expression: str
    payload: Object = Field(default_factory=dict)
    is_declarative: bool = False
    workflow_name: str = ""


class V1FilterList(Model):
    """A page of filters."""

    pagination: PaginationResponse
    rows: list[V1Filter]


class V1UpdateFilterRequest(Model):
    """What of a filter changes; None: it stays."""

    expression: str | None = None
    scope: str | None = None
    payload: Object | None = None


# ---------------------------------------------------------------- webhooks

V1WebhookSourceName = Source
V1WebhookHMACAlgorithm = Algorithm
V1WebhookHMACEncoding = Encoding


class V1WebhookBasicAuth(Model):
    """HTTP basic authentication. `password`: the secret, or where it is kept ("ssm:/name", "secretsmanager:name", an ARN)."""

    username: str
    password: str


class V1WebhookAPIKeyAuth(Model):
    """A header that holds a key. `api_key`: the secret, or where it is kept."""

    header_name: str
    api_key: str


class V1WebhookHMACAuth(Model):
    """A header that holds the HMAC of the body. `signing_secret`: the secret, or where it is kept."""

    algorithm: Algorithm = Algorithm.SHA256
    encoding: Encoding = Encoding.HEX
    signature_header_name: str = ""
    signing_secret: str


class V1Webhook(Model):
    """A webhook. What it authenticates with is never given back; `path` is where requests go, under the URL of the
    stack's webhooks function."""

    metadata: APIResourceMeta
    tenant_id: str
    name: str
    source_name: Source
    event_key_expression: str
    scope_expression: str | None = None
    static_payload: Object | None = None
    auth_type: str
    return_event_as_response_payload: bool = True
    path: str = ""


class V1WebhookList(Model):
    """A page of webhooks, by name."""

    pagination: PaginationResponse
    rows: list[V1Webhook]
