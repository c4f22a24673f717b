"""What can be chosen at deployment without compiling again."""

from __future__ import annotations

from headrace_infra.template.intrinsics import Block, ref

LOG_RETENTION_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 180, 365]
"""A choice of what CloudWatch Logs takes."""


def parameters(retention_days: int) -> Block:
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
        "AlarmTopicArn": {
            "Type": "String",
            "Default": "",
            "Description": "SNS topic that alarms notify; none if empty",
        },
        "PointInTimeRecovery": _switch("Continuous backups of the table"),
        "DeletionProtection": _switch("Refuse to delete the table, and with it the stack"),
    }


def conditions() -> Block:
    return {
        "HasAlarmTopic": {"Fn::Not": [{"Fn::Equals": [ref("AlarmTopicArn"), ""]}]},
        **{
            name: {"Fn::Equals": [ref(name), "true"]}
            for name in ("PointInTimeRecovery", "DeletionProtection")
        },
    }


def _switch(description: str) -> Block:
    return {
        "Type": "String",
        "Default": "false",
        "AllowedValues": ["true", "false"],
        "Description": description,
    }
