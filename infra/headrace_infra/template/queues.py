"""A queue for each worker, and one for what no worker could finish."""

from __future__ import annotations

from headrace.ports import NEXT
from headrace_infra.template.intrinsics import NO_VALUE, Block, att, named, ref, when
from headrace_infra.template.unit import Unit

DEAD_LETTERS = "DeadLettersQueue"
DEAD_LETTERS_VISIBILITY_S = 60

MAX_RECEIVE_COUNT = 120
"""Deliveries before the dead-letter queue. Executions are bounded in the run's record (`max_crashes`); this bounds what is delivered and
claims nothing. A delivery that comes to nothing hides its message for its visibility timeout, which is over 30 s: an hour in which no
worker can start, or hide a message for longer, takes fewer than these."""

RETENTION_S = 14 * 86_400
"""The longest SQS keeps a message, so that nothing is lost while a worker is broken or switched off."""


def queues(units: list[Unit]) -> Block:
    return {
        **{unit.queue: _worker_queue(unit, unit.name) for unit in units},
        **{unit.next_queue: _worker_queue(unit, unit.name + NEXT) for unit in units if unit.next},
        DEAD_LETTERS: {
            "Type": "AWS::SQS::Queue",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "QueueName": named("dead-letters"),
                **queue_encryption(),
                "MessageRetentionPeriod": RETENTION_S,
                "VisibilityTimeout": DEAD_LETTERS_VISIBILITY_S,
            },
        },
    }


def _worker_queue(unit: Unit, name: str) -> Block:
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "QueueName": named(name),
            **queue_encryption(),
            "MessageRetentionPeriod": RETENTION_S,
            "VisibilityTimeout": unit.visibility_s,
            "RedrivePolicy": {
                "deadLetterTargetArn": att(DEAD_LETTERS, "Arn"),
                "maxReceiveCount": MAX_RECEIVE_COUNT,
            },
        },
    }


def queue_encryption() -> Block:
    """By SQS's own key, or by the stack's where one is given: a queue has one or the other."""
    return {
        "SqsManagedSseEnabled": when("HasKmsKey", NO_VALUE, True),
        "KmsMasterKeyId": when("HasKmsKey", ref("KmsKeyArn")),
    }
