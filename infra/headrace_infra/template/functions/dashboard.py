"""The dashboard's functions, each at a URL that IAM guards: one that looks, one that acts. Only where they are asked for."""

from __future__ import annotations

from headrace_infra.template.functions.workers import (
    SEALED,
    SUPPORT_MEMORY,
    Source,
    common,
    environment,
    function_block,
    log_group,
    model,
)
from headrace_infra.template.intrinsics import Block, att
from headrace_infra.template.policies import dashboard_policy
from headrace_infra.template.roles import role
from headrace_infra.template.unit import Unit

TIMEOUT_S = 29
KINDS = {"look": "DashboardLook", "act": "DashboardAct"}


def dashboard_resources(units: list[Unit], source: Source) -> Block:
    """Two functions with a role each, and a managed policy each for the people who may call it."""
    out: Block = {}
    for kind, name in KINDS.items():
        function = f"{name}Function"
        out[function] = function_block(_properties(kind, name, units, source))
        out[f"{name}Caller"] = _caller(kind, function)
        out |= role(function, dashboard_policy(units, may_act=kind == "act", events=source.events))
        out |= log_group(_service(kind), function)
    return out


def _service(kind: str) -> str:
    return f"dashboard-{kind}"


def _properties(kind: str, name: str, units: list[Unit], source: Source) -> Block:
    first = model(units)
    service = _service(kind)
    shared = common(
        service, f"{name}Function", "dashboard", source, first.runtime, first.options.architecture
    )
    variables = {
        **environment(units, source),
        "HEADRACE_DASHBOARD": kind,
        "POWERTOOLS_SERVICE_NAME": service,
    }
    if kind == "look":
        variables.pop(SEALED, None)  # it shows payloads as they are stored
    return {
        **shared,
        "Handler": "headrace_dashboard.function.handler",
        "Description": f"Shows the stack in a browser: {kind}",
        "MemorySize": SUPPORT_MEMORY,
        "Timeout": TIMEOUT_S,
        "Environment": {"Variables": variables},
        "FunctionUrlConfig": {"AuthType": "AWS_IAM"},
    }


def _caller(kind: str, function: str) -> Block:
    """Since October 2025 a caller needs both actions (Lambda developer guide, "Control access to URLs")."""
    statement = {
        "Effect": "Allow",
        "Action": ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"],
        "Resource": att(function, "Arn"),
    }
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": f"May open the dashboard that {kind}s",
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        },
    }


def dashboard_outputs() -> Block:
    return {
        f"{name}Url": {
            "Description": f"The dashboard that {kind}s; requests are signed (AWS_IAM)",
            "Value": att(f"{name}FunctionUrl", "FunctionUrl"),
        }
        for kind, name in KINDS.items()
    }
