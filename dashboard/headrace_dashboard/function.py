"""The dashboard as a Lambda function behind a URL of its own: IAM limits its callers, and its role what it may do.

HEADRACE_DASHBOARD=look (the default) shows no buttons and refuses every POST; `act` cancels, starts and pauses. Each is a function with a role of
its own (`headrace compile --dashboard`), so that an error here cannot make the one into the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mangum import Mangum

from headrace.app import Headrace
from headrace.errors import NotConfigured
from headrace_dashboard.app import Dashboard
from headrace_dashboard.security import Access

ANYONE_WHO_MAY_CALL = Access(session=None, form_token=None, hosts=frozenset())
"""IAM has checked the request before the function runs; the name in front is the URL's, or a proxy's."""


def make_handler(hatchet: Headrace, *, may_act: bool) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """A handler of function URL requests (payload format 2.0)."""
    pages = Dashboard(hatchet=hatchet, access=ANYONE_WHO_MAY_CALL, may_act=may_act).app()
    return Mangum(pages, lifespan="off")


def may_act(environment: dict[str, str]) -> bool:
    """By HEADRACE_DASHBOARD. NotConfigured for a word that is neither."""
    found = environment.get("HEADRACE_DASHBOARD", "look")
    if found not in ("look", "act"):
        raise NotConfigured(f"HEADRACE_DASHBOARD is {found!r}: give look or act")
    return found == "act"


def __getattr__(name: str) -> Any:
    if name == "handler":
        from headrace_handlers import boot, logs

        logs.set_up()
        hatchet = boot.app_without_code()
        found = globals()["handler"] = make_handler(hatchet, may_act=may_act(dict(os.environ)))
        return found
    raise AttributeError(name)
