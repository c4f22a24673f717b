"""A role for each function, written out: SAM's own would add a managed policy that may write to every log group of the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.errors import CompileError
from headrace_infra.template.intrinsics import Block, att, ref, sub, when

BOUNDARY = "PermissionsBoundaryArn"
"""The parameter that names a permissions boundary for all roles."""


def role_of(function: str) -> str:
    """The logical id of a function's role."""
    return f"{function}Role"


def role(function: str, policy: Block, *, others: Sequence[Any] = (), network: bool = False) -> Block:
    """The function's role: what it does itself, its own log group, and `others`, the policies that a worker was given.

    network: the function is in a VPC, whose interfaces Lambda makes in the function's name.
    """
    statements = [*policy["Statement"], _own_logs(function), *(_network() if network else ())]
    documents = [each for each in others if isinstance(each, Mapping) and "Statement" in each]
    managed = [_managed(each) for each in others if each not in documents]
    properties: dict[str, Any] = {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
        "PermissionsBoundary": when("HasPermissionsBoundary", ref(BOUNDARY)),
        **({"ManagedPolicyArns": managed} if managed else {}),
        "Policies": [
            _inline("headrace", {**policy, "Statement": statements}),
            *(_inline(f"own{number}", _document(each)) for number, each in enumerate(documents, 1)),
        ],
    }
    return {role_of(function): {"Type": "AWS::IAM::Role", "Properties": properties}}


CLIENTS_THAT_OPEN = ("TriggerPolicy", "OperatePolicy", "ProcessPolicy")
LOOKS = frozenset({"ReadPolicy", "DashboardLookFunction"})
"""Those see payloads as they are stored."""


def opening(resources: Block, keys: Sequence[str]) -> Block:
    """The resources, with roles and policies that may unwrap the data keys of the app's payload codec. No key of KMS: as they are.

    keys: the ARNs of the keys of KMS. What only looks may not: it shows payloads as they are stored.
    """
    if not keys:
        return resources
    statement = {"Sid": "PayloadKeys", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": sorted(keys)}
    out = dict(resources)
    for name, block in resources.items():
        if name.removesuffix("Role") in LOOKS:
            continue
        if block["Type"] == "AWS::IAM::Role":
            first, *others = block["Properties"]["Policies"]
            policies = [_with(first, statement), *others]
            out[name] = {**block, "Properties": {**block["Properties"], "Policies": policies}}
        elif block["Type"] == "AWS::IAM::ManagedPolicy" and name.endswith(CLIENTS_THAT_OPEN):
            out[name] = {**block, "Properties": _with(block["Properties"], statement)}
    return out


def _with(policy: Block, statement: Block) -> Block:
    document = policy["PolicyDocument"]
    return {**policy, "PolicyDocument": {**document, "Statement": [*document["Statement"], statement]}}


def check_policies(worker: str, policies: Sequence[Any]) -> None:
    """CompileError for a policy that can be neither attached nor written into the worker's role."""
    for each in policies:
        if isinstance(each, str) or (
            isinstance(each, Mapping) and ("Statement" in each or _is_intrinsic(each))
        ):
            continue
        raise CompileError(
            f"worker {worker}: policies has {each!r}: give the ARN of a managed policy, the name of one of AWS's, or a document with "
            "a Statement. SAM's policy templates are not expanded for roles that the template spells out: write what they allow"
        )


def _is_intrinsic(policy: Mapping[str, Any]) -> bool:
    return len(policy) == 1 and next(iter(policy)).startswith(("Ref", "Fn::"))


def _document(given: Mapping[str, Any]) -> Block:
    return {"Version": "2012-10-17", **given}


def _managed(policy: str | Block) -> str | Block:
    """By its ARN, or by the name of one of AWS's own."""
    if not isinstance(policy, str) or policy.startswith("arn:"):
        return policy
    return sub(f"arn:${{AWS::Partition}}:iam::aws:policy/{policy}")


def _inline(name: str, document: Block) -> Block:
    return {"PolicyName": name, "PolicyDocument": document}


def _own_logs(function: str) -> Block:
    return {
        "Sid": "OwnLogs",
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": att(f"{function}Logs", "Arn"),
    }


NETWORK = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)
"""What Lambda does in the name of a function in a VPC (Lambda developer guide, "Required IAM permissions")."""


def _network() -> list[Block]:
    """For Lambda itself. The function's code is denied it, as the guide recommends."""
    arn = sub("arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-*")
    return [
        {"Sid": "Network", "Effect": "Allow", "Action": list(NETWORK), "Resource": "*"},
        {
            "Sid": "NetworkForLambdaOnly",
            "Effect": "Deny",
            "Action": list(NETWORK),
            "Resource": "*",
            "Condition": {"ArnLike": {"lambda:SourceFunctionArn": arn}},
        },
    ]
