"""The table that remembers."""

from __future__ import annotations

from headrace.core.table import INDEXES
from headrace_infra.template.intrinsics import Block, named, when

TABLE = "Table"


def table() -> Block:
    """On demand, encrypted, with TTL.

    It goes with its stack: what it holds ends with the retention anyway, and a table that stayed would keep the next stack
    of that name from being created. Who wants to be safe from that sets the parameter DeletionProtection. A replacement
    (which only a change of its keys or its name could ask for) leaves the old table where it is.
    """
    attributes = ["pk", "sk", *(name for pair in INDEXES.values() for name in pair)]
    return {
        TABLE: {
            "Type": "AWS::DynamoDB::Table",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "TableName": named(),
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": "S"} for name in attributes
                ],
                "KeySchema": _keys("pk", "sk"),
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": index,
                        "KeySchema": _keys(*pair),
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                    for index, pair in INDEXES.items()
                ],
                "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
                "SSESpecification": {"SSEEnabled": True},
                "PointInTimeRecoverySpecification": {
                    "PointInTimeRecoveryEnabled": when("PointInTimeRecovery", True, False)
                },
                "DeletionProtectionEnabled": when("DeletionProtection", True, False),
            },
        }
    }


def _keys(partition: str, order: str) -> list[Block]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": order, "KeyType": "RANGE"},
    ]
