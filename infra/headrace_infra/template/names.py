"""Logical ids and physical names: stable, so that a deployment changes what changed and nothing else."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

Resources: TypeAlias = dict[str, Any]

TABLE = "Table"
BUCKET = "Payloads"
DEAD_LETTER_QUEUE = "DeadLetterQueue"
CLOCK = "ClockFunction"
DEAD_LETTERS = "DeadLettersFunction"

DEAD_LETTERS_WORKER = "dead-letters"


def pascal(name: str) -> str:
    """A worker's name as part of a logical id."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name) if part)


def queue_id(worker: str) -> str:
    return f"{pascal(worker)}Queue"


def function_id(worker: str) -> str:
    return f"{pascal(worker)}Function"


def arn(logical_id: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def ref(logical_id: str) -> dict[str, str]:
    return {"Ref": logical_id}


def sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}


BUCKET_NAME = "${AWS::StackName}-${AWS::AccountId}-${AWS::Region}"
