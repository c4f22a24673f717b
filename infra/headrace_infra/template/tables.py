"""The table that remembers."""

from __future__ import annotations

from headrace.core.table import INDEXES
from headrace_infra.template.intrinsics import Block, named, ref, when

TABLE = "Table"


def table(*, ephemeral: bool = False) -> Block:
    """On demand, encrypted, with TTL, and protected: it stays when its stack goes, and has to be deleted by hand before another
    stack takes its name. `ephemeral`: it goes with its stack. A replacement (which only a change of its keys or its name could
    ask for) always leaves the old table where it is.
    """
    attributes = ["pk", "sk", *(name for pair in INDEXES.values() for name in pair)]
    return {
        TABLE: {
            "Type": "AWS::DynamoDB::Table",
            "DeletionPolicy": "Delete" if ephemeral else "Retain",
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
                "SSESpecification": {
                    "SSEEnabled": True,
                    "SSEType": when("HasKmsKey", "KMS"),
                    "KMSMasterKeyId": when("HasKmsKey", ref("KmsKeyArn")),
                },
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
