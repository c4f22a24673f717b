"""The dashboard as a Lambda function: requests of a function URL, forms across processes, and one that only looks."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace.errors import NotConfigured
from headrace_dashboard.function import make_handler, may_act
from headrace_dashboard.security import FORM_COOKIE
from headrace_infra.testing import local

HOST = "abc.lambda-url.us-east-1.on.aws"
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def request(
    method: str,
    path: str,
    *,
    cookies: list[str] | None = None,
    form: dict[str, str] | None = None,
    origin: str = "",
) -> dict[str, Any]:
    """A function URL's event (payload format 2.0)."""
    body = base64.b64encode(urlencode(form).encode()).decode() if form is not None else None
    headers = {"host": HOST, "x-forwarded-proto": "https"}
    if form is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
    if origin:
        headers["origin"] = origin
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "cookies": cookies or [],
        "requestContext": {
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "t",
            },
            "domainName": HOST,
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": body is not None,
    }


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    """The event loop that Lambda's process has for good, and that a test's has to close."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    asyncio.set_event_loop(None)
    made.close()


@pytest.fixture(scope="module")
def hatchet() -> Iterator[Headrace]:
    app = Headrace()

    @app.task(name="greet")
    def greet(input: EmptyModel, ctx: Context) -> None: ...

    with local(app, backend="memory", background=False):
        yield app


def opened(handler: Handler) -> str:
    """The form token that a browser has once it has opened a page."""
    answer = handler(request("GET", "/workflows/greet"), None)
    assert answer["statusCode"] == 200, answer["body"]
    cookie = SimpleCookie(answer["cookies"][0])[FORM_COOKIE]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Strict")
    assert f'value="{cookie.value}"' in answer["body"]
    return cookie.value


def test_a_page_opens_without_a_session(hatchet: Headrace) -> None:
    opened(make_handler(hatchet, may_act=True))


def test_a_form_of_one_process_is_taken_by_another(hatchet: Headrace) -> None:
    token = opened(make_handler(hatchet, may_act=True))
    form = {"_token": token, "input": "{}", "metadata": "{}"}
    other = make_handler(hatchet, may_act=True)
    sent = request(
        "POST",
        "/workflows/greet/run",
        cookies=[f"{FORM_COOKIE}={token}"],
        form=form,
        origin=f"https://{HOST}",
    )
    answer = other(sent, None)
    assert answer["statusCode"] == 303, answer["body"]
    assert answer["headers"]["location"].startswith("/runs/")


@pytest.mark.parametrize(
    ("cookie", "token", "origin"),
    [
        pytest.param(None, "guess", "", id="no cookie"),
        pytest.param("mine", "guess", "", id="another token"),
        pytest.param(None, "", "", id="neither"),
        pytest.param("", "", "", id="both empty"),
        pytest.param("mine", "mine", "https://evil.example", id="another site"),
    ],
)
def test_a_form_that_is_not_its_own_is_refused(
    hatchet: Headrace, cookie: str | None, token: str, origin: str
) -> None:
    cookies = [] if cookie is None else [f"{FORM_COOKIE}={cookie}"]
    form = {"_token": token, "input": "{}", "metadata": "{}"}
    sent = request("POST", "/workflows/greet/run", cookies=cookies, form=form, origin=origin)
    assert make_handler(hatchet, may_act=True)(sent, None)["statusCode"] == 403


def test_one_that_looks_acts_on_nothing(hatchet: Headrace) -> None:
    handler = make_handler(hatchet, may_act=False)
    page = handler(request("GET", "/workflows/greet"), None)
    assert "<button" not in page["body"]
    token = "mine"
    form = {"_token": token, "input": "{}", "metadata": "{}"}
    sent = request("POST", "/workflows/greet/run", cookies=[f"{FORM_COOKIE}={token}"], form=form)
    assert handler(sent, None)["statusCode"] == 403


@pytest.mark.parametrize(
    ("given", "acts"),
    [({}, False), ({"HEADRACE_DASHBOARD": "look"}, False), ({"HEADRACE_DASHBOARD": "act"}, True)],
)
def test_what_the_environment_says(given: dict[str, str], acts: bool) -> None:
    assert may_act(given) is acts


def test_another_word_in_the_environment() -> None:
    with pytest.raises(NotConfigured, match="HEADRACE_DASHBOARD is 'edit': give look or act"):
        may_act({"HEADRACE_DASHBOARD": "edit"})
