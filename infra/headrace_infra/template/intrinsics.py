"""CloudFormation's functions as plain dicts, and what every file of the template shares of them."""

from __future__ import annotations

from typing import Any, TypeAlias

Block: TypeAlias = dict[str, Any]
"""A piece of the template. The values are CloudFormation's, which has no types to speak of."""

NO_VALUE: Block = {"Ref": "AWS::NoValue"}


def ref(logical_id: str) -> Block:
    return {"Ref": logical_id}


def sub(text: str) -> Block:
    """`${Name}` stands for a parameter, a resource or a pseudo parameter."""
    return {"Fn::Sub": text}


def att(logical_id: str, attribute: str) -> Block:
    return {"Fn::GetAtt": [logical_id, attribute]}


def when(condition: str, then: Any, otherwise: Any = NO_VALUE) -> Block:
    return {"Fn::If": [condition, then, otherwise]}


def named(suffix: str = "") -> Block:
    """The stack's name, with a suffix: what physical names are made of, so that clients find them by the stack."""
    return sub(f"${{AWS::StackName}}-{suffix}") if suffix else ref("AWS::StackName")
