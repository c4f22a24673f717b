"""A zone in the template: all that a stack has, once more, under its own names; and what may cross from one into another.

A zone's resources are compiled as a stack's are and then renamed: every logical id begins with the zone's name, and `<stack>-<zone>` stands
wherever the stack's name did. So no role, policy or variable of one zone can name a resource of another, but for what `crossing` adds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from headrace_infra.template.intrinsics import Block, att, sub
from headrace_infra.template.unit import Unit

STACK = "AWS::StackName"
AS_IT_IS = frozenset({"HEADRACE_STACK"})
"""Variables that name the whole stack: the zone has one of its own."""


def renamed(block: Block, zone: str, parameters: Collection[str]) -> Block:
    """Resources, or outputs, of a zone under its names. `parameters` belong to the whole stack. Policies that a worker was given stay as
    they were written."""
    if not zone:
        return block
    return {zone.capitalize() + name: _renamed(value, zone, parameters) for name, value in block.items()}


def _renamed(value: Any, zone: str, parameters: Collection[str]) -> Any:
    match value:
        case {"Ref": str(name)} if len(value) == 1:
            return sub(f"${{{STACK}}}-{zone}") if name == STACK else {"Ref": _id(name, zone, parameters)}
        case {"Fn::GetAtt": [str(name), attribute]} if len(value) == 1:
            return att(_id(name, zone, parameters), attribute)
        case {"Fn::Sub": str(text)} if len(value) == 1:
            return sub(re.sub(r"\$\{([^}]+)\}", lambda found: _in_text(found[1], zone, parameters), text))
        case {"Type": "AWS::IAM::Role", "Properties": dict(properties)}:
            return {**value, "Properties": _role(properties, zone, parameters)}
        case dict():
            return {
                key: each if key in AS_IT_IS else _renamed(each, zone, parameters)
                for key, each in value.items()
            }
        case list():
            return [_renamed(each, zone, parameters) for each in value]
        case _:
            return value


def _role(properties: Block, zone: str, parameters: Collection[str]) -> Block:
    first, *given = properties["Policies"]
    out: Block = _renamed({**properties, "Policies": [first]}, zone, parameters)
    own = {name: properties[name] for name in ("ManagedPolicyArns",) if name in properties}
    return {**out, "Policies": [*out["Policies"], *given], **own}


def _id(name: str, zone: str, parameters: Collection[str]) -> str:
    return name if name.startswith("AWS::") or name in parameters else zone.capitalize() + name


def _in_text(name: str, zone: str, parameters: Collection[str]) -> str:
    if name == STACK:
        return f"${{{STACK}}}-{zone}"
    logical_id, dot, attribute = name.partition(".")
    return f"${{{_id(logical_id, zone, parameters)}{dot}{attribute}}}"


def zoned_id(unit: Unit, name: str) -> str:
    """The logical id of a resource of the unit in the whole template."""
    return unit.zone.capitalize() + name


def crossing(resources: Block, units: list[Unit]) -> Block:
    """The resources, in which each worker that starts runs of other zones knows those workers' queues and may send to them."""
    by_name = {unit.name: unit for unit in units}
    out = dict(resources)
    for unit in units:
        targets = [by_name[name] for name in sorted(unit.crosses)]
        if not targets:
            continue
        if unit.process:
            policy = zoned_id(unit, f"{unit.id}ProcessPolicy")
            out[policy] = _with_statement(out[policy], _sends(targets, "sqs:SendMessage", "sqs:GetQueueUrl"))
            continue
        function, role = (zoned_id(unit, name) for name in (unit.function, f"{unit.function}Role"))
        out[function] = _with_queues(out[function], targets)
        out[role] = _with_statement(out[role], _sends(targets, "sqs:SendMessage"))
    return out


def start_policies(units: list[Unit]) -> tuple[Block, Block]:
    """For each zone a managed policy to start its runs by message, and to read nothing; and the outputs that name them. Nothing for a
    stack without zones."""
    zones = sorted({unit.zone for unit in units})
    resources: Block = {}
    outputs: Block = {}
    for zone in zones if zones != [""] else ():
        name = f"{zone.capitalize()}StartPolicy"
        text = f"May start runs in zone {zone or 'of the stack itself'} by message, and read nothing there"
        own = [unit for unit in units if unit.zone == zone]
        statement = _sends(own, "sqs:SendMessage", "sqs:GetQueueUrl")
        resources[name] = {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {
                "Description": text,
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            },
        }
        outputs[name] = {"Description": text, "Value": {"Ref": name}}
    return resources, outputs


def _sends(targets: Iterable[Unit], *actions: str) -> Block:
    """To the first queue of each: what goes on with runs there is no business of another zone."""
    queues = [att(zoned_id(unit, unit.queue), "Arn") for unit in targets]
    return {"Sid": "StartsAcrossZones", "Effect": "Allow", "Action": list(actions), "Resource": queues}


def _with_queues(function: Block, targets: Iterable[Unit]) -> Block:
    properties = function["Properties"]
    variables = properties["Environment"]["Variables"]
    text = variables["HEADRACE_QUEUES"]["Fn::Sub"].removesuffix("}")
    more = "".join(f', "{unit.name}": "${{{zoned_id(unit, unit.queue)}}}"' for unit in targets)
    environment = {"Variables": {**variables, "HEADRACE_QUEUES": sub(f"{text}{more}}}")}}
    return {**function, "Properties": {**properties, "Environment": environment}}


def _with_statement(block: Block, statement: Block) -> Block:
    properties = block["Properties"]
    if "PolicyDocument" in properties:
        document = properties["PolicyDocument"]
        grown = {**document, "Statement": [*document["Statement"], statement]}
        return {**block, "Properties": {**properties, "PolicyDocument": grown}}
    first, *others = properties["Policies"]
    document = first["PolicyDocument"]
    own = {**first, "PolicyDocument": {**document, "Statement": [*document["Statement"], statement]}}
    return {**block, "Properties": {**properties, "Policies": [own, *others]}}
