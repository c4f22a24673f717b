"""The dashboard's two functions as they are deployed, with the roles of the template enforced."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from deployed.conftest import Stack
from headrace_dashboard.security import FORM_COOKIE

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(280)]


def ask(
    stack: Stack, kind: str, method: str, path: str, form: dict[str, str] | None = None
) -> dict[str, Any]:
    """What the function answers to a request of its URL."""
    host = "abc.lambda-url.us-east-1.on.aws"
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": host, "content-type": "application/x-www-form-urlencoded"},
        "cookies": [f"{FORM_COOKIE}=token"],
        "requestContext": {
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "t",
            },
            "domainName": host,
            "stage": "$default",
        },
        "body": urlencode(form) if form is not None else None,
        "isBase64Encoded": False,
    }
    function = f"{stack.name}-dashboard-{kind}"
    answer = stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    out: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "statusCode" in out, out
    return out


@pytest.mark.parametrize("path", ["/", "/runs", "/workflows", "/gates", "/events", "/schedules", "/workers"])
def test_a_page_opens_under_the_role_that_only_reads(eventful: Stack, path: str) -> None:
    answer = ask(eventful, "look", "GET", path)
    assert answer["statusCode"] == 200, answer["body"]


def test_the_one_that_acts_starts_a_run_and_the_other_does_not(eventful: Stack) -> None:
    name = next(iter(eventful.app._workflows_by_name))
    form = {"_token": "token", "input": "{}", "metadata": "{}"}
    assert ask(eventful, "look", "POST", f"/workflows/{name}/run", form)["statusCode"] == 403
    made = ask(eventful, "act", "POST", f"/workflows/{name}/run", form)
    assert made["statusCode"] == 303, made["body"]
    page = ask(eventful, "look", "GET", made["headers"]["location"])
    assert page["statusCode"] == 200
    assert made["headers"]["location"].removeprefix("/runs/") in page["body"]
