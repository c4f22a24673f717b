"""What can be chosen at deployment without compiling again."""

from __future__ import annotations

from headrace_infra.template.intrinsics import Block, ref
from headrace_infra.template.roles import BOUNDARY

LOG_RETENTION_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 180, 365]
"""A choice of what CloudWatch Logs takes."""


def parameters(retention_days: int, *, ephemeral: bool = False) -> Block:
    """`ephemeral`: for stacks that come and go, whose table is neither backed up nor protected."""
    return {
        "RetentionDays": {
            "Type": "Number",
            "Default": retention_days,
            "MinValue": 1,
            "Description": "Days for which runs and their payloads are kept",
        },
        "LogRetentionDays": {
            "Type": "Number",
            "Default": 30,
            "AllowedValues": LOG_RETENTION_DAYS,
            "Description": "Days for which the functions' logs are kept",
        },
        "LogLevel": {
            "Type": "String",
            "Default": "INFO",
            "AllowedValues": ["DEBUG", "INFO", "WARNING", "ERROR"],
            "Description": "The least level that the functions log",
        },
        "AlarmTopicArn": _optional("SNS topic that alarms notify; none if empty"),
        "PointInTimeRecovery": _switch("Continuous backups of the table", on=not ephemeral),
        "DeletionProtection": _switch("Refuse to delete the table", on=not ephemeral),
        "KmsKeyArn": _optional(
            "KMS key that encrypts table, queues, bucket and logs; AWS's own keys if empty"
        ),
        BOUNDARY: _optional("Permissions boundary of every role; none if empty"),
    }


def conditions() -> Block:
    return {
        "HasAlarmTopic": _given("AlarmTopicArn"),
        "HasKmsKey": _given("KmsKeyArn"),
        "HasPermissionsBoundary": _given(BOUNDARY),
        **{
            name: {"Fn::Equals": [ref(name), "true"]}
            for name in ("PointInTimeRecovery", "DeletionProtection")
        },
    }


def _given(parameter: str) -> Block:
    return {"Fn::Not": [{"Fn::Equals": [ref(parameter), ""]}]}


def _optional(description: str) -> Block:
    return {"Type": "String", "Default": "", "Description": description}


def _switch(description: str, *, on: bool) -> Block:
    return {
        "Type": "String",
        "Default": "true" if on else "false",
        "AllowedValues": ["true", "false"],
        "Description": description,
    }
