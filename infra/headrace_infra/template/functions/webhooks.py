"""The function of webhooks, at a public URL of its own: only for stacks that are compiled with them."""

from __future__ import annotations

from headrace_infra.template.functions.workers import (
    SUPPORT_MEMORY,
    Source,
    common,
    environment,
    function_block,
    log_group,
    model,
)
from headrace_infra.template.intrinsics import Block, att, ref
from headrace_infra.template.policies import webhooks_policy
from headrace_infra.template.roles import role
from headrace_infra.template.unit import Unit

NAME = "webhooks"
FUNCTION = "WebhooksFunction"
TIMEOUT_S = 20
SECRETS_PARAMETER = "WebhookSecretArns"


def webhooks_resources(units: list[Unit], source: Source) -> Block:
    """The URL is public: each request is authenticated by the function, and pushes an event at most."""
    first = model(units)
    properties = {
        **common(NAME, FUNCTION, NAME, source, first.runtime, first.options.architecture),
        "Description": "Takes webhooks as events",
        "MemorySize": SUPPORT_MEMORY,
        "Timeout": TIMEOUT_S,
        "Environment": {
            "Variables": {**environment(units, source), "POWERTOOLS_SERVICE_NAME": NAME},
        },
        "FunctionUrlConfig": {"AuthType": "NONE"},
    }
    return {
        FUNCTION: function_block(properties),
        "WebhooksInvokePermission": _invoked_by_url(),
        **role(FUNCTION, webhooks_policy()),
        **log_group(NAME, FUNCTION),
    }


def _invoked_by_url() -> Block:
    """Since October 2025 a public URL needs this beside lambda:InvokeFunctionUrl (Lambda developer guide, "Control access to URLs")."""
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": ref(FUNCTION),
            "Principal": "*",
            "InvokedViaFunctionUrl": True,
        },
    }


def webhooks_parameters() -> Block:
    return {
        SECRETS_PARAMETER: {
            "Type": "CommaDelimitedList",
            "Default": "",
            "Description": "ARNs of secrets and SSM parameters that webhooks refer to, beside those that Headrace keeps",
        }
    }


def webhooks_conditions() -> Block:
    return {
        "HasWebhookSecrets": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", ref(SECRETS_PARAMETER)]}, ""]}]}
    }


def webhooks_outputs() -> Block:
    url = att(f"{FUNCTION}Url", "FunctionUrl")
    return {"WebhooksUrl": {"Description": "Where webhooks are sent to, with their path", "Value": url}}
