"""What `compile --dashboard` adds: two functions, of which one can change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace_infra.compile import compile_app

CHANGES = ("Put", "Update", "Delete", "Insert", "Send", "Write", "*")


def compiled(**options: Any) -> dict[str, Any]:
    app = Headrace()

    @app.task(name="step")
    def step(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("main", workflows=[step])
    return compile_app(app, app_path="app:hatchet", **options)


def actions(template: dict[str, Any], function: str) -> list[str]:
    policies = template["Resources"][f"{function}Role"]["Properties"]["Policies"]
    statements = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    return [
        action
        for statement in statements
        if statement.get("Effect") == "Allow" and statement["Sid"] != "OwnLogs"
        for action in statement["Action"]
    ]


def test_nothing_of_it_without_the_option() -> None:
    assert not [name for name in compiled()["Resources"] if "Dashboard" in name]


@pytest.mark.parametrize("name", ["DashboardLook", "DashboardAct"])
def test_iam_guards_the_url(name: str) -> None:
    template = compiled(dashboard=True)
    properties = template["Resources"][f"{name}Function"]["Properties"]
    assert properties["FunctionUrlConfig"] == {"AuthType": "AWS_IAM"}
    assert properties["Handler"] == "headrace_dashboard.function.handler"
    caller = template["Resources"][f"{name}Caller"]["Properties"]["PolicyDocument"]["Statement"][0]
    assert caller["Resource"] == {"Fn::GetAtt": [f"{name}Function", "Arn"]}
    assert f"{name}Url" in template["Outputs"]


def test_the_role_of_the_one_that_looks_changes_nothing() -> None:
    template = compiled(dashboard=True)
    found = actions(template, "DashboardLookFunction")
    assert "dynamodb:Query" in found
    assert [each for each in found if any(verb in each.partition(":")[2] for verb in CHANGES)] == []
    assert "sqs:SendMessage" in actions(template, "DashboardActFunction")
