"""What one AWS request is about, as IAM sees it: its action, and the resource or resources that a policy has to allow it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PERMISSIONS = {
    ("sqs", "SendMessageBatch"): "sqs:SendMessage",
    ("sqs", "DeleteMessageBatch"): "sqs:DeleteMessage",
    ("sqs", "ChangeMessageVisibilityBatch"): "sqs:ChangeMessageVisibility",
    ("dynamodb", "BatchExecuteStatement"): "dynamodb:PartiQLInsert",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
}
"""Where the permission is not named for the operation (Service Authorization Reference)."""


def action_of(service: str, operation: str) -> str:
    """The action that a policy has to allow for an operation."""
    return PERMISSIONS.get((service, operation), f"{service}:{operation}")


def resource_of(service: str, params: Mapping[str, Any]) -> str:
    """`table`, `index/<name>`, `queue/<name>`, `bucket/<key>`; else the service."""
    match service:
        case "dynamodb":
            return f"index/{params['IndexName']}" if "IndexName" in params else "table"
        case "sqs":
            url = params.get("QueueUrl") or params.get("QueueName") or ""
            return f"queue/{str(url).rpartition('/')[2]}"
        case "s3":
            return f"bucket/{params['Key']}" if "Key" in params else "bucket"
        case _:
            return service


def partition_of(params: Mapping[str, Any]) -> str | None:
    """The partition of the item that a request of DynamoDB names, where it names one: what `dynamodb:LeadingKeys` is about."""
    item = params.get("Item") or params.get("Key")
    return str(item["pk"]["S"]) if isinstance(item, Mapping) and "pk" in item else None
