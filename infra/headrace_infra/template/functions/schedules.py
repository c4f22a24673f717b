"""When the clock's function is invoked: once a minute, and at each deployment that changes what is published."""

from __future__ import annotations

from headrace_infra.template.intrinsics import Block, att


def clock_events() -> Block:
    return {
        "EveryMinute": {
            "Type": "Schedule",
            "Properties": {"Schedule": "rate(1 minute)", "Description": "The clock of Headrace"},
        }
    }


PUBLISH_TIMEOUT_S = 120
"""How long a deployment waits to be told that its catalog is published."""


def catalog(version: str) -> Block:
    """Has the clock publish as part of the deployment. `version` changes with what is published, and so has CloudFormation ask again."""
    return {
        "Catalog": {
            "Type": "AWS::CloudFormation::CustomResource",
            "Properties": {
                "ServiceToken": att("ClockFunction", "Arn"),
                "ServiceTimeout": PUBLISH_TIMEOUT_S,
                "Version": version,
            },
        }
    }
