"""The table: runs, payloads, gates, timers, all in one."""

from __future__ import annotations

from headrace_infra.template.names import TABLE, Resources, sub

INDEXES = {"listing": ("lpk", "lsk"), "failed": ("fpk", "fsk")}


def table() -> Resources:
    """On demand, encrypted, with TTL. Kept when the stack is deleted: it holds the results of runs."""
    attributes = ["pk", "sk", *(name for keys in INDEXES.values() for name in keys)]
    return {
        TABLE: {
            "Type": "AWS::DynamoDB::Table",
            "DeletionPolicy": "RetainExceptOnCreate",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "TableName": sub("${AWS::StackName}"),
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": "S"} for name in attributes
                ],
                "KeySchema": _keys("pk", "sk"),
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": name,
                        "KeySchema": _keys(*keys),
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                    for name, keys in INDEXES.items()
                ],
                "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
                "SSESpecification": {"SSEEnabled": True},
                "PointInTimeRecoverySpecification": {
                    "PointInTimeRecoveryEnabled": {"Fn::If": ["KeepsHistory", True, False]}
                },
            },
        }
    }


def _keys(partition: str, order: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": order, "KeyType": "RANGE"},
    ]
