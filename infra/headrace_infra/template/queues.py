"""A queue for each worker, and one for what no worker could finish."""

from __future__ import annotations

from headrace_infra.template.intrinsics import Block, att, named
from headrace_infra.template.unit import Unit

DEAD_LETTERS = "DeadLettersQueue"
DEAD_LETTERS_VISIBILITY_S = 60

MAX_RECEIVE_COUNT = 25
"""Deliveries before the dead-letter queue. The engine gives a task up after ten lost workers, which takes eleven
deliveries of one message; the rest is room for those that were throttled or came while an attempt was alive."""

RETENTION_S = 14 * 86_400
"""The longest SQS keeps a message, so that nothing is lost while a worker is broken or switched off."""


def queues(units: list[Unit]) -> Block:
    return {
        **{unit.queue: _worker_queue(unit) for unit in units},
        DEAD_LETTERS: {
            "Type": "AWS::SQS::Queue",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "QueueName": named("dead-letters"),
                "SqsManagedSseEnabled": True,
                "MessageRetentionPeriod": RETENTION_S,
                "VisibilityTimeout": DEAD_LETTERS_VISIBILITY_S,
            },
        },
    }


def _worker_queue(unit: Unit) -> Block:
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "QueueName": named(unit.name),
            "SqsManagedSseEnabled": True,
            "MessageRetentionPeriod": RETENTION_S,
            "VisibilityTimeout": unit.visibility_s,
            "RedrivePolicy": {
                "deadLetterTargetArn": att(DEAD_LETTERS, "Arn"),
                "maxReceiveCount": MAX_RECEIVE_COUNT,
            },
        },
    }
