"""The schedules: the one-minute clock."""

from __future__ import annotations

from headrace_infra.template.intrinsics import Block


def clock_events() -> Block:
    return {
        "EveryMinute": {
            "Type": "Schedule",
            "Properties": {"Schedule": "rate(1 minute)", "Description": "The clock of Headrace"},
        }
    }
